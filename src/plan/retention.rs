//! What is old and needed by nothing: former bundles and results, jobs that ended an hour ago (objects.md, "Kept").

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::job::{BundleSpec, Target};
use super::memory::Step;
use super::names::{BundleId, Role};
use super::observed::{Observed, ObservedItem, ObservedJob, Phase};
use super::operation::{Action, Operation, Payload, Precondition, Subject};
use super::steps::Aside;
use crate::model::{Digest, ItemName, Slug};

/// How long an ended job stays to be looked at, once its outcome was recorded.
const JOB_KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Results kept of an item.
const KEPT_RESULTS: usize = 5;

/// What is done about old things.
pub(super) struct Housekeeping {
    /// Operations that take them away.
    pub operations: Vec<Operation>,
    /// When the next one is due.
    pub next: Option<Timestamp>,
    /// Jobs that were asked to end and are not gone: whoever applies a plan stays until they are.
    pub ending: Aside,
}

/// Looks through everything that is there for what is old.
pub(super) fn housekeeping(observed: Observed<'_>, now: Timestamp) -> Housekeeping {
    let contents = observed.registry.contents.values();
    let names = contents.map(|record| (&record.form.slug, &record.form.name)).collect();
    let mut keeper = Keeper { observed, now, names, operations: Vec::new(), next: None, ending: Aside::default() };
    for (slug, view) in &observed.executor.items {
        keeper.item(slug, view);
    }
    for (key, jobs) in &observed.executor.builds {
        for job in jobs {
            keeper.job(&Step::Build(key.clone()), job);
        }
    }
    Housekeeping { operations: keeper.operations, next: keeper.next, ending: keeper.ending }
}

struct Keeper<'a> {
    observed: Observed<'a>,
    now: Timestamp,
    names: HashMap<&'a Slug, &'a ItemName>,
    operations: Vec<Operation>,
    next: Option<Timestamp>,
    ending: Aside,
}

impl Keeper<'_> {
    fn item(&mut self, slug: &Slug, view: &ObservedItem) {
        for job in view.jobs.values().filter(|job| job.phase == Phase::Stopping) {
            self.ending.under_way(&job.item, job);
        }
        for job in view.jobs.values().filter(|job| !job.phase.is_active()) {
            let step =
                Step::Job { item: job.item.clone(), role: job.role, revision: job.revision.clone(), slot: job.slot };
            self.job(&step, job);
        }
        let name = self.names.get(slug).copied().cloned();
        if name.is_none() {
            self.gone(slug, view);
            return;
        }
        if view.bundles.len() <= 1 && view.results.len() <= KEPT_RESULTS {
            return;
        }
        let kept = self.kept_bundles(name.as_ref(), view);
        for bundle in view.bundles.iter().filter(|bundle| !kept.contains(*bundle)) {
            let Some(item) = name.clone() else { continue };
            let spec = BundleSpec { item, slug: slug.clone(), id: bundle.clone() };
            let subject = Subject::bundle(&spec);
            self.delete(subject, name.clone(), "no kept revision needs it", Payload::Bundle(spec));
        }
        self.results(slug, name.as_ref(), view);
    }

    /// The files of an item that has no record and of which nothing runs or answers. Its few results stay: an item that
    /// comes back is not rendered again.
    fn gone(&mut self, slug: &Slug, view: &ObservedItem) {
        let Some(name) = Self::last_name(slug, view) else { return };
        if view.service.is_some() || view.jobs.values().any(|job| job.phase.is_active()) {
            return;
        }
        for id in &view.bundles {
            let spec = BundleSpec { item: name.clone(), slug: slug.clone(), id: id.clone() };
            let subject = Subject::bundle(&spec);
            self.delete(subject, Some(name.clone()), "its item is gone", Payload::Bundle(spec));
        }
    }

    /// The name of an item without a record: from its last jobs, or the slug, which names it well enough to people.
    fn last_name(slug: &Slug, view: &ObservedItem) -> Option<ItemName> {
        let job = view.jobs.values().next();
        job.map(|job| job.item.clone()).or_else(|| slug.as_str().parse().ok())
    }

    fn kept_bundles(&self, name: Option<&ItemName>, view: &ObservedItem) -> BTreeSet<BundleId> {
        let memory = &self.observed.registry.memory;
        let forms = name.and_then(|name| memory.revisions.get(name)).map_or(&[][..], Vec::as_slice);
        let record = name.and_then(|name| self.observed.registry.contents.get(name)).map(|record| &record.form);
        let mut kept: BTreeSet<_> = forms.iter().chain(record).map(|form| form.bundle.clone()).collect();
        if let Some(Target::Bundle { id, .. }) = view.service.as_ref().map(|service| &service.target) {
            kept.insert(id.clone());
        }
        // The newest may have been written for a record that is not written yet.
        kept.extend(view.bundles.last().cloned());
        kept
    }

    fn results(&mut self, slug: &Slug, name: Option<&ItemName>, view: &ObservedItem) {
        let shown = view.service.as_ref().map(|service| &service.target);
        let old = view.results.len().saturating_sub(KEPT_RESULTS);
        for (revision, slot) in view.results.iter().take(old) {
            let is_shown = matches!(shown, Some(Target::Result { revision: r, slot: s }) if r == revision && s == slot);
            if !is_shown {
                let subject = Subject::Result(format!("{slug}/{revision}-{slot}"));
                let payload = Payload::Result { slug: slug.clone(), revision: revision.clone(), slot: *slot };
                self.delete(subject, name.cloned(), "newer results are kept", payload);
            }
        }
    }

    fn job(&mut self, step: &Step, job: &ObservedJob) {
        if job.phase.is_active() {
            return;
        }
        let outcome = self.observed.registry.memory.outcomes.get(step);
        let recorded = outcome.filter(|outcome| outcome.attempt >= job.attempt).map(|outcome| outcome.recorded);
        // A build that succeeded and a process that was asked to end are recorded nowhere: their end counts.
        let succeeded = job.phase == Phase::Succeeded && job.role != Role::Render;
        let Some(since) = recorded.or(job.ended.filter(|_| succeeded)) else { return };
        let Ok(due) = since.checked_add(JOB_KEPT_FOR) else { return };
        if due <= self.now {
            let subject = Subject::Job(job.name.clone());
            self.delete(subject, Some(job.item.clone()), "it ended an hour ago", Payload::Nothing);
        } else {
            self.next = Some(self.next.map_or(due, |earlier| earlier.min(due)));
        }
    }

    fn delete(&mut self, subject: Subject, item: Option<ItemName>, reason: &str, payload: Payload) {
        let digest = Digest::of(subject.to_string());
        let uid = super::Uid(subject.to_string());
        self.operations.push(Operation {
            action: Action::Delete,
            subject,
            item,
            reason: reason.to_owned(),
            before: None,
            after: Vec::new(),
            precondition: Precondition::Present { uid, digest },
            payload,
            housekeeping: true,
            due: true,
        });
    }
}
