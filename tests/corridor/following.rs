//! The daemon follows a real remote: people push, and what they pushed is in force while visitors notice nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::content::{commit, write_app};
use crate::git::{Repo, git, git_command};
use crate::http_server::{HttpServer, Manner};
use crate::instance::{Instance, text};
use crate::looking::{until, visit};
use crate::ssh_server::SshServer;

/// A bare repository that others push to, and somebody's clone of it.
pub struct Origin {
    directory: tempfile::TempDir,
    pub clone: Repo,
    /// What `git push` of the clone needs to reach it.
    pub variables: Vec<(&'static str, String)>,
}

impl Origin {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Called as the servers of these tests expect it.
        let bare = directory.path().join("repo/.git");
        std::fs::create_dir_all(&bare).unwrap();
        git(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
        git(&bare, &["config", "http.receivepack", "true"]);
        let clone = Repo::empty();
        clone.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        Self { directory, clone, variables: Vec::new() }
    }

    pub fn parent(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub fn bare(&self) -> PathBuf {
        self.directory.path().join("repo/.git")
    }

    /// Sends pushes through a server.
    pub fn reach_by(&self, url: &str) {
        self.clone.git(&["remote", "set-url", "origin", url]);
    }

    pub fn push(&self, arguments: &[&str]) {
        let mut command = git_command(&self.clone.path());
        command.args(["push", "--quiet", "origin", "main"]).args(arguments).envs(self.variables.clone());
        let output = command.output().unwrap();
        assert!(output.status.success(), "git push: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Somebody who reads a page again and again, and remembers what was shown.
struct Visitor {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<Vec<String>>,
}

impl Visitor {
    fn start(url: String) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, shown) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match visit(&url) {
                    Ok((200, body)) => {
                        let mut shown = shown.lock().unwrap();
                        if shown.last() != Some(&body) {
                            shown.push(body);
                        }
                    }
                    other => failures.push(format!("{other:?}")),
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
            failures
        });
        Self { stop, seen, thread }
    }

    fn has_seen(&self, body: &str) -> bool {
        self.seen.lock().unwrap().iter().any(|seen| seen == body)
    }

    /// What was shown, in its order, and what went wrong.
    fn end(self) -> (Vec<String>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.thread.join().unwrap();
        (self.seen.lock().unwrap().clone(), failures)
    }
}

/// Pushes three times while the daemon runs and a visitor reads.
fn follow(origin: &Origin, wharf: &Instance) {
    write_app(&origin.clone, "app", "text 0");
    write_app(&origin.clone, "neighbour", "always the same");
    commit(&origin.clone, "Open");
    origin.push(&[]);
    let daemon = wharf.run();
    wharf.until_ready(2);
    let neighbour = wharf.pids()["neighbour"].clone();
    let visitor = Visitor::start(wharf.url("app"));
    for number in 1..=3 {
        let next = format!("text {number}");
        write_app(&origin.clone, "app", &next);
        commit(&origin.clone, &next);
        origin.push(&[]);
        until(&format!("{next} to be shown"), || visitor.has_seen(&next).then_some(()));
    }
    wharf.until_ready(2);
    let (seen, failures) = visitor.end();
    assert!(failures.is_empty(), "{} requests failed: {:?}", failures.len(), failures.first());
    assert_eq!(seen, ["text 0", "text 1", "text 2", "text 3"]);
    assert_eq!(wharf.pids()["neighbour"], neighbour, "what did not change is left alone");
    drop(daemon);
    wharf.down();
}

#[test]
fn a_push_over_http_is_shown_without_a_failed_request() {
    let origin = Origin::new();
    let server = HttpServer::start(&origin.parent());
    origin.reach_by(&server.url());
    follow(&origin, &Instance::new(&server.url()));
}

#[test]
fn a_push_over_ssh_is_shown_without_a_failed_request() {
    let mut origin = Origin::new();
    let server = SshServer::start();
    let url = server.url(&origin.bare());
    origin.reach_by(&url);
    let ssh = format!(
        "ssh -F none -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={}",
        server.file("key").display(),
        server.file("known_hosts").display()
    );
    origin.variables.push(("GIT_SSH_COMMAND", ssh));
    let mut wharf = Instance::new(&url);
    wharf.set("ssh_key", server.file("key").display().to_string());
    wharf.set("known_hosts", server.file("known_hosts").display().to_string());
    follow(&origin, &wharf);
}

#[test]
fn a_remote_that_is_away_changes_nothing_and_is_asked_again() {
    let origin = Origin::new();
    let server = HttpServer::start(&origin.parent());
    write_app(&origin.clone, "app", "one");
    commit(&origin.clone, "Open");
    origin.push(&[]);
    let wharf = Instance::new(&server.url());
    let daemon = wharf.run();
    wharf.until_ready(1);
    server.behave(Manner::Page("503 Service Unavailable"));
    wharf.until_status("the outage", |status| text(status, "source_error").contains("503"));
    assert_eq!(wharf.page("app"), "one");
    write_app(&origin.clone, "app", "two");
    commit(&origin.clone, "Change");
    origin.push(&[]);
    server.behave(Manner::Serve);
    until("the commit made meanwhile", || (wharf.page("app") == "two").then_some(()));
    drop(daemon);
}
