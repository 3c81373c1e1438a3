//! The sample repository, from a clone to answering addresses, with packages from the index: as its README says.

use std::path::Path;
use std::time::Duration;

use crate::git::{Repo, git};
use crate::instance::{Instance, text};
use crate::looking::{page, until_or};

/// Every package of five items is downloaded and installed.
const BUILD_DEADLINE: Duration = Duration::from_mins(15);
/// Items, and what their pages show.
const SHOWN: [(&str, &str); 6] = [
    ("tide-times", "Gullhaven"),
    ("harbour-lights", "Lights of Gullhaven"),
    ("passage-window", "assage"),
    ("spring-and-neap", "eap"),
    ("signal-flags", "flag"),
    ("ships-bell", "bell"),
];

/// A clone whose directory `sample-repo` is the sample, as it is in the project.
fn clone() -> Repo {
    let repo = Repo::empty();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-repo");
    let copied = std::process::Command::new("cp").arg("-r").arg(&sample).arg(repo.path()).status();
    assert!(copied.unwrap().success());
    git(&repo.path(), &["add", "--all"]);
    git(&repo.path(), &["commit", "--quiet", "--message", "Open the harbour"]);
    repo
}

#[test]
fn the_sample_repository_runs_as_its_readme_says() {
    let repo = clone();
    let mut wharf = Instance::of(&repo);
    wharf.set("path", "sample-repo");
    let daemon = wharf.run();
    let ready = || {
        let items = wharf.items();
        let is_ready = |name: &str| items.get(name).is_some_and(|item| text(item, "state") == "ready");
        SHOWN.iter().all(|(name, _)| is_ready(name)).then_some(items)
    };
    let items =
        until_or("the sample to be ready", BUILD_DEADLINE, ready, || format!("{:#?}\n{}", wharf.items(), wharf.logs()));
    for (item, shown) in SHOWN {
        let page = page(&text(&items[item], "url"));
        assert!(page.to_lowercase().contains(&shown.to_lowercase()), "{item} does not show {shown:?}: {page}");
    }
    // R and Quarto are not among this host's interpreters: said with what to install, and no failure.
    let plan = wharf.json(&["diff"]);
    for (item, program) in [("wind-rose", "R"), ("harbour-handbook", "Quarto")] {
        let notes = plan["notes"].as_array().unwrap().iter();
        let note = notes.filter(|note| note["name"] == item).map(|note| text(note, "text")).collect::<String>();
        assert!(note.contains("not runnable here") && note.contains(program), "{item}: {note:?}");
    }
    wharf.assert_nothing_to_do();
    wharf.must(&["apply"]);
    drop(daemon);
    wharf.down();
}
