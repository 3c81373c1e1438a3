//! Over the real ssh: keys, host keys, and a server that says nothing.

use std::time::Duration;

use wharf::source::{Source, SourceConfig, SourceError, TransportError};

use super::git::Repo;
use super::reading::read;
use super::ssh_server::SshServer;
use super::{config, told};

fn over(server: &SshServer, repo: &Repo, state: &tempfile::TempDir) -> SourceConfig {
    let mut config = config(&server.url(&repo.path()), state.path());
    config.remote.ssh_key = Some(server.file("key"));
    config.remote.known_hosts = Some(server.file("known_hosts"));
    config
}

async fn refused(config: SourceConfig) -> (TransportError, String) {
    let error = Source::open(config).unwrap().look().await.unwrap_err();
    let text = told(&error);
    match error {
        SourceError::Remote { source, .. } => (source, text),
        other => panic!("not the transport: {other:?}"),
    }
}

#[tokio::test]
async fn a_look_fetches_over_ssh() {
    let (repo, state, server) = (Repo::new(), tempfile::tempdir().unwrap(), SshServer::start());
    let source = Source::open(over(&server, &repo, &state)).unwrap();
    let first = source.look().await.map_err(|error| format!("{}\n{}", told(&error), server.log())).unwrap();
    assert_eq!(first.commit, repo.id("main"));
    assert!(!source.look().await.unwrap().changed());
    let second = repo.commit("it's here", "two");
    assert_eq!(source.look().await.unwrap().commit, second);
    assert_eq!(read(&*source.snapshot(second).unwrap(), "it's here"), "two");
}

#[tokio::test]
async fn a_path_with_quotes_and_a_short_address_reach_the_other_side() {
    let (repo, state, server) = (Repo::new(), tempfile::tempdir().unwrap(), SshServer::start());
    let odd = repo.parent().join("it's $(touch hit) repo");
    std::fs::rename(repo.path(), &odd).unwrap();
    let mut config = over(&server, &repo, &state);
    config.repository = server.url(&odd).parse().unwrap();
    let source = Source::open(config).unwrap();
    source.look().await.map_err(|error| told(&error)).unwrap();
    assert!(!repo.parent().join("hit").exists());
}

#[tokio::test]
async fn an_unknown_or_wrong_host_key_is_refused() {
    let (repo, state, server) = (Repo::new(), tempfile::tempdir().unwrap(), SshServer::start());
    for known in ["wrong_hosts", "no_such_file"] {
        let mut config = over(&server, &repo, &state);
        config.remote.known_hosts = Some(server.file(known));
        let (error, text) = refused(config).await;
        assert!(matches!(error, TransportError::HostKey { .. }), "{known}: {text}");
        assert!(!server.file("no_such_file").exists(), "nothing is learned");
    }
}

#[tokio::test]
async fn a_wrong_key_or_path_is_told_in_the_servers_words() {
    let (repo, state, server) = (Repo::new(), tempfile::tempdir().unwrap(), SshServer::start());
    let mut config = over(&server, &repo, &state);
    config.remote.ssh_key = Some(server.file("stranger"));
    let (error, text) = refused(config).await;
    assert!(matches!(error, TransportError::Denied { .. }), "{text}");
    assert!(text.contains("Permission denied") && text.contains("--ssh-key"), "{text}");

    let mut config = over(&server, &repo, &state);
    config.repository = server.url(&repo.path().join("nowhere")).parse().unwrap();
    let (error, text) = refused(config).await;
    assert!(matches!(error, TransportError::NoRepository { .. }), "{text}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left() {
    let (repo, state, server) = (Repo::new(), tempfile::tempdir().unwrap(), SshServer::start());
    let mut mute = over(&server, &repo, &state);
    mute.remote.ssh_key = Some(server.file("mute"));
    mute.remote.deadline = Duration::from_secs(2);
    let (error, text) = refused(mute).await;
    assert!(matches!(error, TransportError::TooSlow { .. }), "{text}");

    // Not even a banner.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut silent = over(&server, &repo, &state);
    silent.repository = format!("ssh://{}/repo", listener.local_addr().unwrap()).parse().unwrap();
    silent.remote.silence = Duration::from_millis(300);
    let (error, text) = refused(silent).await;
    assert!(matches!(error, TransportError::Silent { .. }), "{text}");
}
