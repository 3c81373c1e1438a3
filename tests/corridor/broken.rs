//! Somebody commits a mistake: it holds nobody else back, what ran goes on running, and the next commit mends it.

use crate::content::{commit, write_app};
use crate::git::Repo;
use crate::instance::Instance;
use crate::looking::until;

const ENVIRONMENT: &str = "- name: ghcr.io/example/python:3.12\n  python:\n    installations:\n      - version: 3.12.1\n        path: /opt/python/bin/python3\n";

/// A merge that somebody committed before it was finished.
const CONFLICT: &str =
    "{\"version\": 1,\n<<<<<<< HEAD\n\"locale\": \"C\"\n=======\n\"locale\": \"de\"\n>>>>>>> other\n}\n";

/// Waits until the daemon has taken a commit in, or refused it.
fn until_seen(wharf: &Instance, id: &str) -> serde_json::Value {
    wharf.until_status("the commit to be seen", |status| status["newest"] == *id)
}

#[test]
fn a_broken_file_holds_nobody_else_back_and_the_next_commit_mends_it() {
    let repo = Repo::empty();
    write_app(&repo, "app", "app one");
    write_app(&repo, "other", "other one");
    repo.write("environments/python.yaml", ENVIRONMENT);
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    let daemon = wharf.run();
    wharf.until_ready(2);
    let other = wharf.pids()["other"].clone();

    // A manifest and an environment, both broken, beside a good change.
    write_app(&repo, "app", "app two");
    repo.write("content/other/manifest.json", CONFLICT);
    repo.write(
        "environments/python.yaml",
        &format!("{ENVIRONMENT}- name: ghcr.io/example/python:3.13\n  python: {{}}\n"),
    );
    commit(&repo, "Break two files");
    until("the good change", || (wharf.page("app") == "app two").then_some(()));
    wharf.until("the broken item to go on", |items| items.len() == 2);
    assert_eq!((wharf.page("other").as_str(), &wharf.pids()["other"]), ("other one", &other));
    let validated = wharf.wharf(&["validate"]);
    assert_eq!(validated.code, 1, "{validated:#?}");
    for part in ["content/other/manifest.json", "E0106", "environments/python.yaml", "E0125"] {
        assert!(validated.out.contains(part) || validated.err.contains(part), "{part}: {validated:#?}");
    }
    let diff = wharf.wharf(&["diff"]);
    assert_eq!(diff.code, 2, "{diff:#?}");
    assert!(diff.out.contains("content/other/manifest.json"), "{diff:#?}");
    let diff = wharf.wharf(&["diff", "--ignore-stalled"]);
    assert_eq!(diff.code, 0, "{diff:#?}");

    // A broken policy: whoever wrote a rule relies on it, so nothing of this commit is applied.
    write_app(&repo, "app", "app three");
    repo.write("wharf.yaml", "matching:\n  python: [nearest\n");
    let refused = commit(&repo, "Break the policy");
    let status = until_seen(&wharf, &refused);
    assert!(status["refusal"].as_str().is_some_and(|reason| reason.contains("wharf.yaml")), "{status:#}");
    assert_ne!(status["commit"], refused);
    assert_eq!((wharf.page("app").as_str(), wharf.page("other").as_str()), ("app two", "other one"));
    assert_eq!(wharf.pids()["other"], other);

    repo.write("wharf.yaml", "matching:\n  python: nearest\n");
    repo.write("environments/python.yaml", ENVIRONMENT);
    write_app(&repo, "other", "other two");
    commit(&repo, "Mend everything");
    until("the mended items", || {
        (wharf.page("app") == "app three" && wharf.page("other") == "other two").then_some(())
    });
    wharf.until_ready(2);
    wharf.must(&["validate"]);
    until("nothing to do", || (wharf.wharf(&["diff"]).code == 0).then_some(()));
    drop(daemon);
}
