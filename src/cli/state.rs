//! What an item is doing, in one word and a few more: read from records, jobs and memory. Pure; who shows it is `ps`, `status`, `run` and `apply`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Appmode, ItemName, Kind};
use crate::plan::{
    ExecutorView, ObservedItem, ObservedJob, Outcome, Phase, RegistryView, Role, Step, Target, WantedItem,
};

/// What an item is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// Its processes answer, its result or its files are served.
    Ready,
    /// Its packages are installed.
    Building,
    /// Its processes are started.
    Starting,
    /// It is rendered.
    Rendering,
    /// Its next step is not begun yet.
    Waiting,
    /// A step failed; it is tried again.
    Retrying,
    /// A step failed too often; only a new revision or `wharf reconcile` starts another try.
    Failed,
    /// Nothing of it is touched.
    Suspended,
}

impl Doing {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Building => "building",
            Self::Starting => "starting",
            Self::Rendering => "rendering",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Suspended => "suspended",
        }
    }
}

/// One item as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ItemState {
    /// Its name.
    pub item: String,
    /// What it is.
    pub appmode: Appmode,
    /// What it is doing.
    pub state: Doing,
    /// More about it: what is installed, why it failed.
    pub detail: Option<String>,
    /// Where people reach it.
    pub url: Option<String>,
    /// The environment it runs in; null for static items.
    pub environment: Option<String>,
    /// Its revision: a new one is a restart.
    pub revision: String,
    /// Its live processes, builds and renders.
    pub processes: Vec<ProcessState>,
}

/// One job that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProcessState {
    /// Its name, for `wharf logs --job`.
    pub job: String,
    /// Build, run or render.
    pub role: Role,
    /// `starting`, `ready` or `stopping`.
    pub phase: &'static str,
    /// What it does now.
    pub progress: Option<String>,
    /// Its process on this host.
    pub pid: Option<u32>,
    /// Where it listens.
    pub address: Option<String>,
    /// How many tries there were before it.
    pub restarts: u32,
    /// When it was started, RFC 3339.
    pub started: String,
}

/// Every item that has a record, by name.
pub fn items(registry: &RegistryView, executor: &ExecutorView) -> Vec<ItemState> {
    let records = registry.contents.values();
    records.map(|record| item(&record.form, registry, executor)).collect()
}

fn item(form: &WantedItem, registry: &RegistryView, executor: &ExecutorView) -> ItemState {
    let empty = ObservedItem::default();
    let observed = executor.items.get(&form.slug).unwrap_or(&empty);
    let builds = build_jobs(form, executor);
    let (state, detail) = doing(form, registry, observed, builds);
    let alive = builds.iter().chain(observed.jobs.values()).filter(|job| job.phase.is_active());
    ItemState {
        item: form.name.to_string(),
        appmode: form.appmode,
        state,
        detail,
        url: observed.service.as_ref().and_then(|service| service.url.clone()),
        environment: form.selected.as_ref().map(|selected| selected.environment.to_string()),
        revision: form.revision.to_string(),
        processes: alive.map(process).collect(),
    }
}

/// The builds of an item's package environment, oldest first.
pub fn build_jobs<'a>(form: &WantedItem, executor: &'a ExecutorView) -> &'a [ObservedJob] {
    let key = form.content.as_ref().and_then(|content| content.packages.as_ref()).map(|packages| &packages.key);
    key.and_then(|key| executor.builds.get(key)).map_or(&[], Vec::as_slice)
}

fn process(job: &ObservedJob) -> ProcessState {
    let (phase, progress) = match &job.phase {
        Phase::Starting { progress } => ("starting", progress.clone()),
        Phase::Ready => ("ready", None),
        Phase::Succeeded => ("succeeded", None),
        Phase::Failed { .. } => ("failed", None),
        Phase::Stopping => ("stopping", None),
    };
    ProcessState {
        job: job.name.to_string(),
        role: job.role,
        phase,
        progress,
        pid: job.pid,
        address: job.address.clone(),
        restarts: job.attempt,
        started: job.started.to_string(),
    }
}

fn doing(
    form: &WantedItem,
    registry: &RegistryView,
    observed: &ObservedItem,
    builds: &[ObservedJob],
) -> (Doing, Option<String>) {
    let memory = &registry.memory;
    if memory.all_suspended || memory.suspended.contains(&form.name) || form.suspend {
        return (Doing::Suspended, None);
    }
    if is_ready(form, observed) {
        return (Doing::Ready, None);
    }
    let own = observed.jobs.values().filter(|job| job.revision == form.revision);
    for (jobs, state) in [(builds.iter().collect::<Vec<_>>(), Doing::Building), (own.collect(), of_kind(form))] {
        if let Some(Phase::Starting { progress }) =
            jobs.iter().map(|job| &job.phase).find(|phase| matches!(phase, Phase::Starting { .. }))
        {
            return (state, progress.clone());
        }
    }
    match failure(form, &memory.outcomes) {
        Some(outcome) if outcome.is_exhausted() => (Doing::Failed, outcome.reason.clone()),
        Some(outcome) => (Doing::Retrying, outcome.reason.clone()),
        None => (Doing::Waiting, None),
    }
}

fn of_kind(form: &WantedItem) -> Doing {
    if form.appmode.kind() == Kind::Rendered { Doing::Rendering } else { Doing::Starting }
}

/// Whether what answers is the wanted revision, with all its processes.
fn is_ready(form: &WantedItem, observed: &ObservedItem) -> bool {
    let Some(service) = observed.service.as_ref().filter(|service| service.revision == form.revision) else {
        return false;
    };
    if service.target != Target::Processes {
        return true;
    }
    if service.url.is_none() {
        return false;
    }
    let ready = observed.jobs.values().filter(|job| job.revision == form.revision && job.phase == Phase::Ready).count();
    ready > 0 && ready >= usize::try_from(form.processes).unwrap_or(usize::MAX)
}

/// The newest failure that holds an item's present revision up.
pub fn failure<'a>(form: &WantedItem, outcomes: &'a BTreeMap<Step, Outcome>) -> Option<&'a Outcome> {
    let key = form.content.as_ref().and_then(|content| content.packages.as_ref()).map(|packages| &packages.key);
    let concerned = |step: &Step| match step {
        Step::Build(of) => Some(of) == key,
        Step::Job { item, revision, .. } => *item == form.name && *revision == form.revision,
        Step::Write { item } => *item == form.name,
    };
    let failures =
        outcomes.iter().filter(|(step, outcome)| outcome.failures > 0 && !outcome.succeeded && concerned(step));
    failures.map(|(_, outcome)| outcome).max_by_key(|outcome| outcome.recorded)
}

/// The job whose log says most about an item now: the newest that is alive, or else that ended last.
pub fn telling_job<'a>(
    name: &ItemName,
    registry: &RegistryView,
    executor: &'a ExecutorView,
) -> Option<&'a ObservedJob> {
    let own = executor.items.get(&name.slug()).into_iter().flat_map(|item| item.jobs.values());
    let builds = registry.contents.get(name).map_or(&[][..], |record| build_jobs(&record.form, executor));
    let all: Vec<&ObservedJob> = own.chain(builds.iter()).collect();
    let best =
        |alive: bool| all.iter().filter(|job| job.phase.is_active() == alive).max_by_key(|job| job.started).copied();
    best(true).or_else(|| best(false))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Digest;
    use crate::plan::samples::{build_job, package_key, run_job, time, wanted};
    use crate::plan::{JobSpec, ObservedService, Ownership, Uid};

    fn observed(spec: &JobSpec, phase: Phase) -> ObservedJob {
        ObservedJob {
            name: spec.name.clone(),
            uid: Uid("1".to_owned()),
            ownership: Ownership::Ours,
            role: spec.role,
            item: spec.item.clone(),
            revision: spec.revision.clone(),
            slot: spec.slot,
            attempt: spec.attempt,
            phase,
            started: time(0),
            ready: None,
            ended: None,
            address: None,
            pid: None,
        }
    }

    fn starting(progress: &str) -> Phase {
        Phase::Starting { progress: Some(progress.to_owned()) }
    }

    fn failed(step: Step, failures: u32) -> (Step, Outcome) {
        let outcome = Outcome {
            job: None,
            attempt: failures,
            failures,
            succeeded: false,
            next_try: None,
            reason: Some("no tide today".to_owned()),
            tail: Vec::new(),
            recorded: time(0),
        };
        (step, outcome)
    }

    fn state(
        form: &Arc<WantedItem>,
        registry: &RegistryView,
        observed: &ObservedItem,
        builds: &[ObservedJob],
    ) -> String {
        let (doing, detail) = doing(form, registry, observed, builds);
        detail.map_or_else(|| doing.word().to_owned(), |detail| format!("{}: {detail}", doing.word()))
    }

    #[test]
    fn an_item_is_told_by_its_next_step() {
        let form = wanted("tide-times", 1);
        let (mut registry, mut item) = (RegistryView::default(), ObservedItem::default());
        assert_eq!(state(&form, &registry, &item, &[]), "waiting");
        let build = observed(&build_job(&form, 0), starting("installing pandas"));
        assert_eq!(state(&form, &registry, &item, &[build]), "building: installing pandas");
        let run = observed(&run_job(&form, 0, 0), starting("waiting for its port"));
        item.jobs.insert(run.name.clone(), run.clone());
        assert_eq!(state(&form, &registry, &item, &[]), "starting: waiting for its port");
        item.jobs.insert(run.name.clone(), ObservedJob { phase: Phase::Ready, ..run });
        // Nobody is sent to it yet.
        assert_eq!(state(&form, &registry, &item, &[]), "waiting");
        item.service = Some(ObservedService {
            uid: Uid("2".to_owned()),
            ownership: Ownership::Ours,
            revision: form.revision.clone(),
            target: Target::Processes,
            digest: Digest::of("service"),
            url: Some("http://127.0.0.1:41001/".to_owned()),
        });
        assert_eq!(state(&form, &registry, &item, &[]), "ready");
        registry.memory.all_suspended = true;
        assert_eq!(state(&form, &registry, &item, &[]), "suspended");
    }

    #[test]
    fn a_failure_counts_for_its_own_revision_and_packages() {
        let (form, other) = (wanted("tide-times", 1), wanted("tide-times", 2));
        let of = |form: &WantedItem| Step::Job {
            item: form.name.clone(),
            role: Role::Run,
            revision: form.revision.clone(),
            slot: crate::plan::Slot::Ordinal(0),
        };
        let mut registry = RegistryView::default();
        registry.memory.outcomes.extend([failed(of(&other), 1)]);
        let item = ObservedItem::default();
        assert_ne!(form.revision, other.revision);
        assert_eq!(state(&form, &registry, &item, &[]), "waiting");
        registry.memory.outcomes.extend([failed(of(&form), 1)]);
        assert_eq!(state(&form, &registry, &item, &[]), "retrying: no tide today");
        registry.memory.outcomes.extend([failed(Step::Build(package_key(&form)), 99)]);
        registry.memory.outcomes.remove(&of(&form));
        assert_eq!(state(&form, &registry, &item, &[]), "failed: no tide today");
    }
}
