//! One pass from the newest commit to the world, and what wakes the next one. It takes no input: it reads the world again.

mod bundles;
mod commits;
mod daemon;
mod git;
mod goals;
mod guard;
mod requests;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

pub use bundles::CommitBundles;
pub use commits::{Commits, CommitsError, SharedSnapshot};
pub use daemon::{Command, Daemon, Ended, Seen, Wakes};
pub use git::{GitCommits, GitWakes};
pub use goals::{GoalMaker, GoalSettings, Goals};
pub use guard::{Consent, Refusal};
pub use requests::{Answer, Request};
pub use status::{InForce, Status};

use crate::apply::{Applied, Hands, apply};
use crate::clock::Clock;
use crate::desired::{self, Desired};
use crate::executor::{Executor, ExecutorError};
use crate::model::{CommitId, ItemName};
use crate::plan::{
    Change, ExecutorView, Observed, Options, Outcome, Payload, Plan, RegistryView, Settled, Step, Subject, learn,
    plan_again,
};
use crate::registry::{HistoryEntry, Registry, RegistryError};

/// Why a pass came to nothing. What runs goes on running.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The records cannot be read or written.
    #[error("the registry failed: {0}")]
    Registry(#[from] RegistryError),
    /// The jobs cannot be observed.
    #[error("the executor failed: {0}")]
    Executor(#[from] ExecutorError),
    /// There is no commit yet, and none was ever in force.
    #[error("there is no commit to apply: {reason}")]
    NoCommit {
        /// Why.
        reason: String,
    },
    /// Reading the commit stopped in the middle.
    #[error("reading the commit {commit} stopped unexpectedly; this is a defect of wharf, and nothing was changed")]
    Reader {
        /// Which commit.
        commit: CommitId,
    },
}

/// What the operator chose for this run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What goes into goals.
    pub goals: GoalSettings,
    /// Adoption and schedules.
    pub options: Options,
    /// What is consented to: rewinds, another source.
    pub consent: Consent,
    /// Who is written into the history.
    pub actor: String,
}

/// Everything a pass drives.
pub struct Rooms {
    /// Where commits come from.
    pub commits: Arc<dyn Commits>,
    /// Where records live.
    pub registry: Arc<dyn Registry>,
    /// Where jobs run.
    pub executor: Arc<dyn Executor>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The operator's ceiling.
    pub ceiling: Arc<desired::Ceiling>,
}

/// What one pass came to.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What differed.
    pub plan: Arc<Plan>,
    /// What was done about it.
    pub applied: Applied,
    /// When something becomes due by itself.
    pub next_wake: Option<Timestamp>,
}

/// Holds the caches between passes.
pub struct Reconciler {
    rooms: Rooms,
    settings: Settings,
    maker: GoalMaker,
    cache: Arc<desired::Cache>,
    in_force: Option<InForce>,
    status: Status,
    /// Whether the source is to be asked in the next pass.
    look: bool,
    /// What the last plan was made of.
    last: Option<Last>,
}

/// What a plan was made of, so that the next one in the same world costs what changed. The world is held weakly: its
/// rooms may then change it without a copy.
struct Last {
    registry: Weak<RegistryView>,
    executor: Weak<ExecutorView>,
    desired: Arc<Desired>,
    plan: Arc<Plan>,
    settled: Settled,
}

impl Last {
    fn is_in(&self, registry: &Arc<RegistryView>, executor: &Arc<ExecutorView>) -> bool {
        let same = |weak: &Weak<RegistryView>| weak.upgrade().is_some_and(|it| Arc::ptr_eq(&it, registry));
        same(&self.registry) && self.executor.upgrade().is_some_and(|it| Arc::ptr_eq(&it, executor))
    }

    /// Whether nothing at all can have changed since.
    fn still_holds(&self, desired: &Arc<Desired>, now: Timestamp) -> bool {
        let due = self.plan.next_wake.is_some_and(|time| time <= now);
        Arc::ptr_eq(&self.desired, desired) && self.plan.is_settled() && self.plan.operations.is_empty() && !due
    }
}

impl Reconciler {
    /// A reconciler with empty caches, as after a start.
    pub fn new(rooms: Rooms, settings: Settings) -> Self {
        Self {
            maker: GoalMaker::new(settings.goals.clone()),
            rooms,
            settings,
            cache: Arc::default(),
            in_force: None,
            status: Status::default(),
            look: true,
            last: None,
        }
    }

    /// Changes whenever the executor's world may have.
    pub fn executor_events(&self) -> tokio::sync::watch::Receiver<u64> {
        self.rooms.executor.events()
    }

    /// What time it is for this reconciler.
    pub fn now(&self) -> Timestamp {
        self.rooms.clock.now()
    }

    /// Lets the next pass ask the source for a new commit.
    pub const fn look_again(&mut self) {
        self.look = true;
    }

    /// What is known: the commit in force, what is wrong with a newer one, the newest plan.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// What the commit in force asks for.
    pub const fn in_force(&self) -> Option<&InForce> {
        self.in_force.as_ref()
    }

    /// One pass: look, read, observe, learn, plan, apply. Called again and again it ends with empty plans.
    pub async fn pass(&mut self, cancel: &CancellationToken) -> Result<Pass, PassError> {
        let (registry, plan) = self.plan(true).await?;
        let known = Known::of(&registry);
        // A registry that is shared would have to be copied for every record that is written.
        drop(registry);
        let mut applied = self.apply(&plan, &known, cancel).await?;
        applied.changes.extend(reselected(&plan, &known.reselect, &applied));
        if !applied.changes.is_empty() {
            self.rooms.registry.remember(&applied.changes, self.now()).await?;
        }
        // What failed without being remembered for an item is tried again soon, and never in a tight loop.
        let soon = match (applied.moved, applied.failed) {
            (true, _) => Some(SignedDuration::from_secs(1)),
            (false, true) => Some(SignedDuration::from_mins(1)),
            (false, false) => None,
        };
        let again = soon.and_then(|wait| self.now().checked_add(wait).ok());
        let next_wake = plan.next_wake.into_iter().chain(again).min();
        Ok(Pass { plan, applied, next_wake })
    }

    /// The plan alone: what a pass would do. With `learning`, ended jobs are written down first.
    pub async fn plan(&mut self, learning: bool) -> Result<(Arc<RegistryView>, Arc<Plan>), PassError> {
        let mut registry = self.rooms.registry.view().await?;
        self.refresh(&registry, learning).await?;
        let executor = self.rooms.executor.view().await?;
        let now = self.rooms.clock.now();
        let last = self.last.take().filter(|last| last.is_in(&registry, &executor));
        if let (Some(known), Some(in_force)) = (&last, &self.in_force)
            && known.still_holds(&in_force.desired, now)
        {
            let plan = known.plan.clone();
            self.status.planned(plan.clone(), now);
            self.last = last;
            return Ok((registry, plan));
        }
        // A world that taught nothing a moment ago teaches nothing now.
        let lessons = match &last {
            Some(_) => Vec::new(),
            None => learn(Observed { registry: &registry, executor: &executor }, now),
        };
        if !lessons.is_empty() {
            if learning {
                drop(registry);
                self.rooms.registry.remember(&lessons, now).await?;
                registry = self.rooms.registry.view().await?;
            } else {
                let view = Arc::make_mut(&mut registry);
                for lesson in &lessons {
                    view.memory.take(lesson);
                }
            }
        }
        let candidates = self.rooms.executor.candidates().await?;
        let Some(in_force) = &self.in_force else {
            return Err(PassError::NoCommit { reason: self.status.why_no_commit() });
        };
        let goals = self.maker.make(&in_force.desired, &candidates, &registry);
        let observed = Observed { registry: &registry, executor: &executor };
        let mut settled = match last {
            Some(last) if last.desired.policy == in_force.desired.policy => last.settled,
            _ => Settled::default(),
        };
        let plan = Arc::new(plan_again(&goals.goal(self.settings.options), observed, now, &mut settled));
        self.last = Some(Last {
            registry: Arc::downgrade(&registry),
            executor: Arc::downgrade(&executor),
            desired: in_force.desired.clone(),
            plan: plan.clone(),
            settled,
        });
        self.status.planned(plan.clone(), now);
        Ok((registry, plan))
    }

    /// Does what is due of a plan, and writes down what came of it.
    async fn apply(&self, plan: &Plan, known: &Known, cancel: &CancellationToken) -> Result<Applied, PassError> {
        let Some(in_force) = &self.in_force else { return Ok(Applied::default()) };
        if !plan.operations.iter().any(|operation| operation.due) {
            return Ok(Applied::default());
        }
        let needed = plan.operations.iter().filter_map(|operation| match &operation.payload {
            Payload::Bundle(spec) => Some(spec.clone()),
            _ => None,
        });
        let bundles = CommitBundles::new(&in_force.desired, needed, in_force.snapshot.clone());
        let hands = Hands {
            registry: &*self.rooms.registry,
            executor: &*self.rooms.executor,
            bundles: &bundles,
            clock: &*self.rooms.clock,
            outcomes: &known.writes,
        };
        let applied = apply(plan, &hands, cancel).await;
        let now = self.rooms.clock.now();
        if !applied.results.is_empty() {
            let entry = HistoryEntry {
                time: now,
                commit: Some(in_force.commit),
                plan: plan.id.to_string(),
                actor: self.settings.actor.clone(),
                results: applied.results.clone(),
            };
            self.rooms.registry.record(entry).await?;
        }
        Ok(applied)
    }

    /// Asks the source for a new commit and takes it in, unless something speaks against it.
    async fn refresh(&mut self, registry: &RegistryView, learning: bool) -> Result<(), PassError> {
        let looked = if self.look || self.in_force.is_none() { Some(self.rooms.commits.look().await) } else { None };
        match looked {
            None => return Ok(()),
            Some(Ok(commit)) => {
                self.look = false;
                self.status.seen(commit);
                if self.in_force.as_ref().is_none_or(|in_force| in_force.commit != commit) {
                    self.take_in(commit, registry, learning).await?;
                }
            }
            Some(Err(error)) => {
                // Asked again at the next poll; what is in force stays.
                self.look = false;
                self.status.source_failed(error.message);
            }
        }
        if self.in_force.is_none() {
            self.fall_back(registry).await?;
        }
        Ok(())
    }

    /// Puts a commit in force, or says why not.
    async fn take_in(&mut self, commit: CommitId, registry: &RegistryView, learning: bool) -> Result<(), PassError> {
        let refusal = guard::refusal(&*self.rooms.commits, commit, registry, &self.settings.consent).await;
        if let Some(refusal) = refusal {
            self.status.refused(commit, refusal.to_string());
            return Ok(());
        }
        let snapshot = match self.rooms.commits.snapshot(commit).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.status.source_failed(error.message);
                return Ok(());
            }
        };
        match self.read(commit, &snapshot).await? {
            Ok(desired) if guard::is_void(&desired) && !registry.contents.is_empty() => {
                self.status.refused(commit, guard::VOID.to_owned());
            }
            Ok(desired) if desired.applicable => {
                self.status.in_force(commit, &desired);
                self.in_force = Some(InForce { commit, desired, snapshot });
                if learning {
                    self.remember_commit(commit, registry).await?;
                }
            }
            Ok(desired) => self.status.not_applicable(commit, &desired),
            Err(reason) => self.status.refused(commit, reason),
        }
        Ok(())
    }

    /// After a start with a commit that cannot be taken in: the one that was in force before.
    async fn fall_back(&mut self, registry: &RegistryView) -> Result<(), PassError> {
        let Some(commit) = registry.memory.commit else { return Ok(()) };
        // The commit of another source would be read through this one's path.
        let own = self.rooms.commits.identity();
        let known = registry.memory.source.as_ref();
        if known.is_some_and(|known| known.repository != own.repository || known.path != own.path) {
            return Ok(());
        }
        let Ok(snapshot) = self.rooms.commits.snapshot(commit).await else { return Ok(()) };
        if let Ok(desired) = self.read(commit, &snapshot).await?
            && desired.applicable
        {
            self.status.fell_back(commit, &desired);
            self.in_force = Some(InForce { commit, desired, snapshot });
        }
        Ok(())
    }

    /// Reads a commit on a thread of its own: it is work for the processor and the disk.
    async fn read(
        &self,
        commit: CommitId,
        snapshot: &SharedSnapshot,
    ) -> Result<Result<Arc<Desired>, String>, PassError> {
        let (snapshot, ceiling, cache) = (snapshot.clone(), self.rooms.ceiling.clone(), self.cache.clone());
        let read = move || desired::read(&*snapshot, &ceiling, &cache).map(Arc::new).map_err(|error| chain(&error));
        tokio::task::spawn_blocking(read).await.map_err(|_| PassError::Reader { commit })
    }

    async fn remember_commit(&self, commit: CommitId, registry: &RegistryView) -> Result<(), PassError> {
        let mut changes = Vec::new();
        let identity = self.rooms.commits.identity();
        if registry.memory.source.as_ref() != Some(&identity) {
            changes.push(Change::Source(identity));
        }
        if registry.memory.commit != Some(commit) && !self.rooms.commits.is_working_tree() {
            changes.push(Change::Commit(commit));
            // A new commit may mend what could not be written: it is tried at once.
            let writes = registry.memory.outcomes.keys().filter(|step| matches!(step, Step::Write { .. }));
            changes.extend(writes.map(|step| Change::Forget(step.clone())));
        }
        if !changes.is_empty() {
            self.rooms.registry.remember(&changes, self.rooms.clock.now()).await?;
        }
        Ok(())
    }
}

/// What applying needs to know of the registry, without holding on to it.
struct Known {
    writes: BTreeMap<Step, Outcome>,
    reselect: BTreeSet<ItemName>,
}

impl Known {
    fn of(registry: &RegistryView) -> Self {
        let outcomes = registry.memory.outcomes.iter();
        let writes = outcomes.filter(|(step, _)| matches!(step, Step::Write { .. }));
        Self {
            writes: writes.map(|(step, outcome)| (step.clone(), outcome.clone())).collect(),
            reselect: registry.memory.reselect.clone(),
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

/// Items that were to be selected afresh, and now are: their record says so, or has nothing to change.
fn reselected(plan: &Plan, reselect: &BTreeSet<ItemName>, applied: &Applied) -> Vec<Change> {
    let is_fresh = |name: &&ItemName| {
        let written = |subject: &Subject| matches!(subject, Subject::Content(of) if of == *name);
        let planned = plan.operations.iter().any(|operation| written(&operation.subject));
        let text = name.as_str();
        let held = plan.blocked.iter().flat_map(|blocked| &blocked.things).any(|thing| thing.name == text)
            || plan.stalled.iter().any(|stalled| stalled.name == text)
            || plan.backing_off.iter().any(|waiting| waiting.item == **name)
            || plan.notes.iter().any(|note| note.name == text && note.kind == "suspended");
        let done = applied.results.iter().any(|result| {
            result.item.as_ref() == Some(*name) && result.error.is_none() && result.operation.contains(" content ")
        });
        done || !planned && !held
    };
    reselect.iter().filter(is_fresh).map(|name| Change::Reselect(name.clone(), false)).collect()
}
