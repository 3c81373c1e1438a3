//! `--working-tree`: what `git status` would speak of, with the ids that committing it would give.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use wharf::desired::snapshot::{EntryKind, Unreadable};
use wharf::source::{Source, SourceError};

use super::git::{Repo, git};
use super::reading::{find, paths, read, try_read};
use super::{config, told};

fn open(path: &Path, below: &str) -> Result<Source, SourceError> {
    let mut config = config(path.to_str().unwrap(), Path::new("/nonexistent"));
    config.working_tree = true;
    config.path = below.parse().unwrap();
    Source::open(config)
}

async fn files(source: &Source) -> Vec<String> {
    let commit = source.look().await.unwrap().commit;
    paths(&*source.snapshot(commit).unwrap())
}

#[tokio::test]
async fn the_files_are_those_git_would_commit() {
    let repo = Repo::new();
    repo.commit(".gitignore", "*.log\n/build/\n");
    repo.commit("gone", "x");
    repo.commit("becomes-a-directory", "x");
    repo.write("kept.log", "tracked although it is ignored");
    repo.git(&["add", "--force", "kept.log"]);
    repo.write("app/content.yaml", "title: changed\n");
    repo.write("new/deep/file.py", "print()\n");
    repo.write("ignored.log", "x");
    repo.write("build/output", "x");
    fs::remove_file(repo.path().join("gone")).unwrap();
    fs::remove_file(repo.path().join("becomes-a-directory")).unwrap();
    repo.write("becomes-a-directory/inner", "x");
    repo.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(repo.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc", repo.path().join("link")).unwrap();
    fs::create_dir(repo.path().join("empty")).unwrap();
    // A directory and a file whose order depends on Git's rule for sorting directories.
    repo.write("sort/x", "x");
    repo.write("sort.txt", "x");
    fs::write(repo.path().join(std::ffi::OsStr::from_bytes(b"na\xefve")), "x").unwrap();

    let source = open(&repo.path(), "").unwrap();
    let looked = source.look().await.unwrap();
    let snapshot = source.snapshot(looked.commit).unwrap();
    assert_eq!(read(&*snapshot, "app/content.yaml"), "title: changed\n");
    assert_eq!(read(&*snapshot, "link"), "/etc");
    let found = paths(&*snapshot);
    assert!(found.contains(&r"na\xefve".to_owned()) && found.contains(&"run.sh*".to_owned()), "{found:?}");
    assert!(found.contains(&"kept.log".to_owned()) && !found.contains(&"ignored.log".to_owned()), "{found:?}");

    repo.git(&["add", "--all"]);
    assert_eq!(snapshot.root().to_string(), repo.git(&["write-tree"]), "{found:?}");
    assert!(!source.look().await.unwrap().changed(), "adding to the index changes no file");
}

#[tokio::test]
async fn a_changed_file_is_another_state_and_the_old_one_can_be_told() {
    let repo = Repo::new();
    let source = open(&repo.path(), "").unwrap();
    let first = source.look().await.unwrap();
    let old = source.snapshot(first.commit).unwrap();
    assert!(!source.look().await.unwrap().changed());
    repo.write("app/content.yaml", "title: two\n");
    let second = source.look().await.unwrap();
    assert_eq!((second.previous, second.changed()), (Some(first.commit), true));
    assert_eq!(read(&*source.snapshot(second.commit).unwrap(), "app/content.yaml"), "title: two\n");
    let error = try_read(&*old, "app/content.yaml").unwrap_err();
    assert!(matches!(&error, Unreadable::Corrupt { problem, .. } if problem.contains("changed")), "{error}");
    let unknown = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546".parse().unwrap();
    assert!(matches!(source.snapshot(unknown), Err(SourceError::Moved { .. })));
}

#[tokio::test]
async fn no_link_is_followed() {
    let (repo, outside) = (Repo::new(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("content.yaml"), "secret").unwrap();
    // What was a tracked directory leads elsewhere now.
    fs::remove_dir_all(repo.path().join("app")).unwrap();
    symlink(outside.path(), repo.path().join("app")).unwrap();
    let source = open(&repo.path(), "").unwrap();
    assert_eq!(files(&source).await, ["app@"]);
    let error = open(&repo.path(), "app").unwrap().look().await.unwrap_err();
    assert!(matches!(error, SourceError::File { .. }), "{}", told(&error));

    // A file that becomes a link after it was seen is not read either.
    repo.write("file", "content");
    let commit = source.look().await.unwrap().commit;
    let snapshot = source.snapshot(commit).unwrap();
    let Some(EntryKind::File { blob, .. }) = find(&*snapshot, "file") else { panic!("no file") };
    fs::remove_file(repo.path().join("file")).unwrap();
    symlink(outside.path().join("content.yaml"), repo.path().join("file")).unwrap();
    assert!(matches!(snapshot.blob(blob, 100), Err(Unreadable::Corrupt { .. })));
}

#[tokio::test]
async fn a_plain_directory_needs_no_git() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plain");
    fs::create_dir_all(path.join("app/empty")).unwrap();
    fs::write(path.join("app/content.yaml"), "title: x\n").unwrap();
    symlink("app", path.join("link")).unwrap();
    nix::unistd::mkfifo(&path.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(path.join("nested")).unwrap();
    git(&path.join("nested"), &["init", "--quiet"]);
    let source = open(&path, "").unwrap();
    assert_eq!(files(&source).await, ["app/", "app/content.yaml", "link@", "nested!"]);
    let commit = source.look().await.unwrap().commit;
    assert!(matches!(source.commit_info(commit), Err(SourceError::NoHistory { .. })));
    assert!(matches!(source.is_descendant(commit, commit).await, Err(SourceError::NoHistory { .. })));
}

#[tokio::test]
async fn a_part_of_a_repository_still_obeys_its_gitignore() {
    let repo = Repo::new();
    repo.commit(".gitignore", "*.log\n");
    repo.write("app/ignored.log", "x");
    repo.write("app/new", "x");
    repo.write("application/other", "x");
    let below = open(&repo.path(), "app").unwrap();
    assert_eq!(files(&below).await, ["content.yaml", "new"]);
    let inside = open(&repo.path().join("app"), "").unwrap();
    assert_eq!(files(&inside).await, ["content.yaml", "new"]);
    assert!(open(&repo.path().join(".git"), "").is_ok_and(|source| source.identity().path.is_empty()));
}

#[tokio::test]
async fn repositories_inside_are_not_entered() {
    let repo = Repo::new();
    fs::create_dir(repo.path().join("nested")).unwrap();
    git(&repo.path().join("nested"), &["init", "--quiet"]);
    fs::write(repo.path().join("nested/file"), "x").unwrap();
    let source = open(&repo.path(), "").unwrap();
    assert_eq!(files(&source).await, ["app/", "app/content.yaml", "nested!"]);
}

#[tokio::test]
async fn a_huge_file_is_named_without_being_read() {
    let repo = Repo::new();
    let huge = fs::File::create(repo.path().join("huge")).unwrap();
    // A hole: reading it would take hours.
    huge.set_len(1 << 42).unwrap();
    let source = open(&repo.path(), "").unwrap();
    let commit = source.look().await.unwrap().commit;
    let snapshot = source.snapshot(commit).unwrap();
    let Some(EntryKind::File { blob, .. }) = find(&*snapshot, "huge") else { panic!("no file") };
    assert_eq!(snapshot.blob(blob, 64 << 20), Err(Unreadable::TooLarge { size: 1 << 42, limit: 64 << 20 }));
}

#[test]
fn a_bare_repository_has_no_files() {
    let repo = Repo::new();
    git(repo.parent(), &["clone", "--quiet", "--bare", "repo", "bare.git"]);
    let error = open(&repo.parent().join("bare.git"), "").unwrap_err();
    assert!(matches!(error, SourceError::NoWorkingTree { .. }), "{}", told(&error));
}
