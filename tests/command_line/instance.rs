//! One instance over its life: apply, look, suspend, history, end. Static items alone, so that nothing is downloaded.

use serde_json::Value;

use super::support::{Home, Said, assert_valid, free_port};

/// A repository whose only item is a page.
fn page() -> Home {
    let home = Home::with_repository();
    std::fs::remove_dir_all(home.path("repository/content/hello-api")).unwrap();
    home.commit("Keep the page alone");
    home
}

fn apply(home: &Home) -> Said {
    home.read(&["apply", "--listen-content", &format!("127.0.0.1:{}", free_port())])
}

#[test]
fn apply_twice_changes_once() {
    let home = page();
    assert_eq!(home.read(&["diff"]).code, 1);
    let first = apply(&home);
    assert_eq!(first.code, 0, "{}{}", first.out, first.err);
    assert!(first.out.contains("ready") && first.out.contains("1 item: 1 ready"), "{}", first.out);
    let again = home.read(&["diff"]);
    assert_eq!(again.code, 0, "{}{}", again.out, again.err);
    assert_eq!(apply(&home).code, 0);
    let history = home.wharf(&["history", "--output", "json"]).json();
    assert_valid(&home, "history", &history);
    assert_eq!(history["items"].as_array().map(Vec::len), Some(1), "{history:#}");
    assert_eq!(history["items"][0]["actor"].as_str().map(|it| it.starts_with("apply by ")), Some(true));
    let verified = home.wharf(&["history", "--verify"]);
    assert!(verified.code == 0 && verified.out.starts_with("whole: 1 entry"), "{}", verified.out);
}

#[test]
fn what_runs_is_shown_in_the_documented_forms() {
    let home = page();
    apply(&home);
    let ps = home.wharf(&["ps", "-o", "json"]).json();
    assert_valid(&home, "ps", &ps);
    assert_eq!((&ps["items"][0]["item"], &ps["items"][0]["state"]), (&Value::from("welcome"), &Value::from("ready")));
    let status = home.wharf(&["status", "-o", "json"]).json();
    assert_valid(&home, "status", &status);
    assert_eq!(status["running"], false);
    assert!(status["commit"].is_string());
    let environments = home.read(&["environments", "-o", "json"]).json();
    assert_valid(&home, "environments", &environments);
    let url = home.wharf(&["open", "welcome"]);
    assert!(url.out.starts_with("http://127.0.0.1:") && url.out.ends_with("/welcome/\n"), "{}{}", url.out, url.err);
    let logs = home.wharf(&["logs", "welcome"]);
    assert!(logs.code == 1 && logs.err.contains("no job with a log"), "{}", logs.err);
}

#[test]
fn a_suspended_item_is_left_alone_until_it_is_resumed() {
    let home = page();
    apply(&home);
    let said = home.wharf(&["suspend", "welcome"]);
    assert_eq!((said.code, said.err.as_str()), (0, "suspended welcome\n"));
    home.write("repository/content/welcome/index.html", "changed");
    home.commit("Change the page");
    assert_eq!(home.read(&["diff"]).code, 0, "{}", home.read(&["diff"]).out);
    assert_eq!(home.wharf(&["ps", "-o", "json"]).json()["items"][0]["state"], "suspended");
    assert_eq!(home.wharf(&["suspend", "wellcome"]).code, 1);
    assert_eq!(home.wharf(&["resume", "welcome"]).code, 0);
    assert_eq!(home.read(&["diff"]).code, 1);
}

#[test]
fn deletions_over_the_budget_wait_for_approval() {
    let home = page();
    for number in 0..3 {
        home.write(&format!("repository/content/page-{number}/index.html"), "a page");
        let manifest = "{\"version\": 1, \"metadata\": {\"appmode\": \"static\"}}";
        home.write(&format!("repository/content/page-{number}/manifest.json"), manifest);
    }
    home.write("repository/wharf.yaml", "deletions:\n  max_count: 1\n");
    home.commit("Add pages");
    assert_eq!(apply(&home).code, 0);
    for number in 0..3 {
        std::fs::remove_dir_all(home.path(&format!("repository/content/page-{number}"))).unwrap();
    }
    home.commit("Drop the pages");
    let plan = home.read(&["diff", "-o", "json"]);
    assert_eq!(plan.code, 1, "{}{}", plan.out, plan.err);
    let plan = plan.json();
    let id = plan["blocked"][0]["approval"].as_str().unwrap_or_else(|| panic!("{plan:#}"));
    assert_eq!(home.read(&["approve", "0123456789abcdef"]).code, 1);
    let approved = home.read(&["approve", id]);
    assert_eq!(approved.code, 0, "{}", approved.err);
    assert_eq!(apply(&home).code, 0);
    assert_eq!(home.wharf(&["ps", "-o", "json"]).json()["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn another_repository_needs_consent() {
    let home = page();
    apply(&home);
    assert_eq!(home.wharf(&["init", "other"]).code, 0);
    std::fs::remove_dir_all(home.path("other/content/hello-api")).unwrap();
    let other = home.wharf(&["apply", "--repo", "other", "--working-tree"]);
    assert!(other.code == 1 && other.err.contains("--adopt-source"), "{}{}", other.out, other.err);
    let diff = home.wharf(&["diff", "--repo", "other", "--working-tree"]);
    assert_eq!(diff.code, 2, "{}{}", diff.out, diff.err);
    let adopted = home.wharf(&["apply", "--repo", "other", "--working-tree", "--adopt-source"]);
    assert_eq!(adopted.code, 0, "{}{}", adopted.out, adopted.err);
}

#[test]
fn directories_that_cannot_be_written_are_named() {
    let home = page();
    home.write("file", "in the way");
    let state = home.read(&["apply", "--state-dir", "file/state"]);
    assert!(state.code == 1 && state.err.contains("file/state") && state.err.contains("--state-dir"), "{}", state.err);
    let data = home.read(&["apply", "--data-dir", "file/data"]);
    assert!(data.code == 1 && data.err.contains("file/data"), "{}", data.err);
    home.write("foreign/something", "not ours");
    let foreign = home.read(&["apply", "--data-dir", "foreign"]);
    assert!(foreign.code == 1 && foreign.err.contains("foreign"), "{}", foreign.err);
    assert_eq!(home.wharf(&["apply", "--repo", "repository", "--state-dir", "both", "--data-dir", "both"]).code, 2);
}
