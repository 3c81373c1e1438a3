//! The plan of one item: record, bundle, build, processes or render, switch, old processes (objects.md, "Order").
//! It sees nothing of other items.

use jiff::Timestamp;

use super::chain::Chain;
use super::goal::Options;
use super::job::{BundleSpec, ContentSpec, JobSpec, Target};
use super::memory::Step;
use super::names::{JobName, Revision, Role, Slot};
use super::observed::{ExecutorView, ObservedItem, ObservedJob, Ownership, Phase, Record};
use super::operation::{Action, Operation, Payload, Precondition, Subject, Wait};
use super::steps::{Aside, Progress, progress, remembered};
use super::wanted::{Wanted, WantedItem};
use super::{Memory, reason};
use crate::model::{Kind, Schedule};

/// What one item's plan is computed from.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub wanted: &'a Wanted,
    pub record: Option<&'a Record<WantedItem>>,
    pub view: &'a ObservedItem,
    pub executor: &'a ExecutorView,
    pub memory: &'a Memory,
    pub options: Options,
    pub now: Timestamp,
    /// Why the record is made, when it is not simply new.
    pub created_because: Option<&'a str>,
}

/// The plan of one item.
#[derive(Debug, Clone, Default)]
pub(super) struct ItemPlan {
    pub operations: Vec<Operation>,
    pub aside: Aside,
    pub next_wake: Option<Timestamp>,
}

/// Plans one item.
pub(super) fn plan_item(scene: &Scene<'_>) -> ItemPlan {
    let mut chain = Chain::new(&scene.wanted.item.name);
    if waits_for_writes(scene, &mut chain) {
        keep_alive(scene, &mut chain);
        return chain.finish();
    }
    if !record(scene, &mut chain) {
        return chain.finish();
    }
    let bundle = bundle(scene, &mut chain);
    match scene.wanted.item.appmode.kind() {
        Kind::Static => publish(scene, &mut chain, static_target(scene), bundle),
        Kind::Rendered => super::rendering::rendered(scene, &mut chain, bundle),
        Kind::Interactive => interactive(scene, &mut chain, bundle),
    }
    end_others(scene, &mut chain);
    chain.finish()
}

/// Whether writing something of the item failed a short while ago: it is left alone until the next try.
fn waits_for_writes(scene: &Scene<'_>, chain: &mut Chain) -> bool {
    let name = &scene.wanted.item.name;
    let outcome = remembered(scene.memory, &Step::Write { item: name.clone() });
    let Some(next_try) = outcome.and_then(|outcome| outcome.next_try).filter(|time| *time > scene.now) else {
        return false;
    };
    chain.wake(next_try);
    chain.aside.waits(name, "write", outcome, next_try);
    true
}

/// The item's record. `false`: it is somebody else's, and nothing more is planned.
fn record(scene: &Scene<'_>, chain: &mut Chain) -> bool {
    let wanted = scene.wanted;
    let subject = Subject::Content(wanted.item.name.clone());
    let payload = Payload::Content { form: wanted.item.clone(), origin: wanted.origin.clone() };
    let Some(record) = scene.record else {
        let why = scene.created_because.unwrap_or("new item");
        chain.push(Action::Create, subject, why, None, Precondition::Absent, payload);
        return true;
    };
    let precondition = Precondition::Present { uid: record.uid.clone(), digest: record.stored };
    let before = || serde_json::to_value(&record.form).ok();
    if record.ownership == Ownership::Foreign {
        if scene.options.adopt {
            chain.push(Action::Adopt, subject, "taken over, as --adopt asks", before(), precondition, payload);
            return true;
        }
        chain.aside.stalled.push(super::Stalled {
            name: wanted.item.name.to_string(),
            reason: "a record of this name exists and is not this instance's".to_owned(),
            help: Some("rename the directory, or take the record over: wharf apply --adopt".to_owned()),
            tail: Vec::new(),
        });
        return false;
    }
    if record.stored != record.applied {
        let why = reason::drift(&record.form, &wanted.item);
        chain.push(Action::Update, subject, &why, before(), precondition, payload);
    } else if record.applied != wanted.digest || record.origin != wanted.origin {
        let why = reason::changed(&record.form, &wanted.item);
        chain.push(Action::Update, subject, &why, before(), precondition, payload);
    }
    true
}

/// The item's files. Gives what later steps wait for, when they are still to be written.
fn bundle(scene: &Scene<'_>, chain: &mut Chain) -> Option<Wait> {
    let item = &scene.wanted.item;
    if scene.view.bundles.contains(&item.bundle) {
        return None;
    }
    let spec = BundleSpec { item: item.name.clone(), slug: item.slug.clone(), id: item.bundle.clone() };
    let subject = Subject::bundle(&spec);
    let why = if scene.view.bundles.is_empty() { "first revision" } else { "its files changed" };
    chain.push(Action::Create, subject.clone(), why, None, Precondition::Absent, Payload::Bundle(spec));
    Some(Wait::Done { subject })
}

fn static_target(scene: &Scene<'_>) -> Target {
    let item = &scene.wanted.item;
    Target::Bundle { id: item.bundle.clone(), index: item.index.clone() }
}

/// The stable address, when it does not answer as it should. `after` is what must hold before the switch.
pub(super) fn publish(scene: &Scene<'_>, chain: &mut Chain, target: Target, after: impl IntoIterator<Item = Wait>) {
    let item = &scene.wanted.item;
    let subject = Subject::service(&item.slug);
    let after: Vec<Wait> = after.into_iter().collect();
    let observed = scene.view.service.as_ref();
    let as_wanted = observed.is_some_and(|service| {
        let same = service.revision == item.revision && service.target == target;
        same && service.ownership == Ownership::Ours
            && scene.wanted.service.is_none_or(|digest| digest == service.digest)
    });
    if as_wanted {
        return;
    }
    let spec = item.service(target);
    match observed {
        None => {
            chain.push(Action::Create, subject, "first revision", None, Precondition::Absent, Payload::Service(spec));
            chain.last_waits(after);
        }
        Some(service) if service.ownership == Ownership::Foreign && !scene.options.adopt => {
            chain.aside.stalled.push(super::Stalled {
                name: item.name.to_string(),
                reason: format!("its address {} exists and is not this instance's", item.slug),
                help: Some("take it over with wharf apply --adopt, or remove it".to_owned()),
                tail: Vec::new(),
            });
        }
        Some(service) => {
            let foreign = service.ownership == Ownership::Foreign;
            let why = if service.revision == spec.revision { "a newer result" } else { "the new revision is ready" };
            let before = serde_json::to_value(&service.target).ok();
            let precondition = Precondition::Present { uid: service.uid.clone(), digest: service.digest };
            let action = if foreign { Action::Adopt } else { Action::Update };
            chain.push(action, subject, why, before, precondition, Payload::Service(spec));
            chain.last_waits(after);
        }
    }
}

/// The package environment. `Err`: the chain ends here for now. `Ok`: what later steps wait for.
pub(super) fn build(scene: &Scene<'_>, chain: &mut Chain, bundle: Option<&Wait>) -> Result<Option<Wait>, ()> {
    let item = &scene.wanted.item;
    let Some(content) = &item.content else { return Ok(None) };
    let Some(packages) = &content.packages else { return Ok(None) };
    if scene.executor.package_environments.contains(&packages.key) {
        return Ok(None);
    }
    let step = Step::Build(packages.key.clone());
    let outcome = remembered(scene.memory, &step);
    let jobs = scene.executor.builds.get(&packages.key).map_or(&[][..], Vec::as_slice);
    match progress(jobs.iter(), outcome, scene.now, |_| false) {
        Progress::Start(attempt) => {
            let name = JobName::build(&packages.key, attempt);
            let spec = job(scene, content, name.clone(), Role::Build, Slot::Once, attempt);
            let why = if attempt == 0 { "its packages are not built yet" } else { "trying again" };
            let subject = Subject::Job(name.clone());
            chain.push(Action::Create, subject, why, None, Precondition::Absent, Payload::Job(spec));
            chain.last_waits(bundle.cloned());
            Ok(Some(Wait::Succeeded { job: name }))
        }
        Progress::UnderWay(name) => {
            if let Some(job) = jobs.iter().find(|job| job.name == name) {
                chain.aside.under_way(&item.name, job);
            }
            Ok(Some(Wait::Succeeded { job: name }))
        }
        Progress::BackingOff(time) => {
            chain.wake(time);
            chain.aside.waits(&item.name, "build", outcome, time);
            Err(())
        }
        Progress::GivenUp => {
            chain.aside.gave_up(&item.name, "building its packages", outcome);
            Err(())
        }
        Progress::Done => Ok(None),
    }
}

/// A job of the item as it should be.
pub(super) fn job(
    scene: &Scene<'_>,
    content: &std::sync::Arc<ContentSpec>,
    name: JobName,
    role: Role,
    slot: Slot,
    attempt: u32,
) -> JobSpec {
    let item = &scene.wanted.item;
    JobSpec {
        name,
        role,
        item: item.name.clone(),
        slug: item.slug.clone(),
        revision: item.revision.clone(),
        slot,
        attempt,
        content: content.clone(),
    }
}

/// An interactive item: processes of the new revision, the switch, and the end of the old ones.
fn interactive(scene: &Scene<'_>, chain: &mut Chain, bundle: Option<Wait>) {
    keep_alive(scene, chain);
    let built = build(scene, chain, bundle.as_ref());
    if let Ok(waits) = built.and_then(|built| processes(scene, chain, bundle, built)) {
        publish(scene, chain, Target::Processes, waits);
    }
}

/// The processes of the wanted revision. `Err`: none can be started for now. `Ok`: what the switch waits for.
fn processes(scene: &Scene<'_>, chain: &mut Chain, bundle: Option<Wait>, built: Option<Wait>) -> Result<Vec<Wait>, ()> {
    let item = &scene.wanted.item;
    let before: Vec<Wait> = bundle.into_iter().chain(built).collect();
    let mut waits = Vec::new();
    let mut held = false;
    for ordinal in 0..item.processes {
        match process(scene, chain, item, ordinal, "") {
            Ok(Some((wait, started))) => {
                if started {
                    chain.last_waits(before.clone());
                }
                waits.push(wait);
            }
            Ok(None) => {}
            Err(()) => held = true,
        }
    }
    if held { Err(()) } else { Ok(waits) }
}

/// One process of one revision. `Ok(None)`: it is ready. `Ok(Some)`: what readiness waits for, and whether a start
/// was planned. `Err`: it failed and is not tried now.
fn process(
    scene: &Scene<'_>,
    chain: &mut Chain,
    form: &WantedItem,
    ordinal: u32,
    why: &str,
) -> Result<Option<(Wait, bool)>, ()> {
    let Some(content) = &form.content else { return Ok(None) };
    let slot = Slot::Ordinal(ordinal);
    let step = Step::Job { item: form.name.clone(), role: Role::Run, revision: form.revision.clone(), slot };
    let outcome = remembered(scene.memory, &step);
    let jobs = || runs(scene.view, &form.revision).filter(|job| job.slot == slot);
    match progress(jobs(), outcome, scene.now, |phase| *phase == Phase::Ready) {
        Progress::Done => Ok(None),
        Progress::UnderWay(name) => {
            if let Some(job) = jobs().find(|job| job.name == name) {
                chain.aside.under_way(&form.name, job);
            }
            Ok(Some((Wait::Ready { job: name }, false)))
        }
        Progress::Start(attempt) => {
            let name = JobName::run(&form.slug, &form.revision, ordinal, attempt);
            let spec = JobSpec {
                revision: form.revision.clone(),
                ..job(scene, content, name.clone(), Role::Run, slot, attempt)
            };
            let why = match (why, attempt) {
                ("", 0) => "a process of this revision",
                ("", _) => "its process ended",
                (why, _) => why,
            };
            let subject = Subject::Job(name.clone());
            chain.push(Action::Create, subject, why, None, Precondition::Absent, Payload::Job(spec));
            Ok(Some((Wait::Ready { job: name }, true)))
        }
        Progress::BackingOff(time) => {
            chain.wake(time);
            chain.aside.waits(&form.name, "run", outcome, time);
            Err(())
        }
        Progress::GivenUp => {
            chain.aside.gave_up(&form.name, "starting it", outcome);
            Err(())
        }
    }
}

fn runs<'a>(view: &'a ObservedItem, revision: &'a Revision) -> impl Iterator<Item = &'a ObservedJob> {
    view.jobs.values().filter(move |job| job.role == Role::Run && job.revision == *revision)
}

/// The revision that still answers is kept alive until the new one is ready.
fn keep_alive(scene: &Scene<'_>, chain: &mut Chain) {
    let serving = scene.view.service.as_ref().map(|service| &service.revision);
    let Some(serving) = serving.filter(|serving| **serving != scene.wanted.item.revision) else { return };
    let forms = scene.memory.revisions.get(&scene.wanted.item.name).map_or(&[][..], Vec::as_slice);
    let Some(form) = forms.iter().find(|form| form.revision == *serving) else { return };
    let why = format!("kept alive until {} is ready", scene.wanted.item.revision);
    for ordinal in 0..form.processes {
        // A former revision that fails holds nothing up: it is listed, and the new one goes on.
        let _ = process(scene, chain, form, ordinal, &why);
    }
}

/// Ends what is neither wanted nor answers. What answers is ended after the switch, if one is planned.
pub(super) fn end_others(scene: &Scene<'_>, chain: &mut Chain) {
    let item = &scene.wanted.item;
    let serving = scene.view.service.as_ref().map(|service| &service.revision);
    let service = Subject::service(&item.slug);
    let switch = chain.touches(&service).then_some(Wait::Done { subject: service });
    for job in scene.view.jobs.values().filter(|job| job.phase.is_active() && job.phase != Phase::Stopping) {
        let wanted = job.revision == item.revision;
        let too_many = matches!(job.slot, Slot::Ordinal(number) if number >= item.processes);
        match (wanted, serving == Some(&job.revision), &switch) {
            (true, _, _) if too_many => chain.end_job(job, &format!("min_processes is {}", item.processes), None),
            (false, false, _) => chain.end_job(job, &format!("{} is wanted now", item.revision), None),
            (false, true, Some(switch)) => {
                chain.end_job(job, &format!("{} took over", item.revision), Some(switch.clone()));
            }
            (true, _, _) | (false, true, None) => {}
        }
    }
}

/// The cron schedule of a document, which was checked when it was read.
pub(super) fn schedule(item: &WantedItem) -> Option<Schedule> {
    let timetable = item.timetable.as_ref()?;
    Schedule::read(&timetable.cron, Some(&timetable.timezone)).ok()
}
