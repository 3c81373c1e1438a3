//! Another repository, another history: refused until the operator says that it is meant.

use crate::content::{commit, write_app};
use crate::following::Origin;
use crate::git::Repo;
use crate::instance::Instance;
use crate::looking::until;

#[test]
fn another_repository_is_refused_until_it_is_adopted() {
    let (first, second) = (Repo::empty(), Repo::empty());
    write_app(&first, "app", "first");
    commit(&first, "Open");
    write_app(&second, "app", "second");
    commit(&second, "Open elsewhere");
    let mut wharf = Instance::of(&first);
    wharf.must(&["apply"]);
    wharf.set("repo", second.text());
    let said = wharf.wharf(&["apply"]);
    assert_eq!((said.code, wharf.page("app").as_str()), (1, "first"), "{said:#?}");
    for part in [first.text(), second.text(), "--adopt-source".to_owned()] {
        assert!(said.err.contains(&part), "{part} is not in {said:#?}");
    }
    wharf.must(&["apply", "--adopt-source"]);
    assert_eq!(wharf.page("app"), "second");
    // It is said once and stays so.
    wharf.must(&["apply"]);
    wharf.assert_nothing_to_do();
}

#[test]
fn a_forced_push_is_refused_until_it_is_allowed() {
    let origin = Origin::new();
    write_app(&origin.clone, "app", "one");
    let one = commit(&origin.clone, "One");
    write_app(&origin.clone, "app", "two");
    let two = commit(&origin.clone, "Two");
    origin.push(&[]);
    let wharf = Instance::new(origin.bare().to_str().unwrap());
    let daemon = wharf.run();
    wharf.until_ready(1);

    origin.clone.git(&["reset", "--quiet", "--hard", &one]);
    write_app(&origin.clone, "app", "another two");
    let rewritten = commit(&origin.clone, "Another two");
    origin.push(&["--force"]);
    let status = wharf.until_status("the refusal", |status| !status["refusal"].is_null());
    assert_eq!((&status["newest"], &status["commit"]), (&rewritten.into(), &two.into()), "{status:#}");
    assert!(status["refusal"].as_str().unwrap().contains("--allow-rewind"), "{status:#}");
    assert_eq!(wharf.page("app"), "two");
    assert_eq!(daemon.stop(), 0);

    let daemon = wharf.run_with(&["--allow-rewind"]);
    until("the rewritten history", || (wharf.page("app") == "another two").then_some(()));
    drop(daemon);
}
