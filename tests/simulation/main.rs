//! Random commits, faults at every call, crashes between any two, and months of schedules, under one seed.
//!
//! `WHARF_SIMULATION_SEEDS=n` runs more than the 200 of `make test`; `WHARF_SIMULATION_SEED=s` replays one exactly.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it is")]

mod dice;
mod harness;
mod repository;

use std::panic::{AssertUnwindSafe, catch_unwind};

use dice::Dice;
use harness::Harness;
use jiff::SignedDuration;
use repository::{Repository, Scripted};
use wharf::executor::Candidates;
use wharf::plan::{Role, samples};
use wharf::reconcile::Request;

fn candidates(dice: &mut Dice) -> Candidates {
    if dice.once_in(2) {
        return Candidates::FromGit;
    }
    let mut host = (*samples::environment("registry.example/host", 0)).clone();
    host.name = wharf::model::ImageRef::localhost();
    Candidates::Host { environment: std::sync::Arc::new(host), missing: Vec::new() }
}

/// One life of an instance.
fn live(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut repository = Repository::new(dice.once_in(2));
    let candidates = candidates(&mut dice);
    repository.edit(&mut dice);
    repository.commit();
    let mut harness = Harness::new(repository.commits(), candidates.clone(), Some(dice.clone()));
    for _ in 0..30 {
        step(&mut dice, &mut repository, &mut harness);
    }
    calm_down(&mut dice, &mut repository, &mut harness);
    one_broken_item_holds_nobody_back(&mut dice, &repository, &mut harness);
    converged(&repository, &mut harness, candidates);
}

fn step(dice: &mut Dice, repository: &mut Repository, harness: &mut Harness<Scripted>) {
    match dice.below(14) {
        0..=3 => {
            repository.edit(dice);
            repository.commit();
        }
        4 => harness.trouble(1 + dice.below(12), 0),
        5 => harness.trouble(0, 3 + dice.below(20)),
        6 => harness.trouble(0, 0),
        7 => repository.set_down(dice.once_in(2)),
        8 => random_failure(dice, harness),
        9 => drift(dice, harness),
        10 => {
            let now = harness.now;
            harness.executor.reboot(now);
        }
        11 => harness.restart(),
        _ => {}
    }
    for _ in 0..=dice.below(5) {
        harness.pass();
        let seconds = [1, 5, 40, 120, 4000, 200_000, 2_000_000][usize::try_from(dice.below(7)).unwrap()];
        let now = harness.now + SignedDuration::from_secs(seconds);
        harness.set_time(now);
    }
}

fn random_failure(dice: &mut Dice, harness: &Harness<Scripted>) {
    let items = harness.items();
    let Some(item) = dice.pick(&items) else { return };
    let role = [Role::Build, Role::Run, Role::Render][usize::try_from(dice.below(3)).unwrap()];
    match dice.below(3) {
        0 => harness.executor.fail(item, role, "the dice said so"),
        1 => harness.executor.mend(item, role),
        _ => {
            let jobs = harness.executor.jobs();
            if let Some(job) = dice.pick(&jobs) {
                harness.executor.crash_process(&job.name, harness.now);
            }
        }
    }
}

fn drift(dice: &mut Dice, harness: &Harness<Scripted>) {
    let items = harness.items();
    if let Some(item) = dice.pick(&items) {
        harness.registry.edit_content(item, |form| form.suspend = !form.suspend);
    }
}

/// Ends all trouble, mends everything that is broken, and lets the instance come to rest.
fn calm_down(dice: &mut Dice, repository: &mut Repository, harness: &mut Harness<Scripted>) {
    harness.trouble(0, 0);
    harness.restart();
    repository.set_down(false);
    repository.mend();
    repository.commit();
    for item in harness.items() {
        for role in [Role::Build, Role::Run, Role::Render] {
            harness.executor.mend(&item, role);
        }
    }
    let _ = dice.roll();
    harness.pass();
    harness.ask(Request::Reconcile { item: None });
    harness.settle();
}

/// With one item that can never be built again, every other still gets its next revision.
fn one_broken_item_holds_nobody_back(dice: &mut Dice, repository: &Repository, harness: &mut Harness<Scripted>) {
    let healthy = repository.healthy();
    let Some(victim) = dice.pick(&healthy) else { return };
    let name = samples::name(victim);
    for role in [Role::Build, Role::Run, Role::Render] {
        harness.executor.fail(&name, role, "broken for good");
    }
    let now = harness.now;
    harness.executor.reboot(now);
    for _ in 0..40 {
        if let Some(pass) = harness.pass()
            && !pass.applied.progressed
        {
            match harness.executor.next_event() {
                Some(next) => harness.set_time(next),
                None => break,
            }
        }
    }
    for other in healthy.iter().filter(|other| *other != victim) {
        assert!(harness.is_up(other), "{other} is held back by {victim}");
    }
    for role in [Role::Build, Role::Run, Role::Render] {
        harness.executor.mend(&name, role);
    }
    harness.ask(Request::Reconcile { item: None });
    harness.settle();
}

/// What is there is what a fresh start would make, a further pass does nothing, and no law was broken on the way.
fn converged(repository: &Repository, harness: &mut Harness<Scripted>, candidates: Candidates) {
    let starts = harness.executor.starts().len();
    let pass = harness.pass().expect("a pass without trouble");
    assert!(pass.plan.is_empty() && pass.applied.results.is_empty(), "a second pass does something: {:#?}", pass.plan);
    assert_eq!(harness.executor.starts().len(), starts);
    assert_eq!(harness.executor.violations(), [], "a law was broken");

    let items = harness.items();
    harness.ask(Request::Reselect { items });
    harness.settle();
    let mut fresh = Harness::new(repository.commits(), candidates, None);
    fresh.settle();
    assert_eq!(harness.end_state(true), fresh.end_state(true), "left: this instance, right: a fresh start");
    assert_eq!(fresh.executor.violations(), [], "a law was broken by the fresh start");
    let recorded: Vec<String> = fresh.items().iter().map(ToString::to_string).collect();
    assert_eq!(recorded, repository.healthy());
}

fn environment_number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, found {text:?}")))
}

#[test]
fn every_seed_converges() {
    if let Some(seed) = environment_number("WHARF_SIMULATION_SEED") {
        live(seed);
        return;
    }
    let seeds = environment_number("WHARF_SIMULATION_SEEDS").unwrap_or(200);
    let failed = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if seed >= seeds {
                        break;
                    }
                    if catch_unwind(AssertUnwindSafe(|| live(seed))).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    println!("{seeds} seeds, {} failed", failed.len());
    assert!(failed.is_empty(), "failing seeds, replay one with WHARF_SIMULATION_SEED: {failed:?}");
}
