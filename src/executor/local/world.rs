//! What runs here, in memory, and the view that is made of it one job at a time. No file is read and no process touched.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;

use super::intent::{Intent, Task};
use super::services::StoredService;
use crate::model::Slug;
use crate::plan::{ExecutorView, JobName, ObservedJob, Ownership, Phase, Revision, Role};
use crate::session::protocol::{self, Outcome, ProcessIdentity, SessionState};

/// How far a job's session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    /// The directory is there, and nothing was started for it.
    Unstarted,
    /// A build that waits for others to end.
    Queued,
    /// Its session runs.
    Alive,
    /// Its session is over, and its state says how.
    Ended,
    /// Its session is over and could not say how.
    Lost(Lost),
}

/// The end of a session that could not tell it itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// Why, for people.
    pub reason: String,
    /// What it said last.
    pub tail: Vec<String>,
    /// Whether it counts as a failed try.
    pub counts: bool,
    /// When it was noticed.
    pub at: Timestamp,
}

/// One job directory.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// What it is.
    pub intent: Arc<Intent>,
    /// How far its session is.
    pub life: Life,
    /// Whether this executor, or a former one, asked it to end. It is shown as stopping until it is put aside.
    pub stopping: bool,
    /// Its session's process, where one was started.
    pub identity: Option<ProcessIdentity>,
    /// What its session said last.
    pub state: Option<SessionState>,
}

impl Known {
    /// A job that was just written down.
    pub fn new(intent: Arc<Intent>, life: Life) -> Self {
        Self { intent, life, stopping: false, identity: None, state: None }
    }

    /// Whether it uses or may come to use what its intent names.
    pub fn is_live(&self) -> bool {
        matches!(self.life, Life::Unstarted | Life::Queued | Life::Alive) && !self.said_how_it_ended()
    }

    /// Whether its session told its end; the process follows within milliseconds.
    pub fn said_how_it_ended(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.exit.is_some())
    }

    /// Whether its session did what it was for.
    pub fn has_succeeded(&self) -> bool {
        let exit = self.state.as_ref().and_then(|state| state.exit.as_ref());
        exit.is_some_and(|exit| exit.outcome == Outcome::Succeeded)
    }

    /// Whether nothing more will be in its log.
    pub fn is_over(&self) -> bool {
        matches!(self.life, Life::Ended | Life::Lost(_)) || self.said_how_it_ended()
    }

    /// Whether a forwarder listens.
    pub fn is_listening(&self) -> bool {
        self.life == Life::Alive && self.state.as_ref().is_some_and(|state| state.phase == protocol::Phase::Ready)
    }

    /// Why it failed, for people.
    pub fn failure(&self) -> Option<String> {
        match self.phase() {
            Phase::Failed { reason, .. } => Some(reason),
            _ => None,
        }
    }

    fn phase(&self) -> Phase {
        let starting = |progress: &str| Phase::Starting { progress: Some(progress.to_owned()) };
        // A job that was asked to end never shows how it did: nobody is to make anything of it.
        if self.stopping && self.intent.role().is_some() {
            return Phase::Stopping;
        }
        match &self.life {
            Life::Lost(lost) => {
                Phase::Failed { reason: lost.reason.clone(), tail: lost.tail.clone(), counts: lost.counts }
            }
            Life::Unstarted => starting("about to start"),
            Life::Queued => starting("waiting for a free build slot"),
            Life::Alive | Life::Ended => match &self.state {
                Some(state) => self.phase_of(state),
                None => starting("starting its session"),
            },
        }
    }

    fn phase_of(&self, state: &SessionState) -> Phase {
        let starting = |otherwise: &str| Phase::Starting {
            progress: Some(state.progress.clone().unwrap_or_else(|| otherwise.to_owned())),
        };
        match state.phase {
            protocol::Phase::Starting => starting(match self.intent.role() {
                Some(Role::Build) => "preparing the package environment",
                Some(Role::Render) => "preparing to render",
                _ => "waiting for its port",
            }),
            protocol::Phase::Installing => starting("installing packages"),
            protocol::Phase::Running => starting("rendering"),
            protocol::Phase::Ready => Phase::Ready,
            protocol::Phase::Stopping => Phase::Stopping,
            protocol::Phase::Exited => self.phase_of_exit(state),
        }
    }

    fn phase_of_exit(&self, state: &SessionState) -> Phase {
        let Some(exit) = &state.exit else {
            return Phase::Failed {
                reason: "its session ended without saying how".to_owned(),
                tail: Vec::new(),
                counts: true,
            };
        };
        // A process that is to be kept alive has failed when it ends, however politely.
        let reason = match exit.outcome {
            Outcome::Succeeded if self.intent.role() != Some(Role::Run) => return Phase::Succeeded,
            // Content of the same user can ask its session to end; were that nobody's failure, it would be started
            // again at once and for ever.
            Outcome::Stopped => "something else than wharf told it to stop".to_owned(),
            Outcome::Succeeded | Outcome::Failed => exit.reason.clone(),
        };
        Phase::Failed { reason, tail: exit.tail.clone(), counts: true }
    }

    /// The job as the plan sees it; `None` for a forwarder, which belongs to a service.
    fn observed(&self, address: IpAddr) -> Option<ObservedJob> {
        let intent = &self.intent;
        let Task::Job { role, revision, slot, attempt, .. } = &intent.task else { return None };
        let state = self.state.as_ref();
        let time = |ms: u64| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok();
        let lost = if let Life::Lost(lost) = &self.life { Some(lost.at) } else { None };
        // Once it said how it ended, its process is as good as gone.
        let alive = self.life == Life::Alive && !self.said_how_it_ended();
        Some(ObservedJob {
            name: intent.name.clone(),
            uid: intent.uid.clone(),
            ownership: Ownership::Ours,
            role: *role,
            item: intent.item.clone(),
            revision: revision.clone(),
            slot: *slot,
            attempt: *attempt,
            phase: self.phase(),
            started: intent.started,
            ready: state.and_then(|state| state.ready_at).and_then(time),
            ended: lost.or_else(|| state.and_then(|state| state.ended_at).and_then(time)),
            address: state
                .filter(|state| alive && *role == Role::Run && state.phase == protocol::Phase::Ready)
                .and_then(|state| state.port)
                .map(|port| SocketAddr::new(address, port).to_string()),
            pid: self.identity.as_ref().filter(|_| alive).and_then(|identity| u32::try_from(identity.pid).ok()),
        })
    }
}

/// Everything that is known, and the view.
#[derive(Debug)]
pub(super) struct World {
    /// Where processes listen.
    address: IpAddr,
    /// Every job directory.
    jobs: BTreeMap<JobName, Known>,
    /// Builds that wait, first come first served.
    pub queue: VecDeque<JobName>,
    /// Every address that items have or had.
    pub services: BTreeMap<Slug, StoredService>,
    view: Arc<ExecutorView>,
}

impl World {
    pub fn new(address: IpAddr, view: ExecutorView) -> Self {
        Self { address, jobs: BTreeMap::new(), queue: VecDeque::new(), services: BTreeMap::new(), view: Arc::new(view) }
    }

    pub fn view(&self) -> Arc<ExecutorView> {
        Arc::clone(&self.view)
    }

    pub fn job(&self, name: &JobName) -> Option<&Known> {
        self.jobs.get(name)
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Known> {
        self.jobs.values()
    }

    /// Takes a job in.
    pub fn insert(&mut self, known: Known) {
        let name = known.intent.name.clone();
        self.jobs.insert(name.clone(), known);
        self.show(&name);
    }

    /// Changes a job, unless it is gone or another of its name; whether that made a difference to the view.
    pub fn change(&mut self, intent: &Intent, change: impl FnOnce(&mut Known)) -> bool {
        match self.jobs.get_mut(&intent.name).filter(|known| known.intent.uid == intent.uid) {
            Some(known) => {
                change(known);
                self.show(&intent.name)
            }
            None => false,
        }
    }

    /// Forgets a job.
    pub fn remove(&mut self, name: &JobName) -> Option<Known> {
        let known = self.jobs.remove(name)?;
        self.queue.retain(|queued| queued != name);
        let intent = &known.intent;
        let view = Arc::make_mut(&mut self.view);
        match (intent.role(), intent.package()) {
            (Some(Role::Build), Some(key)) => {
                if let Some(builds) = view.builds.get_mut(key) {
                    builds.retain(|build| build.name != *name);
                }
                view.builds.retain(|_, builds| !builds.is_empty());
            }
            (Some(_), _) => self.change_item(&known.intent.slug, |item| {
                item.jobs.remove(name);
            }),
            (None, _) => {}
        }
        Some(known)
    }

    /// Changes what is shown of an item. One of which nothing is left is not shown at all.
    pub fn change_item(&mut self, slug: &Slug, change: impl FnOnce(&mut crate::plan::ObservedItem)) {
        let view = Arc::make_mut(&mut self.view);
        let item = view.items.entry(slug.clone()).or_default();
        change(item);
        if *item == crate::plan::ObservedItem::default() {
            view.items.remove(slug);
        }
    }

    /// Changes what is shown besides items.
    pub fn change_view(&mut self, change: impl FnOnce(&mut ExecutorView)) {
        change(Arc::make_mut(&mut self.view));
    }

    /// Brings the view of one job up to date; whether it changed.
    fn show(&mut self, name: &JobName) -> bool {
        let Some(known) = self.jobs.get(name) else { return false };
        let Some(observed) = known.observed(self.address) else { return true };
        let intent = Arc::clone(&known.intent);
        let build = intent.package().filter(|_| observed.role == Role::Build);
        let former = match build {
            Some(key) => self.view.builds.get(key).and_then(|builds| builds.iter().find(|one| one.name == *name)),
            None => self.view.items.get(&intent.slug).and_then(|item| item.jobs.get(name)),
        };
        if former == Some(&observed) {
            return false;
        }
        if let Some(key) = build {
            let builds = Arc::make_mut(&mut self.view).builds.entry(key.clone()).or_default();
            builds.retain(|build| build.name != *name);
            builds.push(observed);
            builds.sort_by(|a, b| (a.attempt, &a.name).cmp(&(b.attempt, &b.name)));
        } else {
            self.change_item(&intent.slug, |item| {
                item.jobs.insert(name.clone(), observed);
            });
        }
        true
    }

    /// Where the ready processes of a revision listen.
    pub fn ready(&self, slug: &Slug, revision: &Revision) -> Vec<SocketAddr> {
        let jobs = self.view.items.get(slug).into_iter().flat_map(|item| item.jobs.values());
        let ready = jobs.filter(|job| job.revision == *revision && job.phase == Phase::Ready);
        ready.filter_map(|job| job.address.as_deref()?.parse().ok()).collect()
    }

    /// How many builds run or are about to.
    pub fn busy_builds(&self) -> usize {
        let builds = self.jobs.values().filter(|known| known.intent.role() == Some(Role::Build));
        builds.filter(|known| matches!(known.life, Life::Alive | Life::Unstarted)).count()
    }
}
