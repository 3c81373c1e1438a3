//! The plan of a rendered item: once a revision, then by its schedule, and the newest good result is shown.

use super::chain::Chain;
use super::item::{Scene, build, job, publish, schedule};
use super::job::Target;
use super::memory::Step;
use super::names::{JobName, Role, Slot};
use super::observed::Phase;
use super::operation::{Action, Payload, Precondition, Subject, Wait};
use super::steps::{Progress, progress, remembered};

/// Plans the renders of an item and what is shown of them.
pub(super) fn rendered(scene: &Scene<'_>, chain: &mut Chain, bundle: Option<Wait>) {
    let item = &scene.wanted.item;
    let newest = newest_good(scene);
    let Some(slot) = wanted_slot(scene, chain, newest) else {
        if let Some(slot) = newest {
            show(scene, chain, slot, None);
        }
        return;
    };
    let Ok(built) = build(scene, chain, bundle.as_ref()) else {
        if let Some(slot) = newest {
            show(scene, chain, slot, None);
        }
        return;
    };
    let Some(content) = &item.content else { return };
    let step = Step::Job { item: item.name.clone(), role: Role::Render, revision: item.revision.clone(), slot };
    let outcome = remembered(scene.memory, &step);
    let jobs = || scene.view.jobs.values().filter(|job| job.revision == item.revision && job.slot == slot);
    match progress(jobs(), outcome, scene.now, |phase| *phase == Phase::Succeeded) {
        Progress::Start(attempt) => {
            let name = JobName::render(&item.slug, &item.revision, slot, attempt);
            let spec = job(scene, content, name.clone(), Role::Render, slot, attempt);
            let why = match (slot, attempt) {
                (Slot::Due(time), 0) => format!("due at {time}"),
                (_, 0) => "a new revision".to_owned(),
                _ => "trying again".to_owned(),
            };
            let subject = Subject::Job(name.clone());
            chain.push(Action::Create, subject, &why, None, Precondition::Absent, Payload::Job(spec));
            chain.last_waits(bundle.into_iter().chain(built));
            show(scene, chain, slot, Some(Wait::Succeeded { job: name }));
        }
        Progress::UnderWay(name) => {
            if let Some(job) = jobs().find(|job| job.name == name) {
                chain.aside.under_way(&item.name, job);
            }
            show(scene, chain, slot, Some(Wait::Succeeded { job: name }));
        }
        Progress::BackingOff(time) => {
            chain.wake(time);
            chain.aside.waits(&item.name, "render", outcome, time);
        }
        Progress::GivenUp => chain.aside.gave_up(&item.name, "rendering it", outcome),
        Progress::Done => show(scene, chain, slot, None),
    }
}

/// The newest slot of the wanted revision that was rendered and is still kept.
fn newest_good(scene: &Scene<'_>) -> Option<Slot> {
    let revision = &scene.wanted.item.revision;
    scene.view.results.iter().filter(|(of, _)| of == revision).map(|(_, slot)| *slot).max()
}

/// Which slot is to be rendered now, if any. A finished slot is never rendered again, also when its job is gone.
fn wanted_slot(scene: &Scene<'_>, chain: &mut Chain, newest: Option<Slot>) -> Option<Slot> {
    let item = &scene.wanted.item;
    let finished = |slot: Slot| {
        let step = Step::Job { item: item.name.clone(), role: Role::Render, revision: item.revision.clone(), slot };
        remembered(scene.memory, &step).is_some_and(|outcome| outcome.succeeded)
    };
    let once_done = newest.is_some() || finished(Slot::Once);
    if !once_done {
        return Some(Slot::Once);
    }
    // One render at a time: a slot that becomes due meanwhile waits, and only the latest is made up.
    let jobs = scene.view.jobs.values();
    let mut running = jobs.filter(|job| job.role == Role::Render && job.revision == item.revision);
    if let Some(job) = running.find(|job| job.phase.is_active()) {
        return Some(job.slot);
    }
    let schedule = schedule(item).filter(|_| scene.options.fire_schedules)?;
    if let Some(next) = schedule.next(scene.now) {
        chain.wake(next);
    }
    // Without memory of a render (the item was away for a while) a kept result tells, or else it is due at once.
    let kept = newest.and_then(|slot| if let Slot::Due(time) = slot { Some(time) } else { None });
    let since = last_render(scene).or(kept).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let due = Slot::Due(schedule.latest_due(since, scene.now)?);
    (!finished(due) && Some(due) != newest).then_some(due)
}

/// When the item was last rendered: a slot counts by the time it was due, the first one by when it was recorded.
fn last_render(scene: &Scene<'_>) -> Option<jiff::Timestamp> {
    let renders = scene.memory.outcomes_of(&scene.wanted.item.name).filter_map(|(step, outcome)| match step {
        Step::Job { role: Role::Render, slot, .. } if outcome.succeeded => Some(match slot {
            Slot::Due(time) => *time,
            Slot::Once | Slot::Ordinal(_) => outcome.recorded,
        }),
        _ => None,
    });
    renders.max()
}

fn show(scene: &Scene<'_>, chain: &mut Chain, slot: Slot, after: Option<Wait>) {
    let target = Target::Result { revision: scene.wanted.item.revision.clone(), slot };
    publish(scene, chain, target, after);
}
