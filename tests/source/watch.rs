//! What wakes a reader, with real file events. The interval is an hour, so only the change can be what woke.

use std::time::Duration;

use wharf::source::{Source, Woken};

use super::git::Repo;
use super::http_server::HttpServer;
use super::{config, open};

const HOUR: Duration = Duration::from_hours(1);

/// Starts to wait, does something, and expects to be woken by it.
async fn wakes(source: &Source, what: &str, change: impl FnOnce()) {
    let watch = source.watch(HOUR);
    assert!(watch.sees_files());
    change();
    let woken = tokio::time::timeout(Duration::from_secs(20), watch.woken(0, 0)).await;
    assert_eq!(woken, Ok(Woken::Files), "{what}");
}

#[tokio::test]
async fn a_commit_a_branch_and_packed_refs_wake() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let source = open(&repo.text(), state.path());
    wakes(&source, "a commit", || _ = repo.commit("b", "b")).await;
    wakes(&source, "a branch in a new directory", || drop(repo.git(&["branch", "feature/one"]))).await;
    wakes(&source, "another HEAD", || drop(repo.git(&["checkout", "--quiet", "feature/one"]))).await;
    wakes(&source, "packed refs", || drop(repo.git(&["pack-refs", "--all"]))).await;
    wakes(&source, "a deleted packed ref", || drop(repo.git(&["branch", "--delete", "main"]))).await;
}

#[tokio::test]
async fn a_commit_in_a_linked_worktree_wakes() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.git(&["worktree", "add", "--quiet", "-b", "side", "../side"]);
    let side = repo.parent().join("side");
    let mut following = config(side.to_str().unwrap(), state.path());
    following.reference = "HEAD".parse().unwrap();
    let source = Source::open(following).unwrap();
    wakes(&source, "a commit", || drop(super::git::git(&side, &["commit", "--quiet", "--allow-empty", "-m", "x"])))
        .await;
    wakes(&source, "another HEAD", || drop(super::git::git(&side, &["checkout", "--quiet", "--detach"]))).await;
    assert_eq!(source.look().await.unwrap().commit, repo.id("side"));
}

#[tokio::test]
async fn a_file_of_a_working_tree_wakes() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let mut files = config(&repo.text(), state.path());
    files.working_tree = true;
    let source = Source::open(files).unwrap();
    wakes(&source, "a changed file", || repo.write("app/content.yaml", "title: two\n")).await;
    wakes(&source, "a file in a new directory", || repo.write("new/deep/file", "x")).await;
    wakes(&source, "a deleted file", || std::fs::remove_file(repo.path().join("app/content.yaml")).unwrap()).await;
}

#[tokio::test]
async fn a_change_before_the_wait_is_not_missed_and_our_own_reading_wakes_nobody() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let source = open(&repo.text(), state.path());
    // Short, so that the second wait can end by the interval.
    let watch = source.watch(Duration::from_secs(1));
    let commit = repo.commit("b", "b");
    assert_eq!(watch.woken(0, 0).await, Woken::Files);
    // What the commit still set off is over once a whole interval passed in silence.
    while watch.woken(0, 0).await == Woken::Files {}
    assert_eq!(source.look().await.unwrap().commit, commit);
    source.snapshot(commit).unwrap();
    assert_eq!(watch.woken(0, 0).await, Woken::Interval);
}

#[tokio::test]
async fn a_remote_wakes_by_its_interval_only() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let watch = open(&server.url(), state.path()).watch(Duration::from_millis(10));
    assert!(!watch.sees_files());
    assert_eq!(watch.woken(0, 0).await, Woken::Interval);
}
