//! The world itself: jobs, bundles, package environments, results and addresses, and how time changes them. It is told what to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::watch::{Started, Watch};
use crate::executor::{BundleReader, ExecutorError, Garbage, LogPiece, LogRequest};
use crate::fault::FaultHook;
use crate::model::{ItemName, Slug};
use crate::plan::{
    BundleId, BundleSpec, ExecutorView, JobName, JobSpec, ObservedItem, ObservedJob, ObservedService, Ownership,
    PackageKey, Phase, Role, ServiceSpec, Slot, Uid,
};

/// What the world knows of a job beside what is seen of it.
#[derive(Debug)]
struct Entry {
    spec: JobSpec,
    /// When it comes to its end, or for a run to readiness, or is gone after it was stopped; `None` once it has.
    due: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) view: Arc<ExecutorView>,
    pub(super) files: BTreeMap<(Slug, BundleId), BTreeMap<Arc<str>, Vec<u8>>>,
    pub(super) durations: BTreeMap<Role, SignedDuration>,
    pub(super) failures: BTreeMap<(ItemName, Role), String>,
    pub(super) faults: FaultHook,
    pub(super) watch: Watch,
    entries: BTreeMap<JobName, Entry>,
    ports: BTreeMap<(Slug, Slot), usize>,
    made: u32,
    /// The latest time it was told of.
    now: Timestamp,
    pub(super) stopping_lasts: StoppingLasts,
}

/// How long a job takes to end when it is asked to.
#[derive(Debug)]
pub(super) struct StoppingLasts(pub(super) SignedDuration);

impl Default for StoppingLasts {
    fn default() -> Self {
        Self(SignedDuration::from_secs(1))
    }
}

impl World {
    pub(super) fn spec(&self, job: &JobName) -> Option<&JobSpec> {
        self.entries.get(job).map(|entry| &entry.spec)
    }

    pub(super) fn observed(&self, job: &JobName) -> Option<&ObservedJob> {
        let spec = self.spec(job)?;
        match build_key(spec) {
            Some(key) => self.view.builds.get(key)?.iter().find(|found| found.name == *job),
            None => self.view.items.get(&spec.slug)?.jobs.get(job),
        }
    }

    fn observed_mut(&mut self, job: &JobName) -> Option<&mut ObservedJob> {
        let spec = &self.entries.get(job)?.spec;
        let view = Arc::make_mut(&mut self.view);
        match build_key(spec) {
            Some(key) => view.builds.get_mut(key)?.iter_mut().find(|found| found.name == *job),
            None => view.items.get_mut(&spec.slug)?.jobs.get_mut(job),
        }
    }

    pub(super) fn observed_jobs(&self) -> impl Iterator<Item = &ObservedJob> {
        self.entries.keys().filter_map(|job| self.observed(job))
    }

    fn item_mut(&mut self, slug: &Slug) -> &mut ObservedItem {
        Arc::make_mut(&mut self.view).items.entry(slug.clone()).or_default()
    }

    pub(super) fn service_mut(&mut self, slug: &Slug) -> Option<&mut ObservedService> {
        Arc::make_mut(&mut self.view).items.get_mut(slug)?.service.as_mut()
    }

    fn new_uid(&mut self) -> Uid {
        self.made += 1;
        Uid(format!("made-{}", self.made))
    }

    /// Whether the package environment of a job is whole.
    pub(super) fn has_packages(&self, job: &JobSpec) -> bool {
        let whole = |key: &PackageKey| self.view.package_environments.contains(key);
        job.content.packages.as_ref().is_none_or(|packages| whole(&packages.key))
    }

    /// What a job needs and the world does not hold.
    pub(super) fn missing(&self, job: &JobSpec) -> Option<&'static str> {
        let holds =
            |bundle: &BundleId| self.view.items.get(&job.slug).is_some_and(|item| item.bundles.contains(bundle));
        match (job.role, &job.content.packages) {
            (Role::Build, Some(packages)) => {
                packages.bundle.as_ref().filter(|bundle| !holds(bundle)).map(|_| "the bundle its requirements name")
            }
            (Role::Build, None) => Some("any packages to install"),
            _ if !holds(&job.content.bundle) => Some("its bundle"),
            _ if !self.has_packages(job) => Some("its packages"),
            _ => None,
        }
    }

    pub(super) fn start(&mut self, job: &JobSpec, now: Timestamp) -> Result<(), ExecutorError> {
        self.now = self.now.max(now);
        if self.entries.contains_key(&job.name) {
            self.watch_repeated_start(job);
            return Ok(());
        }
        if job.role == Role::Build && job.content.packages.is_none() {
            let problem = "a build without packages has nothing to do".to_owned();
            return Err(ExecutorError::Start { program: job.name.to_string(), problem });
        }
        self.watch_start(job);
        let default = match job.role {
            Role::Build => 30,
            Role::Run => 2,
            Role::Render => 10,
        };
        let lasts = self.durations.get(&job.role).copied().unwrap_or(SignedDuration::from_secs(default));
        let due = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        let observed = self.new_job(job, now);
        self.watch.starts.push(Started { job: job.clone(), uid: observed.uid.clone(), at: now });
        match build_key(job) {
            Some(key) => {
                let jobs = Arc::make_mut(&mut self.view).builds.entry(key.clone()).or_default();
                jobs.push(observed);
                jobs.sort_by_key(|job| job.attempt);
            }
            None => {
                self.item_mut(&job.slug).jobs.insert(job.name.clone(), observed);
            }
        }
        self.entries.insert(job.name.clone(), Entry { spec: job.clone(), due: Some(due) });
        Ok(())
    }

    fn new_job(&mut self, job: &JobSpec, now: Timestamp) -> ObservedJob {
        let uid = self.new_uid();
        let next = self.ports.len();
        let port = 41_000 + *self.ports.entry((job.slug.clone(), job.slot)).or_insert(next);
        ObservedJob {
            name: job.name.clone(),
            uid,
            ownership: Ownership::Ours,
            role: job.role,
            item: job.item.clone(),
            revision: job.revision.clone(),
            slot: job.slot,
            attempt: job.attempt,
            phase: Phase::Starting { progress: None },
            started: now,
            ready: None,
            ended: None,
            address: (job.role == Role::Run).then(|| format!("127.0.0.1:{port}")),
            pid: Some(10_000 + self.made),
        }
    }

    pub(super) fn next_event(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(|entry| entry.due).min()
    }

    pub(super) fn advance(&mut self, now: Timestamp) -> usize {
        self.now = self.now.max(now);
        let due =
            |(name, entry): (&JobName, &Entry)| entry.due.filter(|due| *due <= now).map(|due| (due, name.clone()));
        let mut all: Vec<(Timestamp, JobName)> = self.entries.iter().filter_map(due).collect();
        all.sort();
        for (due, job) in &all {
            self.arrive(job, *due);
        }
        all.len()
    }

    /// A job comes to its end, or to readiness.
    fn arrive(&mut self, job: &JobName, at: Timestamp) {
        let Some(spec) = self.spec(job).cloned() else { return };
        if self.is_stopping(job) {
            self.remove_job(job);
            return;
        }
        // Whatever the plan did wrong, a real job would notice what it lacks.
        let lacks = self.missing(&spec).map(|missing| format!("it was started without {missing}"));
        if let Some(reason) = lacks.or_else(|| self.failures.get(&(spec.item.clone(), spec.role)).cloned()) {
            self.end(job, at, &reason, true);
            return;
        }
        if let Some(entry) = self.entries.get_mut(job) {
            entry.due = None;
        }
        if let Some(found) = self.observed_mut(job) {
            if spec.role == Role::Run {
                found.phase = Phase::Ready;
                found.ready = Some(at);
                return;
            }
            found.phase = Phase::Succeeded;
            found.ended = Some(at);
        }
        self.watch.succeeded.insert(job.clone());
        if let Some(key) = build_key(&spec) {
            Arc::make_mut(&mut self.view).package_environments.insert(key.clone());
        } else {
            let result = (spec.revision.clone(), spec.slot);
            let results = &mut self.item_mut(&spec.slug).results;
            if !results.contains(&result) {
                results.push(result);
            }
        }
    }

    fn is_stopping(&self, job: &JobName) -> bool {
        self.observed(job).is_some_and(|found| found.phase == Phase::Stopping)
    }

    /// Ends a living job badly. Says whether it was alive.
    pub(super) fn end(&mut self, job: &JobName, at: Timestamp, reason: &str, counts: bool) -> bool {
        if self.is_stopping(job) {
            // It was to end anyway, and nobody makes anything of how.
            return self.remove_job(job);
        }
        if let Some(entry) = self.entries.get_mut(job) {
            entry.due = None;
        }
        let Some(found) = self.observed_mut(job).filter(|found| found.phase.is_active()) else { return false };
        found.phase = Phase::Failed { reason: reason.to_owned(), tail: vec![reason.to_owned()], counts };
        found.ended = Some(at);
        true
    }

    pub(super) fn stop(&mut self, job: &JobName, uid: &Uid) -> Result<(), ExecutorError> {
        let Some(found) = self.observed(job) else { return Ok(()) };
        if found.uid != *uid {
            return Err(ExecutorError::Moved {
                name: job.to_string(),
                expected: uid.0.clone(),
                found: found.uid.0.clone(),
            });
        }
        let due = self.now.checked_add(self.stopping_lasts.0).unwrap_or(Timestamp::MAX);
        if !found.phase.is_active() || due <= self.now {
            self.remove_job(job);
        } else if !self.is_stopping(job) {
            if let Some(found) = self.observed_mut(job) {
                found.phase = Phase::Stopping;
            }
            if let Some(entry) = self.entries.get_mut(job) {
                entry.due = Some(due);
            }
        }
        Ok(())
    }

    fn remove_job(&mut self, job: &JobName) -> bool {
        let Some(entry) = self.entries.remove(job) else { return false };
        let view = Arc::make_mut(&mut self.view);
        if let Some(key) = build_key(&entry.spec) {
            if let Some(jobs) = view.builds.get_mut(key) {
                jobs.retain(|found| found.name != *job);
            }
            view.builds.retain(|_, jobs| !jobs.is_empty());
        } else if let Some(item) = view.items.get_mut(&entry.spec.slug) {
            item.jobs.remove(job);
            self.tidy(&entry.spec.slug);
        }
        true
    }

    /// An item of which nothing is left is not shown.
    fn tidy(&mut self, slug: &Slug) {
        let view = Arc::make_mut(&mut self.view);
        if view.items.get(slug).is_some_and(|item| *item == ObservedItem::default()) {
            view.items.remove(slug);
        }
    }

    pub(super) fn write_bundle(&mut self, spec: &BundleSpec, reader: &dyn BundleReader) -> Result<(), ExecutorError> {
        let place = (spec.slug.clone(), spec.id.clone());
        if self.files.contains_key(&place) {
            return Ok(());
        }
        let mut files = BTreeMap::new();
        for file in reader.files() {
            let bytes = reader.read(&file.contents).map_err(|problem| ExecutorError::Storage {
                doing: "reading",
                place: format!("{} of {}", file.path, spec.item),
                problem,
            })?;
            files.insert(Arc::clone(&file.path), bytes);
        }
        self.files.insert(place, files);
        self.item_mut(&spec.slug).bundles.push(spec.id.clone());
        Ok(())
    }

    pub(super) fn publish(&mut self, spec: &ServiceSpec) {
        let digest = spec.digest();
        let before = self.view.items.get(&spec.slug).and_then(|item| item.service.as_ref());
        if before.is_some_and(|before| before.digest == digest && before.ownership == Ownership::Ours) {
            return;
        }
        let uid = before.map(|before| before.uid.clone());
        self.watch_publish(spec);
        let uid = uid.unwrap_or_else(|| self.new_uid());
        self.item_mut(&spec.slug).service = Some(ObservedService {
            uid,
            ownership: Ownership::Ours,
            revision: spec.revision.clone(),
            target: spec.target.clone(),
            digest,
            url: Some(format!("http://127.0.0.1/{}/", spec.slug)),
        });
    }

    pub(super) fn unpublish(&mut self, slug: &Slug) {
        if let Some(item) = Arc::make_mut(&mut self.view).items.get_mut(slug) {
            item.service = None;
        }
        self.tidy(slug);
    }

    pub(super) fn collect(&mut self, garbage: &Garbage) {
        self.watch_collect(garbage);
        self.take_away(garbage);
    }

    /// Says whether it was there.
    pub(super) fn take_away(&mut self, garbage: &Garbage) -> bool {
        match garbage {
            Garbage::Job(name) => self.remove_job(name),
            Garbage::PackageEnvironment(key) => Arc::make_mut(&mut self.view).package_environments.remove(key),
            Garbage::Bundle(slug, bundle) => {
                let found = self.files.remove(&(slug.clone(), bundle.clone())).is_some();
                if let Some(item) = Arc::make_mut(&mut self.view).items.get_mut(slug) {
                    item.bundles.retain(|other| other != bundle);
                }
                self.tidy(slug);
                found
            }
            Garbage::Result(slug, revision, slot) => {
                let Some(item) = Arc::make_mut(&mut self.view).items.get_mut(slug) else { return false };
                let before = item.results.len();
                item.results.retain(|(other, at)| (other, at) != (revision, slot));
                let found = item.results.len() < before;
                self.tidy(slug);
                found
            }
        }
    }

    /// One line for each thing that happened to a job.
    pub(super) fn log(&self, job: &JobName, request: LogRequest) -> LogPiece {
        let Some(found) = self.observed(job) else {
            return LogPiece { text: String::new(), next_offset: request.offset, ended: true };
        };
        let ready = found.ready.map(|ready| format!("{ready} ready\n")).unwrap_or_default();
        let failed = match &found.phase {
            Phase::Failed { reason, .. } => format!("{reason}\n"),
            _ => String::new(),
        };
        let text = format!("{} started\n{ready}{failed}", found.started);
        let start = usize::try_from(request.offset).unwrap_or(usize::MAX).min(text.len());
        let end = start.saturating_add(usize::try_from(request.limit).unwrap_or(usize::MAX)).min(text.len());
        let piece = text.as_bytes().get(start..end).unwrap_or_default();
        LogPiece {
            text: String::from_utf8_lossy(piece).into_owned(),
            next_offset: u64::try_from(end).unwrap_or(u64::MAX),
            ended: !found.phase.is_active() && end == text.len(),
        }
    }

    /// Ends everything, and says how many jobs were alive.
    pub(super) fn down(&mut self) -> u32 {
        let alive = self.observed_jobs().filter(|job| job.phase.is_active()).count();
        let all: Vec<JobName> = self.entries.keys().cloned().collect();
        for job in &all {
            self.remove_job(job);
        }
        let slugs: Vec<Slug> = self.view.items.keys().cloned().collect();
        for slug in &slugs {
            self.unpublish(slug);
        }
        u32::try_from(alive).unwrap_or(u32::MAX)
    }
}

/// The package environment that a job builds, if it is a build.
fn build_key(job: &JobSpec) -> Option<&PackageKey> {
    let packages = job.content.packages.as_ref().filter(|_| job.role == Role::Build);
    packages.map(|packages| &packages.key)
}
