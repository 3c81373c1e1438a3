//! What was done before and must not be forgotten: outcomes, former revisions, suspensions, approvals. Stored by `registry`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::names::{JobName, PackageKey, Revision, Role, Slot};
use super::wanted::WantedItem;
use crate::model::{CommitId, ItemName};

/// Failed tries after which only a new revision or `wharf reconcile ITEM` starts another.
pub const MAX_RETRIES: u32 = 6;

/// What one outcome is remembered under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// A build is shared by items, so it is remembered by its key.
    Build(PackageKey),
    /// A run or render of an item.
    Job {
        /// Whose.
        item: ItemName,
        /// Run or render.
        role: Role,
        /// Of which revision.
        revision: Revision,
        /// Which of the revision's jobs.
        slot: Slot,
    },
    /// Writing to the world failed (a full disk, a refused request).
    Write {
        /// Whose.
        item: ItemName,
    },
}

impl Step {
    /// The item it belongs to; a build belongs to all that share it.
    pub const fn item(&self) -> Option<&ItemName> {
        match self {
            Self::Build(_) => None,
            Self::Job { item, .. } | Self::Write { item } => Some(item),
        }
    }
}

/// How a step went so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The last job that was counted in, so that none is counted twice.
    pub job: Option<JobName>,
    /// Its attempt number; the next has one more.
    pub attempt: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Whether it succeeded in the end (renders; a finished slot is never run again).
    pub succeeded: bool,
    /// When the next try may start; `None` after a success or when no try is left.
    pub next_try: Option<Timestamp>,
    /// Why the last try failed, in plain words.
    pub reason: Option<String>,
    /// The last lines of its log.
    pub tail: Vec<String>,
    /// When this was written down.
    pub recorded: Timestamp,
}

impl Outcome {
    /// Whether it failed too often to be tried again.
    pub const fn is_exhausted(&self) -> bool {
        !self.succeeded && self.failures > MAX_RETRIES
    }
}

/// How long to wait after this many failures: 1 minute doubling to 1 hour (objects.md, "Memory").
pub fn backoff(failures: u32) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(6);
    SignedDuration::from_mins((1_i64 << doublings).min(60))
}

/// One thing that may be deleted or moved, in an approval.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Approved {
    /// `environment`, `item` or `move`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its identity when it was approved.
    pub uid: String,
}

/// Where commits come from, so that an instance is not pointed elsewhere by accident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// The repository without credentials.
    pub repository: String,
    /// `--path`.
    pub path: String,
    /// `--ref`: a change of it is the operator's consent to another history.
    pub reference: String,
}

/// Everything remembered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// How steps went.
    pub outcomes: BTreeMap<Step, Outcome>,
    /// Forms that were applied, newest first, at most three an item: what is kept alive until a new one is ready.
    pub revisions: BTreeMap<ItemName, Vec<Arc<WantedItem>>>,
    /// Items suspended by hand.
    pub suspended: BTreeSet<ItemName>,
    /// Whether everything is suspended by hand.
    pub all_suspended: bool,
    /// Sets of things that may go although they are over a budget.
    pub approvals: Vec<BTreeSet<Approved>>,
    /// Items whose recorded selection is to be computed afresh.
    pub reselect: BTreeSet<ItemName>,
    /// Where commits come from.
    pub source: Option<SourceIdentity>,
    /// The commit that is in force.
    pub commit: Option<CommitId>,
}

/// One change of memory; a batch of them is written once a pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A step went so.
    Outcome(Step, Outcome),
    /// A step is forgotten: a new revision, or `wharf reconcile`.
    Forget(Step),
    /// The forms kept of an item, newest first; empty forgets the item.
    Revisions(ItemName, Vec<Arc<WantedItem>>),
    /// An item is suspended or resumed.
    Suspended(ItemName, bool),
    /// Everything is suspended or resumed.
    AllSuspended(bool),
    /// A set was approved.
    Approve(BTreeSet<Approved>),
    /// An item's selection is (or no longer is) to be computed afresh.
    Reselect(ItemName, bool),
    /// Where commits come from.
    Source(SourceIdentity),
    /// The commit in force.
    Commit(CommitId),
}

impl Memory {
    /// What is remembered of an item's runs and renders.
    pub fn outcomes_of<'a>(&'a self, item: &'a ItemName) -> impl Iterator<Item = (&'a Step, &'a Outcome)> {
        let first = Step::Job { item: item.clone(), role: Role::Build, revision: Revision::lowest(), slot: Slot::Once };
        self.outcomes
            .range(first..)
            .take_while(move |(step, _)| matches!(step, Step::Job { item: of, .. } if of == item))
    }

    /// Takes a change in. The registry stores the same change, so both stay equal.
    pub fn take(&mut self, change: &Change) {
        match change {
            Change::Outcome(step, outcome) => {
                self.outcomes.insert(step.clone(), outcome.clone());
            }
            Change::Forget(step) => {
                self.outcomes.remove(step);
            }
            Change::Revisions(item, forms) if forms.is_empty() => {
                self.revisions.remove(item);
            }
            Change::Revisions(item, forms) => {
                self.revisions.insert(item.clone(), forms.clone());
            }
            Change::Suspended(item, true) => {
                self.suspended.insert(item.clone());
            }
            Change::Suspended(item, false) => {
                self.suspended.remove(item);
            }
            Change::AllSuspended(suspended) => self.all_suspended = *suspended,
            Change::Approve(set) => {
                if !self.approvals.contains(set) {
                    self.approvals.push(set.clone());
                }
            }
            Change::Reselect(item, true) => {
                self.reselect.insert(item.clone());
            }
            Change::Reselect(item, false) => {
                self.reselect.remove(item);
            }
            Change::Source(source) => self.source = Some(source.clone()),
            Change::Commit(commit) => self.commit = Some(*commit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_to_an_hour() {
        let minutes: Vec<i64> = (1..=8).map(|failures| backoff(failures).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
