//! Repositories of this machine, read in place and never written to.

use wharf::source::{Source, SourceError};

use super::git::{Repo, git};
use super::reading::paths;
use super::{config, open, told};

#[tokio::test]
async fn a_working_directory_a_bare_repository_and_a_worktree_are_read_in_place() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    git(repo.parent(), &["clone", "--quiet", "--bare", "repo", "bare.git"]);
    repo.git(&["worktree", "add", "--quiet", "-b", "side", "../side"]);
    for name in ["repo", "repo/.git", "bare.git", "side"] {
        let path = repo.parent().join(name);
        let mut config = config(path.to_str().unwrap(), state.path());
        config.reference = "HEAD".parse().unwrap();
        let source = Source::open(config).unwrap();
        let looked = source.look().await.map_err(|error| format!("{name}: {}", told(&error))).unwrap();
        assert_eq!(looked.commit, repo.id("main"), "{name}");
        assert!(!source.look().await.unwrap().changed());
        assert_eq!(paths(&*source.snapshot(looked.commit).unwrap()), ["app/", "app/content.yaml"]);
    }
    assert!(!state.path().join("mirrors").exists(), "nothing is copied");
}

#[tokio::test]
async fn uncommitted_files_are_not_part_of_a_commit() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.write("app/content.yaml", "changed");
    repo.write("new", "new");
    let source = open(&repo.text(), state.path());
    let commit = source.look().await.unwrap().commit;
    let snapshot = source.snapshot(commit).unwrap();
    assert_eq!(super::reading::read(&*snapshot, "app/content.yaml"), "title: one\n");
    assert_eq!(paths(&*snapshot), ["app/", "app/content.yaml"]);
}

#[tokio::test]
async fn a_new_commit_is_seen_and_described() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let source = open(&repo.text(), state.path());
    let first = source.look().await.unwrap();
    let second = repo.commit("b", "b");
    let looked = source.look().await.unwrap();
    assert_eq!((looked.previous, looked.commit), (Some(first.commit), second));
    let info = source.commit_info(second).unwrap();
    assert_eq!(info.author, "Test <test@wharf.example>");
    assert_eq!((info.subject.as_str(), info.authored.as_second()), ("Change b", 1_700_000_000));
    assert_eq!(info.signature, None);
}

#[tokio::test]
async fn a_signature_is_handed_on_with_what_it_signs() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let key = state.path().join("key");
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "user.signingKey", key.to_str().unwrap()]);
    repo.git(&["commit", "--quiet", "--allow-empty", "--gpg-sign", "--message", "signed"]);
    let source = open(&repo.text(), state.path());
    let commit = source.look().await.unwrap().commit;
    let signature = source.commit_info(commit).unwrap().signature.unwrap();
    assert!(signature.armoured.starts_with(b"-----BEGIN SSH SIGNATURE-----"));
    assert!(signature.payload.starts_with(b"tree ") && signature.payload.ends_with(b"\nsigned\n"));
}

#[test]
fn a_path_that_is_no_repository_says_what_to_do() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let refused =
        |path: &std::path::Path| told(&Source::open(config(path.to_str().unwrap(), state.path())).unwrap_err());
    assert!(refused(&repo.path().join("app")).contains("--path app"), "{}", refused(&repo.path().join("app")));
    assert!(refused(state.path()).contains("--working-tree"), "{}", refused(state.path()));
    assert!(refused(&state.path().join("nowhere")).contains("nowhere"));
}

#[test]
fn a_remote_has_no_working_tree() {
    let state = tempfile::tempdir().unwrap();
    let mut wrong = config("https://git.example/repo", state.path());
    wrong.working_tree = true;
    assert!(matches!(Source::open(wrong), Err(SourceError::NoWorkingTree { .. })));
}

#[test]
#[ignore = "needs root, to give a directory to another user"]
fn a_repository_of_another_user_is_refused() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    for path in [repo.path(), repo.path().join(".git")] {
        std::os::unix::fs::chown(path, Some(12345), Some(12345)).unwrap();
    }
    let error = Source::open(config(&repo.text(), state.path())).unwrap_err();
    assert!(
        matches!(error, SourceError::NotOurs { .. }) && told(&error).contains("safe.directory"),
        "{}",
        told(&error)
    );
}
