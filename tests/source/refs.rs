//! What a `--ref` may name, over HTTP and in place, and what is said when it names nothing.

use wharf::source::{RefName, Source, SourceError};

use super::git::{Repo, git_with_input};
use super::http_server::HttpServer;
use super::{config, open, told};

/// The same repository from another machine and from this one.
fn both(repo: &Repo, state: &tempfile::TempDir) -> (HttpServer, [Source; 2]) {
    let server = HttpServer::start(repo.parent());
    let sources = [open(&server.url(), state.path()), open(&repo.text(), state.path())];
    (server, sources)
}

#[tokio::test]
async fn branches_tags_and_commits_lead_to_commits() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let first = repo.id("HEAD");
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "--annotate", "--message", "x", "annotated"]);
    repo.git(&["tag", "--annotate", "--message", "x", "twice", "annotated"]);
    repo.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    let second = repo.commit("b", "b");
    // A tag of the same name as a branch loses.
    repo.git(&["branch", "both", &second.to_string()]);
    repo.git(&["tag", "both", &first.to_string()]);
    let (_server, sources) = both(&repo, &state);
    for source in sources {
        let cases = [
            ("HEAD", second),
            ("main", second),
            ("both", second),
            ("refs/tags/both", first),
            ("light", first),
            ("annotated", first),
            ("twice", first),
            ("refs/pull/7/head", first),
            (&first.to_string(), first),
        ];
        for (name, expected) in cases {
            let found = source.resolve(name.parse().unwrap()).await;
            assert_eq!(found.map_err(|error| told(&error)), Ok(expected), "{name} of {}", source.identity());
            assert!(source.snapshot(expected).is_ok());
        }
        assert_eq!(source.current(), None, "asking for another ref follows nothing");
    }
}

#[tokio::test]
async fn a_commit_by_its_id_needs_no_second_request() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let first = repo.id("HEAD");
    repo.commit("b", "b");
    let server = HttpServer::start(repo.parent());
    let mut pinned = config(&server.url(), state.path());
    pinned.reference = RefName::Commit(first);
    let source = Source::open(pinned).unwrap();
    assert_eq!(source.look().await.unwrap().commit, first);
    server.requests();
    assert!(!source.look().await.unwrap().changed());
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_ref_that_leads_nowhere_is_told_apart() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    repo.git(&["tag", "of-a-tree", &tree]);
    let (_server, sources) = both(&repo, &state);
    for source in sources {
        let gone = source.resolve("mian".parse().unwrap()).await.unwrap_err();
        assert!(matches!(&gone, SourceError::RefGone { near, .. } if near == &["main"]), "{}", told(&gone));
        let unknown = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546";
        let gone = source.resolve(unknown.parse().unwrap()).await.unwrap_err();
        assert!(matches!(gone, SourceError::CommitGone { .. }), "{}", told(&gone));
        let tagged = source.resolve("of-a-tree".parse().unwrap()).await.unwrap_err();
        assert!(matches!(tagged, SourceError::NotACommit { found: "tree", .. }), "{}", told(&tagged));
    }
}

#[tokio::test]
async fn an_empty_repository_is_not_an_empty_commit() {
    let (repo, state) = (Repo::empty(), tempfile::tempdir().unwrap());
    let (_server, sources) = both(&repo, &state);
    for source in sources {
        let error = source.look().await.unwrap_err();
        assert!(matches!(error, SourceError::Empty { .. }), "{}", told(&error));
    }
}

#[tokio::test]
async fn a_branch_that_vanishes_keeps_the_last_good_commit() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let good = repo.id("main");
    let (_server, sources) = both(&repo, &state);
    for source in &sources {
        source.look().await.unwrap();
    }
    repo.git(&["branch", "--move", "main", "renamed"]);
    for source in &sources {
        let error = source.look().await.unwrap_err();
        assert!(told(&error).contains("renamed"), "{}", told(&error));
        assert_eq!(source.current(), Some(good));
        assert!(source.snapshot(good).is_ok());
    }
    repo.git(&["branch", "--move", "renamed", "main"]);
    for source in &sources {
        assert!(!source.look().await.unwrap().changed());
    }
}

#[tokio::test]
async fn a_forced_push_shows_in_the_history() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let (_server, sources) = both(&repo, &state);
    let base = repo.id("main");
    let applied = repo.commit("app/content.yaml", "title: two\n");
    for source in &sources {
        source.look().await.unwrap();
        assert!(source.is_descendant(base, applied).await.unwrap());
        assert!(source.is_descendant(applied, applied).await.unwrap());
        assert!(!source.is_descendant(applied, base).await.unwrap());
    }
    repo.git(&["reset", "--quiet", "--hard", &base.to_string()]);
    let other = repo.commit("app/content.yaml", "title: three\n");
    for source in &sources {
        let looked = source.look().await.unwrap();
        assert_eq!((looked.previous, looked.commit), (Some(applied), other));
        assert!(!source.is_descendant(applied, other).await.unwrap());
        assert!(source.snapshot(applied).is_ok(), "what is applied can still be read");
    }
    // An ancestor that exists nowhere: history was rewritten.
    let nowhere = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546".parse().unwrap();
    assert!(!sources[0].is_descendant(nowhere, other).await.unwrap());
}

#[tokio::test]
async fn names_of_any_bytes_are_listed_and_stop_nobody() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let id = repo.id("HEAD");
    let refs = repo.path().join(".git/packed-refs");
    let line = [format!("{id} refs/heads/").as_bytes(), b"caf\xe9\n"].concat();
    std::fs::write(refs, line).unwrap();
    let blob = git_with_input(&repo.path(), &["hash-object", "-w", "--stdin"], b"x");
    let listing = [format!("100644 blob {blob}\t").as_bytes(), b"na\xefve.txt\0"].concat();
    let tree = git_with_input(&repo.path(), &["mktree", "-z"], &listing);
    let commit = repo.git(&["commit-tree", "-m", "bytes", "-p", "HEAD", &tree]);
    repo.git(&["update-ref", "refs/heads/main", &commit]);
    let (_server, sources) = both(&repo, &state);
    for source in sources {
        let looked = source.look().await.map_err(|error| told(&error)).unwrap();
        assert_eq!(super::reading::paths(&*source.snapshot(looked.commit).unwrap()), [r"na\xefve.txt"]);
    }
}

#[tokio::test]
async fn links_submodules_and_programs_are_told_apart() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink("../../etc/passwd", repo.path().join("link")).unwrap();
    repo.write("run.sh", "#!/bin/sh\n");
    repo.git(&["add", "--all"]);
    repo.git(&["update-index", "--chmod=+x", "run.sh"]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", repo.id("HEAD"))]);
    repo.git(&["commit", "--quiet", "--message", "kinds"]);
    let (_server, sources) = both(&repo, &state);
    for source in sources {
        let looked = source.look().await.unwrap();
        let snapshot = source.snapshot(looked.commit).unwrap();
        let found = super::reading::paths(&*snapshot);
        assert_eq!(found, ["app/", "app/content.yaml", "link@", "run.sh*", "sub!"]);
        assert_eq!(super::reading::read(&*snapshot, "link"), "../../etc/passwd");
    }
}
