//! What people do every day: commit, apply, look, suspend, and read why something failed.

use std::fs;

use crate::content::{commit, write_api, write_app, write_broken_app, write_page};
use crate::git::Repo;
use crate::instance::{Instance, text};

#[test]
fn a_commit_becomes_an_answering_address_and_a_second_apply_does_nothing() {
    let repo = Repo::empty();
    write_api(&repo, "hello", "", "hello from the harbour");
    write_page(&repo, "welcome", "<h1>Welcome</h1>");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    assert_eq!(wharf.wharf(&["diff"]).code, 1, "there is something to do");

    wharf.must(&["apply"]);
    assert_eq!(wharf.page("hello"), "hello from the harbour");
    assert_eq!(wharf.state("welcome"), "ready");
    wharf.assert_nothing_to_do();

    let (history, pids, jobs) = (wharf.history(), wharf.pids(), job_names(&wharf));
    assert!(!history.is_empty() && pids["hello"].len() == 1, "{history:#?} {pids:?}");
    wharf.must(&["apply"]);
    assert_eq!(wharf.history(), history, "an apply that does nothing is no history");
    assert_eq!((wharf.pids(), job_names(&wharf)), (pids, jobs));
    wharf.must(&["history", "--verify"]);
    wharf.down();
}

#[test]
fn the_daemon_serves_pages_and_is_asked_for_everything() {
    let repo = Repo::empty();
    write_app(&repo, "app", "one");
    write_page(&repo, "pages/first", "<h1>First</h1>");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    let daemon = wharf.run();
    wharf.until_ready(2);
    assert_eq!(wharf.page("app"), "one");
    assert_eq!(wharf.page("pages/first"), "<h1>First</h1>");

    // Only the item that is suspended stays as it is.
    wharf.must(&["suspend", "app"]);
    write_app(&repo, "app", "two");
    write_page(&repo, "pages/first", "<h1>Second</h1>");
    commit(&repo, "Change both");
    wharf.must(&["apply"]);
    assert_eq!((wharf.state("app"), wharf.page("app")), ("suspended".to_owned(), "one".to_owned()));
    assert_eq!(wharf.page("pages/first"), "<h1>Second</h1>");

    wharf.must(&["resume", "app"]);
    wharf.must(&["apply"]);
    assert_eq!((wharf.state("app"), wharf.page("app")), ("ready".to_owned(), "two".to_owned()));

    // What runs goes on without the daemon, and the next one finds it.
    let pids = wharf.pids();
    assert_eq!(daemon.stop(), 0);
    assert_eq!(wharf.page("app"), "two");
    let daemon = wharf.run();
    crate::looking::until("the new daemon to serve pages", || crate::looking::visit(&wharf.url("pages/first")).ok());
    assert_eq!((wharf.pids(), wharf.page("app")), (pids, "two".to_owned()));
    wharf.must(&["reconcile"]);
    wharf.down();
    drop(daemon);
}

#[test]
fn everything_can_be_suspended_at_once() {
    let repo = Repo::empty();
    write_app(&repo, "app", "one");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    wharf.must(&["apply"]);
    wharf.must(&["suspend", "--all"]);
    write_app(&repo, "app", "two");
    write_page(&repo, "page", "new");
    commit(&repo, "Change");
    wharf.must(&["apply"]);
    assert_eq!(wharf.page("app"), "one");
    assert_ne!(wharf.state("page"), "ready");
    wharf.must(&["resume", "--all"]);
    wharf.must(&["apply"]);
    assert_eq!((wharf.page("app"), wharf.state("page")), ("two".to_owned(), "ready".to_owned()));
    let said = wharf.wharf(&["suspend", "no-such-item"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.err.contains("no item no-such-item"), "{said:#?}");
}

#[test]
fn packages_that_do_not_exist_fail_their_item_alone_and_say_why() {
    let repo = Repo::empty();
    write_api(&repo, "bad", "--no-index\nwharf-has-no-such-package==9\n", "never");
    write_broken_app(&repo, "ends");
    write_app(&repo, "good", "good");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    let said = wharf.wharf(&["apply"]);
    assert_eq!(said.code, 1, "{said:#?}");
    for line in ["No matching distribution found for wharf-has-no-such-package==9", "the tide is out"] {
        assert!(said.out.contains(line), "{line} is not in {said:#?}");
    }
    assert_eq!(wharf.page("good"), "good");
    let items = wharf.items();
    assert_eq!(text(&items["bad"], "state"), "retrying", "{items:#?}");
    assert!(text(&items["bad"], "detail").contains("wharf-has-no-such-package==9"), "{items:#?}");
    let status = wharf.wharf(&["status"]);
    assert!(status.out.contains("wharf-has-no-such-package==9"), "{status:#?}");
    let log = wharf.must(&["logs", "bad"]).out;
    assert!(log.contains("from versions: none"), "{log}");

    // It waits before it tries again, unless somebody asks.
    let builds = || job_names(&wharf).iter().filter(|name| name.starts_with("build-")).count();
    assert_eq!((wharf.wharf(&["apply"]).code, builds()), (1, 1));
    wharf.must(&["reconcile", "bad"]);
    assert_eq!((wharf.wharf(&["apply"]).code, builds()), (1, 2));

    // The next commit mends it.
    write_api(&repo, "bad", "", "mended");
    write_app(&repo, "ends", "mended, too");
    commit(&repo, "Mend");
    wharf.must(&["apply"]);
    assert_eq!((wharf.page("bad"), wharf.page("ends")), ("mended".to_owned(), "mended, too".to_owned()));
    wharf.assert_nothing_to_do();
}

/// The names of all jobs that left a directory.
pub fn job_names(wharf: &Instance) -> Vec<String> {
    let entries = fs::read_dir(wharf.path("data/jobs")).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
