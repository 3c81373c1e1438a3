//! The plan: every item's part, the environments, what leaves, and the budgets over all of it, put in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::environments;
use super::goal::{Goal, ItemGoal};
use super::item::{ItemPlan, Scene, plan_item};
use super::leaving::{self, Leaving};
use super::memory::Approved;
use super::names::{PlanId, Role};
use super::observed::{Observed, ObservedItem, Origin, Record};
use super::operation::{Action, Blocked, Cost, Note, Operation, Payload, Plan, Precondition, Stalled, Subject, Wait};
use super::wanted::{Wanted, WantedItem};
use super::{budget, retention};
use crate::model::{self, Cpu, Digest, ItemName, Limits};

/// Items that were as they should be in a world and under a policy, and until when nothing of them becomes due. It is
/// only good for planning again in that very world: whoever keeps it has to know that neither changed.
#[derive(Debug, Clone, Default)]
pub struct Settled(HashMap<ItemName, (Arc<Wanted>, Rest)>);

/// An item at rest.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// When something of it becomes due by itself.
    until: Option<Timestamp>,
}

impl Settled {
    fn covers(&self, wanted: &Arc<Wanted>, now: Timestamp) -> Option<Rest> {
        let (known, rest) = self.0.get(&wanted.item.name)?;
        (Arc::ptr_eq(known, wanted) && rest.until.is_none_or(|wake| wake > now)).then_some(*rest)
    }
}

/// What differs from the goal, what is done about it, and why. Pure: the same arguments give the same plan.
pub fn plan(goal: &Goal<'_>, observed: Observed<'_>, now: Timestamp) -> Plan {
    plan_again(goal, observed, now, &mut Settled::default())
}

/// The same plan, without looking again at items that are known to be settled in this world. Takes in those that are.
pub fn plan_again(goal: &Goal<'_>, observed: Observed<'_>, now: Timestamp, settled: &mut Settled) -> Plan {
    let mut planner = Planner::new(*goal, observed, now);
    planner.settled = std::mem::take(settled);
    planner.operations = environments::write(goal, observed, &mut planner.stalled);
    let leaving = leaving::leaving(goal, observed);
    planner.items(&leaving);
    planner.leave(&leaving);
    planner.end_builds();
    planner.unreadable();
    planner.housekeeping();
    *settled = std::mem::take(&mut planner.settled);
    planner.finish()
}

struct Planner<'a> {
    goal: Goal<'a>,
    observed: Observed<'a>,
    now: Timestamp,
    nothing: ObservedItem,
    operations: Vec<Operation>,
    stalled: Vec<Stalled>,
    blocked: Vec<Blocked>,
    notes: Vec<Note>,
    in_flight: Vec<super::InFlight>,
    backing_off: Vec<super::BackingOff>,
    next_wake: Option<Timestamp>,
    counts: BTreeMap<&'static str, u32>,
    settled: Settled,
}

impl<'a> Planner<'a> {
    fn new(goal: Goal<'a>, observed: Observed<'a>, now: Timestamp) -> Self {
        Self {
            goal,
            observed,
            now,
            nothing: ObservedItem::default(),
            operations: Vec::new(),
            stalled: Vec::new(),
            blocked: Vec::new(),
            notes: goal.notes.iter().cloned().collect(),
            in_flight: Vec::new(),
            backing_off: Vec::new(),
            next_wake: None,
            counts: BTreeMap::new(),
            settled: Settled::default(),
        }
    }

    /// Records that somebody made unreadable are written again where they are wanted; here they are only named.
    fn unreadable(&mut self) {
        let notes = self.observed.registry.unreadable.iter().map(|record| Note {
            name: record.name.clone(),
            kind: "drift".to_owned(),
            text: format!("its record cannot be read: {}", record.problem),
        });
        self.notes.extend(notes);
    }

    fn note(&mut self, name: &ItemName, kind: &str, text: impl Into<String>) {
        self.notes.push(Note { name: name.to_string(), kind: kind.to_owned(), text: text.into() });
    }

    fn add(&mut self, part: ItemPlan) {
        self.operations.extend(part.operations);
        self.in_flight.extend(part.aside.in_flight);
        self.backing_off.extend(part.aside.backing_off);
        self.stalled.extend(part.aside.stalled);
        self.next_wake = earliest(self.next_wake, part.next_wake);
    }

    /// Every item that is wanted, or stays as it was.
    fn items(&mut self, leaving: &[Leaving<'_>]) {
        let held = self.held_moves();
        let heirs: BTreeMap<&ItemName, String> = leaving
            .iter()
            .filter_map(|leaving| Some((leaving.renamed_to?, format!("renamed from {}", leaving.name))))
            .collect();
        let mut total = Total::default();
        let is_limited = self.goal.policy.total != Limits::default();
        for name in self.goal.items.keys().filter(|_| is_limited) {
            if let Some(record) = self.observed.registry.contents.get(name) {
                total.charge(&record.form);
            }
        }
        for (name, goal) in self.goal.items {
            if let ItemGoal::Wanted(wanted) = goal
                && let Some(rest) = self.settled.covers(wanted, self.now)
            {
                self.count("as they should be");
                self.next_wake = earliest(self.next_wake, rest.until);
                continue;
            }
            let record = self.observed.registry.contents.get(name);
            match goal {
                ItemGoal::Wanted(wanted) => {
                    let kept = held.contains(name).then(|| record.map(|record| self.recorded(record))).flatten();
                    let is_kept = kept.is_some();
                    let kept = kept.map_or_else(|| wanted.clone(), Arc::new);
                    let wanted = &kept;
                    // An item is charged for what it runs now; only the difference has to fit.
                    let runs = record.map(|record| &*record.form);
                    if let Some(reason) = total.refuses(&wanted.item, runs, &self.goal.policy.total) {
                        let way_out = "raise limits.total in wharf.yaml, or lower min_processes";
                        self.stall(name, reason, Some(way_out.to_owned()));
                        self.keep(name, record);
                        continue;
                    }
                    let rest = self.item(wanted, record, heirs.get(name).map(String::as_str));
                    if let Some(rest) = rest.filter(|_| !is_kept) {
                        self.settled.0.insert(name.clone(), (wanted.clone(), rest));
                    }
                }
                ItemGoal::Keep { reason, help } => {
                    self.stall(name, reason.clone(), help.clone());
                    self.keep(name, record);
                }
                ItemGoal::NotRunnableHere { reason } => {
                    self.count("not runnable here");
                    self.note(name, "not-runnable-here", reason.clone());
                }
            }
        }
    }

    fn stall(&mut self, name: &ItemName, reason: String, help: Option<String>) {
        self.stalled.push(Stalled { name: name.to_string(), reason, help, tail: Vec::new() });
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The last good state of an item is kept alive as it was recorded.
    fn keep(&mut self, name: &ItemName, record: Option<&'a Record<WantedItem>>) {
        self.count("stalled");
        if let Some(record) = record.filter(|record| !self.is_left_alone(name, record)) {
            let part = plan_item(&self.scene(&self.recorded(record), Some(record), None));
            self.add(part);
        }
    }

    /// Plans an item that is wanted. Gives its rest, if it is as it should be.
    fn item(&mut self, wanted: &Wanted, record: Option<&'a Record<WantedItem>>, renamed: Option<&str>) -> Option<Rest> {
        let name = &wanted.item.name;
        if self.is_suspended(name, &wanted.item) {
            self.count("suspended");
            self.note(name, "suspended", "nothing of it is touched");
            return None;
        }
        if let Some(renamed) = renamed {
            self.note(name, "renamed", renamed);
        }
        let drifted = record.is_some_and(|record| record.stored != record.applied);
        if drifted && self.goal.policy.detect_only {
            self.note(name, "drift", "its record was edited, and drift is only detected (drift: detect)");
            return None;
        }
        let part = plan_item(&self.scene(wanted, record, renamed));
        let settled = part.operations.is_empty() && part.aside == super::steps::Aside::default();
        self.count(match (settled, part.aside.stalled.is_empty()) {
            (true, _) => "as they should be",
            (false, true) => "changing",
            (false, false) => "stalled",
        });
        let rest = Rest { until: part.next_wake };
        self.add(part);
        settled.then_some(rest)
    }

    fn is_suspended(&self, name: &ItemName, form: &WantedItem) -> bool {
        let memory = &self.observed.registry.memory;
        form.suspend || memory.all_suspended || memory.suspended.contains(name)
    }

    /// The last applied form as something wanted: keeping it changes nothing of the record. After an edit by hand it is
    /// found in memory, so that the edit does not become what is wanted.
    fn recorded(&self, record: &Record<WantedItem>) -> Wanted {
        let origin = Origin { path: record.origin.path.clone(), blob: record.origin.blob };
        let drifted = record.stored != record.applied;
        let forms = self.observed.registry.memory.revisions.get(&record.form.name).map_or(&[][..], Vec::as_slice);
        let applied = forms.iter().filter(|_| drifted).find(|form| Digest::of_value(form) == record.applied);
        Wanted::with_digest(applied.unwrap_or(&record.form).clone(), record.applied, origin)
    }

    /// The same for an item that only its record speaks for. A record that was edited by hand is no consent.
    fn is_left_alone(&self, name: &ItemName, record: &Record<WantedItem>) -> bool {
        let memory = &self.observed.registry.memory;
        let by_git = record.form.suspend && record.stored == record.applied;
        by_git || memory.all_suspended || memory.suspended.contains(name)
    }

    fn scene<'s>(
        &'s self,
        wanted: &'s Wanted,
        record: Option<&'s Record<WantedItem>>,
        created_because: Option<&'s str>,
    ) -> Scene<'s> {
        Scene {
            wanted,
            record,
            view: self.observed.executor.items.get(&wanted.item.slug).unwrap_or(&self.nothing),
            executor: self.observed.executor,
            memory: &self.observed.registry.memory,
            options: self.goal.options,
            now: self.now,
            created_because,
        }
    }

    /// Items whose move to another image or interpreter is held back by the budget.
    fn held_moves(&mut self) -> BTreeSet<ItemName> {
        let contents = &self.observed.registry.contents;
        let moved = self.goal.items.iter().filter_map(|(name, goal)| {
            let ItemGoal::Wanted(wanted) = goal else { return None };
            if self.settled.covers(wanted, self.now).is_some() {
                return None;
            }
            let record = contents.get(name)?;
            let moved = record.form.tree == wanted.item.tree && record.form.selected != wanted.item.selected;
            // An approval is for this move, not for the next one.
            let target = Digest::of_value(&wanted.item.selected).prefix(12);
            let uid = format!("{}>{target}", record.uid.0);
            moved.then(|| Approved { kind: "move".into(), name: name.to_string(), uid })
        });
        let moved: BTreeSet<Approved> = moved.collect();
        if moved.is_empty() {
            return BTreeSet::new();
        }
        let memory = &self.observed.registry.memory;
        let Some(blocked) = budget::moves(moved, contents.len(), self.goal.policy.budget, memory) else {
            return BTreeSet::new();
        };
        let names = blocked.things.iter().filter_map(|thing| thing.name.parse().ok()).collect();
        self.blocked.push(blocked);
        names
    }

    /// What leaves the desired state, as far as the budget lets it.
    fn leave(&mut self, leaving: &[Leaving<'_>]) {
        let environments = environments::leaving(&self.goal, self.observed);
        let registry = self.observed.registry;
        let (suspended, leaving): (Vec<_>, Vec<_>) =
            leaving.iter().partition(|leaving| self.is_left_alone(leaving.name, leaving.record));
        for leaving in suspended {
            self.note(leaving.name, "suspended", "it left the repository, and is kept because it is suspended");
        }
        let thing =
            |kind: &str, name: String, uid: &super::Uid| Approved { kind: kind.into(), name, uid: uid.0.clone() };
        let mut things: BTreeSet<Approved> = leaving
            .iter()
            .filter(|leaving| leaving.renamed_to.is_none())
            .map(|leaving| thing("item", leaving.name.to_string(), &leaving.record.uid))
            .collect();
        things.extend(environments.iter().map(|(image, record)| thing("environment", image.to_string(), &record.uid)));
        let managed = registry.contents.len() + registry.environments.len();
        let blocked = budget::deletions(things, managed, self.goal.policy.budget, &registry.memory);
        let held = blocked.is_some();
        self.blocked.extend(blocked);
        let planned: BTreeSet<Subject> = self.operations.iter().map(|operation| operation.subject.clone()).collect();
        for leaving in leaving.iter().filter(|leaving| !held || leaving.renamed_to.is_some()) {
            if leaving.renamed_to.is_some_and(|heir| !self.is_answered_by(heir, &planned)) {
                self.note(leaving.name, "renamed", "it stays until the item it became can answer");
                continue;
            }
            let view = self.observed.executor.items.get(&leaving.record.form.slug);
            let part = leaving::remove(leaving, view.unwrap_or(&self.nothing));
            self.add(part);
        }
        if !held {
            self.operations.extend(environments.into_iter().map(environments::remove));
        }
    }

    /// Whether an item answers with its wanted revision, or will when the plan is done.
    fn is_answered_by(&self, heir: &ItemName, planned: &BTreeSet<Subject>) -> bool {
        let Some(ItemGoal::Wanted(wanted)) = self.goal.items.get(heir) else { return false };
        let view = self.observed.executor.items.get(&wanted.item.slug);
        let service = view.and_then(|view| view.service.as_ref());
        let answers = service.is_some_and(|service| service.revision == wanted.item.revision);
        answers || planned.contains(&Subject::service(&wanted.item.slug))
    }

    /// Builds that no item needs any more are ended: they would hold up those that are needed.
    fn end_builds(&mut self) {
        let active = |job: &&super::ObservedJob| job.phase.is_active() && job.phase != super::Phase::Stopping;
        let builds = &self.observed.executor.builds;
        if !builds.values().flatten().any(|job| active(&job)) {
            return;
        }
        let registry = self.observed.registry;
        let wanted = self.goal.items.values().filter_map(|goal| match goal {
            ItemGoal::Wanted(wanted) => Some(&wanted.item),
            _ => None,
        });
        let recorded = registry.contents.values().map(|record| &record.form);
        let forms = wanted.chain(recorded).chain(registry.memory.revisions.values().flatten());
        let key = |form: &'a std::sync::Arc<WantedItem>| form.content.as_ref()?.packages.as_ref().map(|it| &it.key);
        let needed: BTreeSet<_> = forms.filter_map(key).collect();
        for (_, jobs) in builds.iter().filter(|(key, _)| !needed.contains(key)) {
            for job in jobs.iter().filter(active) {
                let mut chain = super::chain::Chain::new(&job.item);
                chain.end_job(job, "no item needs what it builds", None);
                self.add(chain.finish());
            }
        }
    }

    fn housekeeping(&mut self) {
        let old = retention::housekeeping(self.observed, self.now);
        self.operations.extend(old.operations);
        self.in_flight.extend(old.ending.in_flight);
        self.next_wake = earliest(self.next_wake, old.next);
    }

    fn finish(mut self) -> Plan {
        once_each(&mut self.operations);
        mark_due(&mut self.operations);
        self.notes.sort();
        self.notes.dedup();
        // Items that share a build report it once.
        self.in_flight.sort_by(|a, b| (&a.job, &a.item).cmp(&(&b.job, &b.item)));
        self.in_flight.dedup_by(|a, b| a.job == b.job);
        Plan {
            id: id(&self.operations),
            cost: cost(&self.operations),
            operations: self.operations,
            in_flight: self.in_flight,
            backing_off: self.backing_off,
            stalled: self.stalled,
            blocked: self.blocked,
            notes: self.notes,
            next_wake: self.next_wake,
            items: self.counts,
        }
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// Items that share a package environment plan the same build: the first one's stays.
fn once_each(operations: &mut Vec<Operation>) {
    let mut seen = BTreeSet::new();
    operations.retain(|operation| match (&operation.subject, operation.action) {
        (Subject::Job(name), Action::Create) => seen.insert(name.clone()),
        _ => true,
    });
}

/// An operation is due when all it waits for are operations of the same item that are due themselves.
fn mark_due(operations: &mut [Operation]) {
    let planned: BTreeMap<Subject, Option<ItemName>> =
        operations.iter().map(|operation| (operation.subject.clone(), operation.item.clone())).collect();
    let mut later: BTreeSet<Subject> = BTreeSet::new();
    for operation in operations {
        operation.due = operation.after.iter().all(|wait| match wait {
            Wait::Done { subject } => {
                let own = planned.get(subject).is_none_or(|item| *item == operation.item);
                own && !later.contains(subject)
            }
            Wait::Succeeded { .. } | Wait::Ready { .. } => false,
        });
        if !operation.due {
            later.insert(operation.subject.clone());
        }
    }
}

/// The plan's id: its operations and what they were computed from, not the commit.
fn id(operations: &[Operation]) -> PlanId {
    #[derive(serde::Serialize)]
    struct Part<'a> {
        action: Action,
        subject: &'a Subject,
        precondition: &'a Precondition,
        after: Option<Digest>,
    }
    let parts = operations.iter().filter(|operation| !operation.housekeeping).map(|operation| {
        let after = match &operation.payload {
            Payload::Content { form, .. } => Some(Digest::of(form.revision.as_str())),
            Payload::Environment { form, .. } => Some(Digest::of_value(form)),
            Payload::Service(spec) => Some(spec.digest()),
            // A job's and a bundle's name is the hash of what it is.
            Payload::Job(_) | Payload::Bundle(_) | Payload::Result { .. } | Payload::Nothing => None,
        };
        let part = Part {
            action: operation.action,
            subject: &operation.subject,
            precondition: &operation.precondition,
            after,
        };
        Digest::of_value(&part)
    });
    let parts: Vec<Digest> = parts.collect();
    PlanId::of(&Digest::of_all(&parts))
}

fn cost(operations: &[Operation]) -> Cost {
    let mut cost = Cost::default();
    for operation in operations.iter().filter(|operation| !operation.housekeeping) {
        match (&operation.payload, operation.action, &operation.subject) {
            (Payload::Job(job), _, _) => match job.role {
                Role::Run => {
                    let resources = &job.content.resources;
                    cost.starts += 1;
                    cost.cpu.0 += resources.cpu_request.unwrap_or_default().0;
                    cost.memory.0 += resources.memory_request.unwrap_or_default().0;
                }
                Role::Build => cost.builds += 1,
                Role::Render => cost.renders += 1,
            },
            (_, Action::Delete, Subject::Job(name)) if name.as_str().starts_with("run-") => cost.stops += 1,
            // A renamed item waits for its heir, and is not lost.
            (_, Action::Delete, Subject::Content(_) | Subject::Environment(_)) if operation.after.is_empty() => {
                cost.deletes += 1;
            }
            _ => {}
        }
    }
    cost
}

/// What the items taken in so far ask for together.
#[derive(Default)]
struct Total {
    processes: u32,
    cpu: u64,
    memory: u64,
}

impl Total {
    fn of(item: &WantedItem) -> Self {
        let resources = item.content.as_ref().map(|content| content.resources).unwrap_or_default();
        let count = u64::from(item.processes);
        Self {
            processes: item.processes,
            cpu: count.saturating_mul(resources.cpu_request.unwrap_or_default().0),
            memory: count.saturating_mul(resources.memory_request.unwrap_or_default().0),
        }
    }

    fn charge(&mut self, item: &WantedItem) {
        let of = Self::of(item);
        self.processes = self.processes.saturating_add(of.processes);
        self.cpu = self.cpu.saturating_add(of.cpu);
        self.memory = self.memory.saturating_add(of.memory);
    }

    /// Takes an item in in place of what it runs now, or says why it does not fit under `limits.total`. An item that
    /// asks for no more than before always fits.
    fn refuses(&mut self, item: &WantedItem, runs: Option<&WantedItem>, limits: &Limits) -> Option<String> {
        let (of, now) = (Self::of(item), runs.map(Self::of).unwrap_or_default());
        let processes = self.processes.saturating_sub(now.processes).saturating_add(of.processes);
        let cpu = self.cpu.saturating_sub(now.cpu).saturating_add(of.cpu);
        let memory = self.memory.saturating_sub(now.memory).saturating_add(of.memory);
        let over =
            |before: u64, after: u64, limit: Option<u64>| limit.is_some_and(|limit| after > limit && after > before);
        if over(self.processes.into(), processes.into(), limits.processes.map(u64::from)) {
            let limit = limits.processes.unwrap_or_default();
            return Some(format!("with it {processes} processes would run, and limits.total.processes is {limit}"));
        }
        if over(self.cpu, cpu, limits.cpu.map(|limit| limit.0)) {
            let limit = limits.cpu.unwrap_or_default();
            return Some(format!("with it {} CPU would be asked for, and limits.total.cpu is {limit}", Cpu(cpu)));
        }
        if over(self.memory, memory, limits.memory.map(|limit| limit.0)) {
            let (memory, limit) = (model::Memory(memory), limits.memory.unwrap_or_default());
            return Some(format!("with it {memory} would be asked for, and limits.total.memory is {limit}"));
        }
        *self = Self { processes, cpu, memory };
        None
    }
}
