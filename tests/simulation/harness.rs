//! The reconciler over the registry and executor in memory, with one clock, faults at every call and crashes between any two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use wharf::clock::ManualClock;
use wharf::executor::MemoryExecutor;
use wharf::executor::{Candidates, Executor};
use wharf::fault::{Fault, FaultHook};
use wharf::model::ItemName;
use wharf::plan::{Options, Phase, RegistryView, Role, Subject, Target, samples};
use wharf::reconcile::{Answer, Commits, Consent, GoalSettings, Pass, PassError, Reconciler, Request, Rooms, Settings};
use wharf::registry::MemoryRegistry;
use wharf::registry::Registry;

use super::dice::Dice;

/// What goes wrong at the calls of the registry and executor.
#[derive(Default)]
pub struct Trouble {
    /// Calls left until the daemon dies; 0 is never.
    fuse: AtomicU64,
    /// Whether it is dead: nothing it calls reaches the world.
    dead: std::sync::atomic::AtomicBool,
    /// One call in this many fails by itself; 0 is never.
    flaky: AtomicU64,
    dice: Mutex<Option<Dice>>,
}

impl Trouble {
    fn decide(&self) -> Fault {
        if self.dead.load(Ordering::SeqCst) {
            return Fault::Error;
        }
        let fuse = self.fuse.load(Ordering::SeqCst);
        if fuse > 0 {
            self.fuse.store(fuse - 1, Ordering::SeqCst);
            if fuse == 1 {
                self.dead.store(true, Ordering::SeqCst);
                return if self.roll(2) == 0 { Fault::Error } else { Fault::ErrorAfterDoing };
            }
        }
        let flaky = self.flaky.load(Ordering::SeqCst);
        if flaky > 0 && self.roll(flaky) == 0 {
            return if self.roll(2) == 0 { Fault::Error } else { Fault::ErrorAfterDoing };
        }
        Fault::None
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().unwrap().as_mut().map_or(1, |dice| dice.below(sides))
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}

/// One world and the daemon in it.
pub struct Harness<C> {
    pub registry: MemoryRegistry,
    pub executor: MemoryExecutor,
    pub clock: Arc<ManualClock>,
    pub now: Timestamp,
    pub trouble: Arc<Trouble>,
    commits: C,
    daemon: Reconciler,
    runtime: tokio::runtime::Runtime,
}

impl<C: Commits + Clone + 'static> Harness<C> {
    pub fn new(commits: C, candidates: Candidates, dice: Option<Dice>) -> Self {
        let registry = MemoryRegistry::new(samples::instance("sim"));
        let executor = MemoryExecutor::new(candidates);
        let trouble = Arc::new(Trouble { dice: Mutex::new(dice), ..Trouble::default() });
        for inject in [
            |r: &MemoryRegistry, _: &MemoryExecutor, hook| r.inject(hook),
            |_: &MemoryRegistry, e: &MemoryExecutor, hook| e.inject(hook),
        ] {
            let trouble = trouble.clone();
            inject(&registry, &executor, FaultHook::new(move |_| trouble.decide()));
        }
        let now = samples::time(0);
        let clock = Arc::new(ManualClock::at(now));
        let daemon = daemon(&commits, &registry, &executor, &clock);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { registry, executor, clock, now, trouble, commits, daemon, runtime }
    }

    /// Sets the time, and lets what is due by then happen.
    pub fn set_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.clock.set(self.now);
        self.executor.advance(self.now);
    }

    /// Lets the daemon die at its `calls`-th next call, and from time to time fails others.
    pub fn trouble(&self, calls: u64, flaky: u64) {
        self.trouble.fuse.store(calls, Ordering::SeqCst);
        self.trouble.flaky.store(flaky, Ordering::SeqCst);
    }

    /// A new daemon over the same world.
    pub fn restart(&mut self) {
        self.trouble.dead.store(false, Ordering::SeqCst);
        self.trouble.fuse.store(0, Ordering::SeqCst);
        self.daemon = daemon(&self.commits, &self.registry, &self.executor, &self.clock);
    }

    /// One pass. Nothing may be deleted that its plan does not name; a dead daemon is replaced.
    pub fn pass(&mut self) -> Option<Pass> {
        let before = self.recorded();
        self.daemon.look_again();
        let result: Result<Pass, PassError> = self.runtime.block_on(self.daemon.pass(&CancellationToken::new()));
        let after = self.recorded();
        let named: BTreeSet<String> = self
            .daemon
            .status()
            .plan
            .iter()
            .flat_map(|plan| plan.operations.iter())
            .filter(|operation| operation.action == wharf::plan::Action::Delete)
            .filter_map(|operation| match &operation.subject {
                Subject::Content(name) => Some(name.to_string()),
                Subject::Environment(name) => Some(name.to_string()),
                _ => None,
            })
            .collect();
        for gone in before.difference(&after) {
            assert!(named.contains(gone), "{gone} was deleted and no plan says so");
        }
        if self.trouble.is_dead() {
            self.restart();
            return None;
        }
        result.ok()
    }

    /// What the registry holds, past all trouble.
    fn calm_view(&self) -> Arc<RegistryView> {
        let dead = self.trouble.dead.swap(false, Ordering::SeqCst);
        let fuse = self.trouble.fuse.swap(0, Ordering::SeqCst);
        let flaky = self.trouble.flaky.swap(0, Ordering::SeqCst);
        let view = self.runtime.block_on(self.registry.view()).expect("a call without trouble");
        self.trouble.fuse.store(fuse, Ordering::SeqCst);
        self.trouble.flaky.store(flaky, Ordering::SeqCst);
        self.trouble.dead.store(dead, Ordering::SeqCst);
        view
    }

    fn recorded(&self) -> BTreeSet<String> {
        let view = self.calm_view();
        let environments = view.environments.keys().map(ToString::to_string);
        environments.chain(view.contents.keys().map(ToString::to_string)).collect()
    }

    pub fn ask(&mut self, request: Request) -> Answer {
        self.runtime.block_on(self.daemon.handle(request))
    }

    /// Passes, and lets time go to whatever is due next, until nothing is left to do. Approves what is held back.
    pub fn settle(&mut self) {
        for _ in 0..600 {
            let Some(pass) = self.pass() else { continue };
            for blocked in &pass.plan.blocked {
                self.ask(Request::Approve { id: blocked.approval.clone() });
            }
            if pass.applied.progressed || !pass.plan.blocked.is_empty() {
                continue;
            }
            let retry = pass.plan.backing_off.iter().map(|it| it.next_try).min();
            let next = self.executor.next_event().into_iter().chain(retry).min();
            match next {
                Some(next) => self.set_time(next.max(self.now + SignedDuration::from_millis(1))),
                None if pass.plan.is_settled() => return,
                None => self.set_time(pass.next_wake.unwrap_or(self.now + SignedDuration::from_mins(1))),
            }
        }
        let pass = self.pass();
        panic!("it does not settle: {:#?}", pass.map(|pass| pass.plan));
    }

    /// Everything that should be equal to what a fresh start makes: forms, living processes, addresses.
    pub fn end_state(&self, with_selection: bool) -> BTreeMap<String, String> {
        let registry = self.calm_view();
        let world = self.runtime.block_on(self.executor.view()).unwrap();
        let mut state = BTreeMap::new();
        for (name, record) in &registry.environments {
            state.insert(format!("environment {name}"), format!("{:?}", record.stored));
        }
        for (name, record) in &registry.contents {
            let form = &record.form;
            let shape =
                if with_selection { format!("{:?} {}", record.stored, form.revision) } else { form.bundle.to_string() };
            state.insert(format!("content {name}"), shape);
            let Some(view) = world.items.get(&form.slug) else { continue };
            let alive = view.jobs.values().filter(|job| job.role == Role::Run && job.phase == Phase::Ready);
            let ordinals: Vec<String> = alive.map(|job| job.slot.to_string()).collect();
            state.insert(format!("processes {name}"), ordinals.join(" "));
            let target = view.service.as_ref().map(|service| match &service.target {
                Target::Processes => "processes".to_owned(),
                Target::Bundle { id, .. } => format!("bundle {id}"),
                Target::Result { .. } => "a result".to_owned(),
            });
            let current = view.service.as_ref().is_some_and(|service| service.revision == form.revision);
            state.insert(format!("address {name}"), format!("{target:?} of the wanted revision: {current}"));
        }
        state
    }

    /// The names of recorded items.
    pub fn items(&self) -> Vec<ItemName> {
        self.calm_view().contents.keys().cloned().collect()
    }

    /// The living jobs by item.
    pub fn is_up(&self, item: &str) -> bool {
        self.end_state(true).get(&format!("address {item}")).is_some_and(|address| address.ends_with("true"))
    }
}

fn daemon<C: Commits + Clone + 'static>(
    commits: &C,
    registry: &MemoryRegistry,
    executor: &MemoryExecutor,
    clock: &Arc<ManualClock>,
) -> Reconciler {
    let rooms = Rooms {
        commits: Arc::new(commits.clone()),
        registry: Arc::new(registry.clone()),
        executor: Arc::new(executor.clone()),
        clock: clock.clone(),
        ceiling: Arc::default(),
    };
    let goals =
        GoalSettings { instance: samples::instance("sim"), supervisor: None, require_image_match: false, protocol: 1 };
    let options = Options { adopt: false, fire_schedules: true };
    let settings = Settings { goals, options, consent: Consent::default(), actor: "simulation".to_owned() };
    Reconciler::new(rooms, settings)
}
