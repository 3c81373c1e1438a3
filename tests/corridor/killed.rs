//! `kill -9` of Wharf at any moment: the next start comes to the same end, with nothing twice and nothing lost.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::content::{commit, write_api, write_app, write_page};
use crate::daily::job_names;
use crate::git::Repo;
use crate::instance::Instance;
use crate::looking::{DEADLINE, sessions_of, until, until_or};

const ITEMS: usize = 6;
const KILLS: u32 = 25;
/// Repeats a run: the number that a failed one printed.
const SEED_VARIABLE: &str = "WHARF_KILL_SEED";

/// A sequence of numbers that a seed decides (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

fn seed() -> u64 {
    let fresh = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let seed = std::env::var(SEED_VARIABLE).map_or_else(|_| fresh(), |seed| seed.parse().unwrap());
    println!("{SEED_VARIABLE}={seed} repeats these kills");
    seed
}

fn change_all(repo: &Repo, round: u32) {
    for item in 1..ITEMS {
        write_app(repo, &format!("app-{item}"), &format!("app {item} in round {round}"));
    }
    write_page(repo, "page", &format!("page in round {round}"));
    commit(repo, &format!("Round {round}"));
}

/// One session for every process that should run and one for every address, and every address shows the newest text.
fn assert_whole(wharf: &Instance, round: u32) {
    let doubled: Vec<_> = sessions_of(wharf.root()).into_iter().filter(|(_, pids)| pids.len() != 1).collect();
    assert!(doubled.is_empty(), "round {round}: twice: {doubled:?}");
    // What was taken over from has been asked to end, and may take a moment.
    let apps = ITEMS - 1;
    let counts = |sessions: &BTreeMap<String, Vec<i32>>| {
        let count = |role: &str| sessions.keys().filter(|name| name.starts_with(role)).count();
        (count("run-"), count("forward-"), sessions.len())
    };
    let alone = || (counts(&sessions_of(wharf.root())) == (apps, apps, 2 * apps)).then_some(());
    until_or("one session for everything", DEADLINE, alone, || {
        format!("round {round}: {:?}", sessions_of(wharf.root()))
    });
    let items = wharf.items();
    assert!(items.values().all(|item| item["state"] == "ready") && items.len() == ITEMS, "round {round}: {items:#?}");
    for item in 1..ITEMS {
        assert_eq!(wharf.page(&format!("app-{item}")), format!("app {item} in round {round}"));
    }
}

#[test]
fn killed_anywhere_it_comes_to_the_same_end() {
    let mut dice = Dice(seed());
    let repo = Repo::empty();
    let wharf = Instance::of(&repo);
    change_all(&repo, 0);
    let start = Instant::now();
    wharf.must(&["apply"]);
    let whole = u64::try_from(start.elapsed().as_millis()).unwrap();
    assert_whole(&wharf, 0);

    for round in 1..=KILLS {
        // Now and then from nothing, else over what runs.
        if round % 5 == 0 {
            wharf.down();
        }
        change_all(&repo, round);
        let command = if dice.below(2) == 0 { "apply" } else { "run" };
        let mut victim = wharf.command(&[command]).stdout(Stdio::null()).spawn().unwrap();
        let moment = Duration::from_millis(dice.below(whole));
        println!("round {round}: {command} is killed after {moment:?} of about {whole} ms");
        // The time is the fault, nothing is waited for.
        std::thread::sleep(moment);
        victim.kill().unwrap();
        victim.wait().unwrap();

        wharf.must(&["apply"]);
        assert_whole(&wharf, round);
        let (history, pids) = (wharf.history().len(), wharf.pids());
        wharf.must(&["apply"]);
        assert_eq!(
            (wharf.history().len(), wharf.pids()),
            (history, pids),
            "round {round}: the second apply does nothing"
        );
    }
    wharf.must(&["history", "--verify"]);
    wharf.down();
}

/// Starts an apply, and kills it as soon as it builds. Gives the build's session.
fn killed_while_it_builds(wharf: &Instance) -> Vec<i32> {
    let mut victim = wharf.command(&["apply"]).stdout(Stdio::null()).spawn().unwrap();
    let build = until("the build to begin", || {
        let (name, pids) = sessions_of(wharf.root()).into_iter().find(|(name, _)| name.starts_with("build-"))?;
        // One that was killed before it said anything never began, and is simply started.
        wharf.path("data/jobs").join(name).join("state.json").exists().then_some(pids)
    });
    victim.kill().unwrap();
    victim.wait().unwrap();
    build
}

#[test]
fn a_build_goes_on_when_wharf_is_killed_and_is_done_once() {
    let repo = Repo::empty();
    write_api(&repo, "hello", "", "hello");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    killed_while_it_builds(&wharf);
    wharf.must(&["apply"]);
    assert_eq!(wharf.page("hello"), "hello");
    let builds = job_names(&wharf).into_iter().filter(|name| name.starts_with("build-")).count();
    assert_eq!(builds, 1);
    wharf.assert_nothing_to_do();
}

#[test]
fn a_build_that_was_killed_says_so_and_is_done_again() {
    let repo = Repo::empty();
    write_api(&repo, "hello", "", "hello");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    for pid in killed_while_it_builds(&wharf) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    }
    // Whoever kills a build, the system when memory runs out for one, is not met again at once.
    let said = wharf.wharf(&["apply"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.out.contains("the session was killed"), "{said:#?}");
    wharf.must(&["reconcile", "hello"]);
    wharf.must(&["apply"]);
    assert_eq!(wharf.page("hello"), "hello");
    wharf.assert_nothing_to_do();
}
