//! Over HTTP: what is asked, what is sent to whom, and every way a server can fail to answer.

use std::fs;
use std::time::Duration;

use wharf::source::{Source, SourceError, TransportError};

use super::git::Repo;
use super::http_server::{HttpServer, Manner, Request};
use super::reading::{paths, read};
use super::{config, open, told};

fn lines(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| format!("{} {}", request.method, request.target)).collect()
}

fn transport(error: &SourceError) -> &TransportError {
    match error {
        SourceError::Remote { source, .. } => source,
        other => panic!("not the transport: {}", told(other)),
    }
}

#[tokio::test]
async fn a_look_fetches_what_is_new_and_asks_once_when_nothing_is() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    assert_eq!(source.current(), None);
    assert!(server.requests().is_empty(), "opening asks nobody");

    let first = source.look().await.unwrap();
    assert_eq!((first.commit, first.previous, first.changed()), (repo.id("main"), None, true));
    let list = "GET /repo/.git/info/refs?service=git-upload-pack";
    assert_eq!(lines(&server.requests()), [list, "POST /repo/.git/git-upload-pack"]);

    let again = source.look().await.unwrap();
    assert!(!again.changed());
    assert_eq!(lines(&server.requests()), [list]);

    let second = repo.commit("app/new.py", "print()\n");
    let moved = source.look().await.unwrap();
    assert_eq!((moved.commit, moved.previous), (second, Some(first.commit)));
    assert_eq!(source.current(), Some(second));
    let (old, new) = (source.snapshot(first.commit).unwrap(), source.snapshot(second).unwrap());
    assert_eq!(paths(&*old), ["app/", "app/content.yaml"]);
    assert_eq!(paths(&*new), ["app/", "app/content.yaml", "app/new.py"]);
    assert_eq!(read(&*new, "app/new.py"), "print()\n");
}

#[tokio::test]
async fn a_token_goes_with_every_request_and_is_read_anew() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let token = state.path().join("token");
    let mut with_token = config(&server.url(), state.path());
    with_token.remote.token_file = Some(token.clone());
    let source = Source::open(with_token).unwrap();

    // "x-access-token:s3cret" in base64.
    server.behave(Manner::ServeTo("Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0".into()));
    fs::write(&token, "s3cret\n").unwrap();
    source.look().await.unwrap();
    assert!(server.requests().iter().all(|request| request.authorization.is_some()));

    server.behave(Manner::ServeTo("Bearer rotated".into()));
    let error = source.look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::Denied { .. }), "{}", told(&error));
    assert!(!told(&error).contains("s3cret"));
    fs::write(&token, "Bearer rotated").unwrap();
    source.look().await.unwrap();

    fs::remove_file(&token).unwrap();
    let error = source.look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::Token(_)) && told(&error).contains("token"));
}

#[tokio::test]
async fn credentials_in_the_address_are_sent_and_never_told() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    // "robot:s3cret" in base64.
    server.behave(Manner::ServeTo("Basic cm9ib3Q6czNjcmV0".into()));
    let url = server.url().replace("http://", "http://robot:s3cret@");
    let source = open(&url, state.path());
    source.look().await.unwrap();
    assert!(!format!("{source:?}").contains("s3cret") && !source.identity().to_string().contains("robot"));

    let denied = open(&server.url(), &state.path().join("other")).look().await.unwrap_err();
    assert!(told(&denied).contains("--token-file"), "{}", told(&denied));
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_no_token() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let (server, other) = (HttpServer::start(repo.parent()), HttpServer::start(repo.parent()));
    let list = "info/refs?service=git-upload-pack";
    let token = state.path().join("token");
    fs::write(&token, "s3cret").unwrap();
    let mut with_token = config(&server.url(), state.path());
    with_token.remote.token_file = Some(token);
    let source = Source::open(with_token).unwrap();

    for elsewhere in [other.url(), server.url_as_localhost()] {
        server.behave(Manner::Redirect(format!("{elsewhere}/{list}")));
        let error = source.look().await.unwrap_err();
        assert!(matches!(transport(&error), TransportError::Redirected { .. }), "{}", told(&error));
        assert!(told(&error).contains("credentials are sent to no other host"), "{}", told(&error));
        assert_eq!(server.requests().len(), 1);
        assert!(other.requests().is_empty());
    }

    // Without a token there is nothing to lose; the fetch then stays where it was sent.
    server.behave(Manner::Redirect(format!("{}/{list}", other.url())));
    let anonymous = open(&server.url(), &state.path().join("anonymous"));
    assert_eq!(anonymous.look().await.unwrap().commit, repo.id("main"));
    assert_eq!(server.requests().len(), 1);
    let followed = other.requests();
    assert_eq!(followed.len(), 2);
    assert!(followed.iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn endless_redirects_end() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    server.behave(Manner::Redirect("/elsewhere/info/refs".into()));
    let error = open(&server.url(), state.path()).look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::Redirected { .. }), "{}", told(&error));
}

#[tokio::test]
async fn what_is_no_git_server_is_named() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    server.behave(Manner::Page("200 OK"));
    let error = source.look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::NotGit { found } if found == "text/html"), "{}", told(&error));
    server.behave(Manner::Page("404 Not Found"));
    let error = source.look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::NoRepository { .. }), "{}", told(&error));
    server.behave(Manner::Page("503 Service Unavailable"));
    let error = source.look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::Unreachable { .. }), "{}", told(&error));
}

#[tokio::test]
async fn a_server_that_stalls_is_left() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let mut short = config(&server.url(), state.path());
    short.remote.silence = Duration::from_millis(300);
    let source = Source::open(short).unwrap();
    for manner in [Manner::Silent, Manner::SilentInPack] {
        server.behave(manner.clone());
        let error = source.look().await.unwrap_err();
        assert!(matches!(transport(&error), TransportError::Silent { .. }), "{manner:?}: {}", told(&error));
    }
    server.behave(Manner::Serve);
    assert_eq!(open(&server.url(), state.path()).look().await.unwrap().commit, repo.id("main"));
}

#[tokio::test]
async fn a_server_that_never_finishes_is_left() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    server.behave(Manner::Drip);
    let mut short = config(&server.url(), state.path());
    short.remote.deadline = Duration::from_millis(500);
    let error = Source::open(short).unwrap().look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::TooSlow { .. }), "{}", told(&error));
}

#[tokio::test]
async fn a_pack_that_is_cut_or_too_large_leaves_nothing_behind() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let mut small = config(&server.url(), state.path());
    small.remote.most_bytes = 600;
    let error = Source::open(small).unwrap().look().await.unwrap_err();
    assert!(matches!(transport(&error), TransportError::TooMuch { limit: 600 }), "{}", told(&error));

    server.behave(Manner::CutPack);
    let source = open(&server.url(), state.path());
    let error = source.look().await.unwrap_err();
    assert!(matches!(error, SourceError::Remote { .. } | SourceError::Protocol { .. }), "{}", told(&error));
    assert_eq!(source.current(), None);
    server.behave(Manner::Serve);
    assert_eq!(source.look().await.unwrap().commit, repo.id("main"));
}

#[tokio::test]
async fn giving_up_ends_the_request() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    server.behave(Manner::Silent);
    {
        let mut look = Box::pin(source.look());
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut look).await.is_err());
    }
    // Were the first still waiting for the silent server, this one would wait for it.
    server.behave(Manner::Serve);
    let again = tokio::time::timeout(Duration::from_secs(20), source.look()).await;
    assert_eq!(again.expect("the first look has ended").unwrap().commit, repo.id("main"));
}

#[tokio::test]
async fn an_answer_that_is_no_list_of_refs_is_an_error_whatever_it_is() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    let source = open(&server.url(), state.path());
    let good = source.look().await.unwrap().commit;
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let service = format!("{}0000", line("# service=git-upload-pack\n"));
    let id = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546";
    let cases = [
        String::new(),
        "zzzz".to_owned(),
        "0003".to_owned(),
        "ffff".to_owned(),
        service.clone(),
        format!("{service}{}0000", line("ERR no entry\u{1b}[2J for you")),
        format!("{service}{}0000", line("not an id refs/heads/main\0caps\n")),
        format!("{service}{}", line(&format!("{id} refs/heads/main\0symref=HEAD:\n"))),
        format!("{service}{}0000", line(&format!("{id} refs/heads/../../evil\0ofs-delta\n"))),
        format!("{service}{}0000", line(&format!("{id} {}\0ofs-delta\n", "x".repeat(60_000)))),
    ];
    for case in cases {
        server.behave(Manner::List(case.clone().into_bytes()));
        let error = source.look().await.expect_err(&case);
        let kind =
            matches!(error, SourceError::Protocol { .. } | SourceError::RefGone { .. } | SourceError::Empty { .. });
        assert!(kind, "{case:?}: {}", told(&error));
        assert_eq!(source.current(), Some(good));
    }
    server.behave(Manner::Serve);
    assert!(!source.look().await.unwrap().changed());
}

#[test]
fn every_problem_says_what_to_do() {
    let remote = |source| SourceError::Remote { repository: "https://git.example/team/repo".into(), source };
    let problem = || "in the server's own words".to_owned();
    let repository = || "https://git.example/team/repo".to_owned();
    let commit = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546".parse().unwrap();
    let errors = [
        remote(TransportError::Unreachable { problem: problem() }),
        remote(TransportError::Silent { after: Duration::from_secs(30) }),
        remote(TransportError::TooSlow { after: Duration::from_mins(15) }),
        remote(TransportError::TooMuch { limit: 4 << 30 }),
        remote(TransportError::Denied { problem: "401 Unauthorized".into(), hint: "give --token-file" }),
        remote(TransportError::HostKey { problem: problem() }),
        remote(TransportError::NoRepository { problem: "404 Not Found".into() }),
        remote(TransportError::NotGit { found: "text/html".into() }),
        SourceError::Empty { repository: repository() },
        SourceError::RefGone {
            repository: repository(),
            reference: "mian".parse().unwrap(),
            near: vec!["main".into(), "next".into()],
        },
        SourceError::CommitGone { repository: repository(), commit },
        SourceError::NotACommit { reference: "v1".into(), found: "tree" },
        SourceError::PathGone { commit, path: "deploy".parse().unwrap(), problem: "it has no \"deploy\"".into() },
        SourceError::NotOurs { path: "/srv/repo".into() },
        SourceError::NoWorkingTree { repository: repository() },
        SourceError::NoHistory { repository: "/srv/repo".into() },
        SourceError::Moved { state: commit },
        SourceError::TooMuch { path: "/srv/repo".into(), limit: 200_000, what: "files" },
        SourceError::Token { path: "/run/token".into(), found: "several lines" },
        SourceError::Busy { path: "/var/lib/wharf/mirror.git".into(), waited: Duration::from_mins(16) },
        "git://git.example/x".parse::<wharf::source::RepositoryUrl>().unwrap_err().into(),
        "-x".parse::<wharf::source::RefName>().unwrap_err().into(),
        "../x".parse::<wharf::source::Subdirectory>().unwrap_err().into(),
    ];
    let texts: Vec<String> = errors.iter().map(|error| told(error)).collect();
    insta::assert_snapshot!(texts.join("\n"));
}
