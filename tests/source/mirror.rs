//! The mirror survives what happens to files: locks, cut packs, lost directories, processes killed between two steps.

use std::fs;
use std::path::{Path, PathBuf};

use wharf::desired::snapshot::{EntryKind, Unreadable};
use wharf::source::SourceError;

use super::git::Repo;
use super::http_server::{HttpServer, Manner};
use super::reading::{find, read, try_read};
use super::{open, told};

/// The one mirror below a state directory.
fn mirror(state: &Path) -> PathBuf {
    let entries = fs::read_dir(state.join("mirrors")).unwrap().map(|entry| entry.unwrap().path());
    let mut mirrors: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "git")).collect();
    assert_eq!(mirrors.len(), 1, "{mirrors:?}");
    mirrors.remove(0)
}

fn packs(mirror: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(mirror.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "pack")).collect()
}

/// Changes a file that Git made read-only.
fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    // Another file, so that what has the old one open does not see it change.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_restart_while_the_remote_is_down_knows_the_last_good_commit() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let commit = open(&server.url(), state.path()).look().await.unwrap().commit;
    server.behave(Manner::Page("500 Internal Server Error"));

    let restarted = open(&server.url(), state.path());
    assert_eq!(restarted.current(), Some(commit));
    let error = restarted.look().await.unwrap_err();
    assert!(matches!(error, SourceError::Remote { .. }), "{}", told(&error));
    assert_eq!(restarted.current(), Some(commit));
    assert_eq!(read(&*restarted.snapshot(commit).unwrap(), "app/content.yaml"), "title: one\n");

    server.behave(Manner::Serve);
    assert!(!restarted.look().await.unwrap().changed());
}

#[tokio::test]
async fn nobody_listening_is_told_as_such() {
    let state = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/repo", listener.local_addr().unwrap());
    drop(listener);
    let error = open(&url, state.path()).look().await.unwrap_err();
    assert!(told(&error).contains("cannot be reached") && told(&error).contains(&url), "{}", told(&error));
}

#[tokio::test]
async fn locks_of_a_killed_process_are_removed() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    source.look().await.unwrap();
    let mirror = mirror(state.path());
    let current = fs::read_dir(mirror.join("refs/wharf/current")).unwrap().next().unwrap().unwrap().path();
    let locks = [
        mirror.join("HEAD.lock"),
        mirror.join("packed-refs.lock"),
        current.with_extension("lock"),
        mirror.join("objects/pack/pack_git2_0123"),
    ];
    for lock in &locks {
        fs::write(lock, "").unwrap();
    }
    let next = repo.commit("b", "b");
    assert_eq!(source.look().await.unwrap().commit, next);
    assert!(locks.iter().all(|lock| !lock.exists()));
}

#[tokio::test]
async fn a_damaged_mirror_is_made_again() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    source.look().await.unwrap();
    let mirror = mirror(state.path());
    let damages: [(&str, &dyn Fn()); 4] = [
        ("a pack cut short", &|| packs(&mirror).iter().for_each(|pack| overwrite(pack, |bytes| bytes.truncate(40)))),
        ("packs lost", &|| fs::remove_dir_all(mirror.join("objects/pack")).unwrap()),
        ("no HEAD", &|| fs::remove_file(mirror.join("HEAD")).unwrap()),
        ("nothing left", &|| fs::remove_dir_all(&mirror).unwrap()),
    ];
    for (damage, inflict) in damages {
        inflict();
        let commit = repo.commit("app/content.yaml", &format!("title: {damage}\n"));
        let looked = source.look().await.map_err(|error| format!("{damage}: {}", told(&error))).unwrap();
        assert_eq!(looked.commit, commit, "{damage}");
        assert_eq!(read(&*source.snapshot(commit).unwrap(), "app/content.yaml"), format!("title: {damage}\n"));
        assert_eq!(open(&server.url(), state.path()).current(), Some(commit), "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_found_when_it_is_read_and_repaired_at_the_next_look() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    // Text that does not compress, so that the damage hits this file.
    let noise = (0_u32..2000).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect::<Vec<_>>().concat();
    let commit = repo.commit("noise", &noise);
    let server = HttpServer::start(repo.parent());
    open(&server.url(), state.path()).look().await.unwrap();
    for pack in packs(&mirror(state.path())) {
        overwrite(&pack, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 8].fill(0);
        });
    }

    let source = open(&server.url(), state.path());
    let snapshot = source.snapshot(commit).unwrap();
    let error = try_read(&*snapshot, "noise").unwrap_err();
    assert!(matches!(error, Unreadable::Corrupt { .. }), "{error}");
    assert_eq!(read(&*snapshot, "app/content.yaml"), "title: one\n", "the rest can be read");

    assert_eq!(source.look().await.unwrap().commit, commit);
    assert_eq!(read(&*snapshot, "noise"), noise, "what was opened before reads the new mirror");
    server.requests();
    source.look().await.unwrap();
    assert_eq!(server.requests().len(), 1, "repaired once");
}

#[tokio::test]
async fn a_remote_that_is_itself_damaged_is_not_cloned_at_every_look() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    let commit = source.look().await.unwrap().commit;
    let snapshot = source.snapshot(commit).unwrap();
    for expected in [2, 1, 1] {
        let missing = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546".parse().unwrap();
        assert!(matches!(snapshot.blob(missing, 10), Err(Unreadable::Missing { .. })));
        server.requests();
        source.look().await.unwrap();
        let lists = server.requests().iter().filter(|request| request.method == "GET").count();
        assert_eq!(lists, expected);
    }
}

#[tokio::test]
async fn a_swap_that_was_cut_short_is_undone() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let commit = open(&server.url(), state.path()).look().await.unwrap().commit;
    let mirror = mirror(state.path());
    fs::rename(&mirror, mirror.with_extension("git.old")).unwrap();
    fs::create_dir(mirror.with_extension("git.new")).unwrap();
    server.behave(Manner::Silent);
    let source = open(&server.url(), state.path());
    assert_eq!(source.current(), Some(commit));
    assert!(!mirror.with_extension("git.new").exists());
}

#[tokio::test]
async fn what_other_refs_led_to_survives_a_repair() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.git(&["branch", "other"]);
    let server = HttpServer::start(repo.parent());
    let mut other = super::config(&server.url(), state.path());
    other.reference = "other".parse().unwrap();
    let kept = wharf::source::Source::open(other.clone()).unwrap().look().await.unwrap().commit;
    let source = open(&server.url(), state.path());
    source.look().await.unwrap();
    fs::remove_file(mirror(state.path()).join("HEAD")).unwrap();
    fs::write(mirror(state.path()).join("HEAD"), "ref: refs/heads/main\n").unwrap();
    assert!(
        source.snapshot(kept).unwrap().blob("00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546".parse().unwrap(), 1).is_err()
    );
    source.look().await.unwrap();
    assert_eq!(wharf::source::Source::open(other).unwrap().current(), Some(kept));
}

#[tokio::test]
async fn several_looks_at_once_agree() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    // Two sources share a mirror as two processes would.
    let sources = [open(&server.url(), state.path()), open(&server.url(), state.path())];
    let looks = (0..6).map(|number| {
        let source = sources[number % 2].clone();
        tokio::spawn(async move { source.look().await.map(|looked| looked.commit).map_err(|error| told(&error)) })
    });
    for look in looks.collect::<Vec<_>>() {
        assert_eq!(look.await.unwrap(), Ok(repo.id("main")));
    }
}

#[tokio::test]
async fn a_file_is_read_only_up_to_its_limit_and_a_path_only_if_it_is_there() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.commit("deploy/production/a", "twelve bytes");
    let server = HttpServer::start(repo.parent());
    let mut below = super::config(&server.url(), state.path());
    below.path = "deploy/production".parse().unwrap();
    let source = wharf::source::Source::open(below.clone()).unwrap();
    let commit = source.look().await.unwrap().commit;
    let snapshot = source.snapshot(commit).unwrap();
    let Some(EntryKind::File { blob, .. }) = find(&*snapshot, "a") else { panic!("no file at the root") };
    assert_eq!(snapshot.size(blob), Ok(12));
    assert_eq!(snapshot.blob(blob, 11), Err(Unreadable::TooLarge { size: 12, limit: 11 }));

    for (path, problem) in [("deploy/staging", "\"staging\""), ("deploy/production/a", "is a file")] {
        below.path = path.parse().unwrap();
        let source = wharf::source::Source::open(below.clone()).unwrap();
        let error = source.snapshot(commit).err().unwrap();
        assert!(matches!(error, SourceError::PathGone { .. }) && told(&error).contains(problem), "{}", told(&error));
    }
}

#[tokio::test]
async fn a_commit_that_history_lost_is_no_reason_to_clone_again() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    source.look().await.unwrap();
    server.requests();
    let error = source.snapshot("00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546".parse().unwrap()).err().unwrap();
    assert!(matches!(error, SourceError::Damaged { source: Unreadable::Missing { .. }, .. }), "{}", told(&error));
    source.look().await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn many_fetches_leave_few_packs_and_lose_nothing() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    let base = source.look().await.unwrap().commit;
    let applied = repo.commit("app/content.yaml", "applied");
    source.look().await.unwrap();
    // Nothing leads to the applied commit any more.
    repo.git(&["reset", "--quiet", "--hard", &base.to_string()]);
    let snapshot = source.snapshot(applied).unwrap();
    let mut most = 0;
    for number in 0..55 {
        let commit = repo.commit("number", &number.to_string());
        assert_eq!(source.look().await.unwrap().commit, commit);
        most = most.max(packs(&mirror(state.path())).len());
    }
    assert!(most <= 51 && packs(&mirror(state.path())).len() < 10, "at most {most} packs");
    assert_eq!(read(&*snapshot, "app/content.yaml"), "applied");
    let restarted = open(&server.url(), state.path());
    assert!(restarted.is_descendant(base, restarted.current().unwrap()).await.unwrap());
    assert_eq!(read(&*restarted.snapshot(applied).unwrap(), "app/content.yaml"), "applied");
}
