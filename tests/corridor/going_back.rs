//! Going back to what ran before: everything is still there, so nothing is built.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use crate::content::{commit, write_api};
use crate::daily::job_names;
use crate::following::Origin;
use crate::instance::Instance;

/// The package environments, and when each was finished.
fn environments(wharf: &Instance) -> BTreeMap<String, SystemTime> {
    let entries = fs::read_dir(wharf.path("data/python")).unwrap().flatten();
    let finished = entries.filter_map(|entry| {
        let complete = fs::metadata(entry.path().join("complete.json")).ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), complete.modified().unwrap()))
    });
    finished.collect()
}

fn builds(wharf: &Instance) -> Vec<String> {
    job_names(wharf).into_iter().filter(|name| name.starts_with("build-")).collect()
}

#[test]
fn a_revert_and_a_rewind_build_nothing() {
    let origin = Origin::new();
    let repo = &origin.clone;
    write_api(repo, "hello", "", "one");
    commit(repo, "One");
    origin.push(&[]);
    let wharf = Instance::new(origin.bare().to_str().unwrap());
    wharf.must(&["apply"]);
    write_api(repo, "hello", "h11\n", "two");
    let two = commit(repo, "Two");
    origin.push(&[]);
    wharf.must(&["apply"]);
    assert_eq!(wharf.page("hello"), "two");
    let built = (environments(&wharf), builds(&wharf));
    assert_eq!((built.0.len(), built.1.len()), (2, 2), "{built:?}");

    repo.git(&["revert", "--no-edit", "HEAD"]);
    origin.push(&[]);
    wharf.must(&["apply"]);
    assert_eq!(wharf.page("hello"), "one");
    assert_eq!((environments(&wharf), builds(&wharf)), built, "a revert builds nothing");

    repo.git(&["reset", "--quiet", "--hard", &two]);
    origin.push(&["--force"]);
    let said = wharf.wharf(&["apply"]);
    assert_eq!((said.code, wharf.page("hello").as_str()), (1, "one"), "{said:#?}");
    assert!(said.err.contains("--allow-rewind"), "{said:#?}");
    wharf.must(&["apply", "--allow-rewind"]);
    assert_eq!(wharf.page("hello"), "two");
    assert_eq!((environments(&wharf), builds(&wharf)), built, "a rewind builds nothing");
    wharf.assert_nothing_to_do();
}
