//! The plan as a value: operations, and what is listed beside them. It decides nothing and prints nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::job::{BundleSpec, JobSpec, ServiceSpec};
use super::memory::Approved;
use super::names::{JobName, PlanId, Revision, Role, Slot};
use super::observed::{Origin, Uid};
use super::wanted::WantedItem;
use crate::model::{Cpu, Digest, Environment, ImageRef, ItemName, Memory, Slug};

/// What an operation does to its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is not there.
    Create,
    /// It is there and differs.
    Update,
    /// It is there, differs and cannot be changed: gone, then made again.
    Replace,
    /// It is there and should not be.
    Delete,
    /// It is there, somebody else's, and is taken over.
    Adopt,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Adopt => "adopt",
        })
    }
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(tag = "kind", content = "name", rename_all = "lowercase")]
pub enum Subject {
    /// An environment's record.
    Environment(ImageRef),
    /// An item's record.
    Content(ItemName),
    /// An item's files at one commit.
    Bundle(String),
    /// A job.
    Job(JobName),
    /// An item's stable address.
    Service(String),
    /// The output of one render.
    Result(String),
}

impl Subject {
    /// A bundle, as `<item>/<bundle>`.
    pub fn bundle(spec: &BundleSpec) -> Self {
        Self::Bundle(format!("{}/{}", spec.slug, spec.id))
    }

    /// A service, by the item's short name.
    pub fn service(slug: &Slug) -> Self {
        Self::Service(slug.to_string())
    }

    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::Content(_) => "content",
            Self::Bundle(_) => "bundle",
            Self::Job(_) => "job",
            Self::Service(_) => "service",
            Self::Result(_) => "result",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => name.fmt(f),
            Self::Content(name) => name.fmt(f),
            Self::Job(name) => name.fmt(f),
            Self::Bundle(name) | Self::Service(name) | Self::Result(name) => f.pad(name),
        }
    }
}

/// What must hold before an operation may be issued.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(tag = "until", rename_all = "lowercase")]
pub enum Wait {
    /// An earlier operation on this subject was done.
    Done {
        /// The subject.
        subject: Subject,
    },
    /// This job succeeded.
    Succeeded {
        /// The job.
        job: JobName,
    },
    /// This job accepts connections.
    Ready {
        /// The job.
        job: JobName,
    },
}

/// What must still be true of the subject when the operation is issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(tag = "subject", rename_all = "lowercase")]
pub enum Precondition {
    /// It is not there.
    Absent,
    /// It is this very one, and our fields are these.
    Present {
        /// Its identity.
        uid: Uid,
        /// The digest of our fields.
        #[schemars(with = "String")]
        digest: Digest,
    },
}

/// The value an operation needs in order to be done; what `before` and `after` show is made from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Write an environment's record.
    Environment {
        /// As it should be.
        form: Arc<Environment>,
        /// Where it came from.
        origin: Origin,
    },
    /// Write an item's record.
    Content {
        /// As it should be.
        form: Arc<WantedItem>,
        /// Where it came from.
        origin: Origin,
    },
    /// Write an item's files.
    Bundle(BundleSpec),
    /// Start a job.
    Job(JobSpec),
    /// Make an address answer.
    Service(ServiceSpec),
    /// The output of one render.
    Result {
        /// The item's short name.
        slug: Slug,
        /// The revision that was rendered.
        revision: Revision,
        /// Its slot.
        slot: Slot,
    },
    /// Take the subject away: nothing but its name is needed.
    Nothing,
}

/// One step from the world as it is to the world as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What is done.
    pub action: Action,
    /// To what.
    pub subject: Subject,
    /// For which item; environments have none.
    pub item: Option<ItemName>,
    /// Why, for people: `image moved digest`, `requirements.txt changed`, `drift: suspend edited`.
    pub reason: String,
    /// The subject as it was, for the diff.
    pub before: Option<serde_json::Value>,
    /// What must hold first.
    pub after: Vec<Wait>,
    /// What must still be true.
    pub precondition: Precondition,
    /// What is written.
    pub payload: Payload,
    /// Collecting something old: done silently, and no reason for `diff` to exit 1.
    pub housekeeping: bool,
    /// Whether it can be issued in this pass: everything it waits for is done by earlier operations of the same item.
    /// The plan sets it last.
    pub due: bool,
}

impl Operation {
    /// The subject as it will be, as JSON.
    pub fn after_value(&self) -> Option<serde_json::Value> {
        if self.action == Action::Delete {
            return None;
        }
        let value = match &self.payload {
            Payload::Environment { form, .. } => serde_json::to_value(form),
            Payload::Content { form, .. } => serde_json::to_value(form),
            Payload::Bundle(spec) => serde_json::to_value(spec),
            Payload::Job(spec) => serde_json::to_value(spec),
            Payload::Service(spec) => serde_json::to_value(spec),
            Payload::Result { .. } | Payload::Nothing => return None,
        };
        value.ok()
    }
}

/// A job that was started and has not come to its end (or, for a run, to readiness).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct InFlight {
    /// Whose.
    pub item: ItemName,
    /// The job.
    pub job: JobName,
    /// Build, run or render.
    pub role: Role,
    /// What it does now, in words.
    pub progress: Option<String>,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// A step that failed and will be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct BackingOff {
    /// Whose.
    pub item: ItemName,
    /// What failed: `build`, `run`, `render`, `write`.
    pub step: String,
    /// How often in a row.
    pub failures: u32,
    /// When it is tried again.
    #[schemars(with = "String")]
    pub next_try: Timestamp,
    /// Why it failed.
    pub reason: String,
}

/// An item or environment that cannot get on without a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Stalled {
    /// Which: an item's name or an image.
    pub name: String,
    /// Why.
    pub reason: String,
    /// What to do next.
    pub help: Option<String>,
    /// The last lines of a log, where one explains it.
    pub tail: Vec<String>,
}

/// A set of things held back by a budget, and the id that lets them through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Blocked {
    /// `deletions` or `moves`.
    pub budget: String,
    /// What `wharf approve` takes.
    pub approval: String,
    /// What is held back.
    pub things: Vec<Approved>,
    /// How the budget was exceeded, in words.
    pub reason: String,
}

/// Something worth knowing that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
pub struct Note {
    /// Of which item or image.
    pub name: String,
    /// `could-move`, `not-runnable-here`, `renamed`, `redirect`, `suspended`, `runs-on-host`, `drift`.
    pub kind: String,
    /// What, in words.
    pub text: String,
}

/// What a plan costs: the first line of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
pub struct Cost {
    /// Processes started.
    pub starts: u32,
    /// CPU they ask for.
    pub cpu: Cpu,
    /// Memory they ask for.
    pub memory: Memory,
    /// Package environments built.
    pub builds: u32,
    /// Documents rendered.
    pub renders: u32,
    /// Processes ended.
    pub stops: u32,
    /// Items and environments deleted.
    pub deletes: u32,
}

/// What differs, what is done about it, and why.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A hash of the operations and what they were computed from.
    pub id: PlanId,
    /// In the order in which they are done; operations of different items are independent.
    pub operations: Vec<Operation>,
    /// Started and not at its end.
    pub in_flight: Vec<InFlight>,
    /// Failed and to be tried again.
    pub backing_off: Vec<BackingOff>,
    /// Cannot get on without a person.
    pub stalled: Vec<Stalled>,
    /// Held back by a budget.
    pub blocked: Vec<Blocked>,
    /// Worth knowing.
    pub notes: Vec<Note>,
    /// What it costs.
    pub cost: Cost,
    /// When something becomes due by itself: a retry, a schedule, a collection.
    pub next_wake: Option<Timestamp>,
    /// How many items there are and how many of them are as they should be.
    pub items: BTreeMap<&'static str, u32>,
}

impl Plan {
    /// Whether there is nothing left to issue (housekeeping apart).
    pub fn is_empty(&self) -> bool {
        self.operations.iter().all(|operation| operation.housekeeping)
    }

    /// The operations that are changes, not housekeeping.
    pub fn changes(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| !operation.housekeeping)
    }

    /// Whether nothing is under way either.
    pub fn is_settled(&self) -> bool {
        self.is_empty() && self.in_flight.is_empty() && self.backing_off.is_empty()
    }
}
