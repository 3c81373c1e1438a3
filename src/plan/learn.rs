//! What the ended jobs teach: each is counted once, and what no kept revision needs is forgotten. Pure; `reconcile`
//! writes the changes down before it plans.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::memory::{Change, MAX_RETRIES, Memory, Outcome, Step, backoff};
use super::names::{PackageKey, Revision, Role, Slot};
use super::observed::{Observed, ObservedItem, ObservedJob, Phase};
use super::wanted::WantedItem;
use crate::model::ItemName;

/// A process that was ready for this long and then ended is started again at once, as if it had never failed.
const STABLE_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Forms kept of an item: the current and two former ones (objects.md).
const KEPT_FORMS: usize = 3;

/// The changes of memory that the world as observed calls for. Learning twice teaches nothing new.
pub fn learn(observed: Observed<'_>, now: Timestamp) -> Vec<Change> {
    let memory = &observed.registry.memory;
    let mut changes = Vec::new();
    for (key, jobs) in &observed.executor.builds {
        for job in jobs {
            count(memory, Step::Build(key.clone()), job, now, &mut changes);
        }
    }
    for view in observed.executor.items.values() {
        for job in view.jobs.values() {
            let step =
                Step::Job { item: job.item.clone(), role: job.role, revision: job.revision.clone(), slot: job.slot };
            count(memory, step, job, now, &mut changes);
        }
    }
    // What somebody edited by hand was never applied.
    let applied = observed.registry.contents.iter().filter(|(_, record)| record.stored == record.applied);
    for (name, record) in applied {
        let view = observed.executor.items.get(&record.form.slug);
        remember_form(memory, name, &record.form, view, &mut changes);
    }
    forget(observed, &mut changes);
    changes
}

/// Counts an ended job in, if it was not yet.
fn count(memory: &Memory, step: Step, job: &ObservedJob, now: Timestamp, changes: &mut Vec<Change>) {
    let previous = memory.outcomes.get(&step);
    if previous.is_some_and(|outcome| outcome.job.as_ref() == Some(&job.name) || outcome.attempt > job.attempt) {
        return;
    }
    let failures = previous.map_or(0, |outcome| outcome.failures);
    let ended = job.ended.unwrap_or(now);
    let outcome = |failures, succeeded, next_try, reason: Option<&String>, tail: &[String]| Outcome {
        job: Some(job.name.clone()),
        attempt: job.attempt,
        failures,
        succeeded,
        next_try,
        reason: reason.cloned(),
        tail: tail.to_vec(),
        recorded: now,
    };
    let learned = match &job.phase {
        Phase::Succeeded if job.role == Role::Render => outcome(0, true, None, None, &[]),
        Phase::Failed { reason, tail, counts } => {
            let stable = job.ready.is_some_and(|ready| ended.duration_since(ready) >= STABLE_AFTER);
            let failures = match (*counts, stable) {
                (false, _) => failures,
                (true, true) => 0,
                (true, false) => failures + 1,
            };
            // What ends within a minute is never started again at once, whoever ended it.
            let brief = ended.duration_since(job.started) < SignedDuration::from_mins(1);
            let at_once = stable || !counts && !brief;
            let wait = if at_once { SignedDuration::ZERO } else { backoff(failures.max(1)) };
            let next_try = (failures <= MAX_RETRIES).then(|| ended.checked_add(wait).unwrap_or(now));
            outcome(failures, false, next_try, Some(reason), tail)
        }
        _ => return,
    };
    changes.push(Change::Outcome(step, learned));
}

/// Keeps the newest forms of an item, and the one that answers.
fn remember_form(
    memory: &Memory,
    name: &ItemName,
    form: &Arc<WantedItem>,
    view: Option<&ObservedItem>,
    changes: &mut Vec<Change>,
) {
    let known = memory.revisions.get(name).map_or(&[][..], Vec::as_slice);
    if known.first().is_some_and(|newest| newest == form) {
        return;
    }
    let serving = view.and_then(|view| view.service.as_ref()).map(|service| &service.revision);
    let mut forms = vec![form.clone()];
    for former in known.iter().filter(|former| former.revision != form.revision) {
        if forms.len() < KEPT_FORMS || Some(&former.revision) == serving {
            forms.push(former.clone());
        }
    }
    changes.push(Change::Revisions(name.clone(), forms));
}

/// Forgets outcomes of revisions that are not kept, of items that are gone, and of renders older than the newest.
fn forget(observed: Observed<'_>, changes: &mut Vec<Change>) {
    let memory = &observed.registry.memory;
    for name in memory.revisions.keys().filter(|name| !observed.registry.contents.contains_key(*name)) {
        changes.push(Change::Revisions(name.clone(), Vec::new()));
    }
    // Only failed builds are remembered, so there are few, and mostly none.
    let remembers_builds = memory.outcomes.keys().next().is_some_and(|step| matches!(step, Step::Build(_)));
    let forms = memory.revisions.values().flatten().filter(|_| remembers_builds);
    let kept_builds: BTreeSet<&PackageKey> = forms.filter_map(|form| package_key(form)).collect();
    let current = |item: &ItemName| observed.registry.contents.get(item).map(|record| &record.form);
    let just_learned: BTreeSet<Step> = changes
        .iter()
        .filter_map(|change| if let Change::Outcome(step, _) = change { Some(step.clone()) } else { None })
        .collect();
    for step in memory.outcomes.keys().filter(|step| !just_learned.contains(*step)) {
        let keep = match step {
            Step::Build(key) => kept_builds.contains(key) || observed.executor.builds.contains_key(key),
            Step::Write { item } => current(item).is_some(),
            Step::Job { item, role, revision, slot } => {
                let job_there = || {
                    let view = observed.executor.items.get(&item.slug());
                    let same = |job: &ObservedJob| job.revision == *revision && job.role == *role && job.slot == *slot;
                    view.is_some_and(|view| view.jobs.values().any(same))
                };
                is_kept(memory, item, revision) && !is_old_slot(memory, step) || job_there()
            }
        };
        if !keep {
            changes.push(Change::Forget(step.clone()));
        }
    }
}

fn package_key(form: &WantedItem) -> Option<&PackageKey> {
    form.content.as_ref()?.packages.as_ref().map(|packages| &packages.key)
}

fn is_kept(memory: &Memory, item: &ItemName, revision: &Revision) -> bool {
    memory.revisions.get(item).is_some_and(|forms| forms.iter().any(|form| form.revision == *revision))
}

/// A render that was due before a newer one of the same revision succeeded says nothing any more.
fn is_old_slot(memory: &Memory, step: &Step) -> bool {
    let Step::Job { item, role: Role::Render, revision, slot: Slot::Due(time) } = step else { return false };
    memory.outcomes_of(item).any(|(other, outcome)| {
        matches!(other, Step::Job { role: Role::Render, revision: of, slot: Slot::Due(at), .. } if of == revision && at > time)
            && outcome.succeeded
    })
}
