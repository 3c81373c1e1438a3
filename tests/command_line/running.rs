//! `wharf run` as a process: what it prints, what it serves, who may speak to it, how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;

use super::support::{Going, Home, free_port};

fn page() -> Home {
    let home = Home::with_repository();
    std::fs::remove_dir_all(home.path("repository/content/hello-api")).unwrap();
    home.commit("Keep the page alone");
    home
}

fn run(home: &Home) -> (Going, u16) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let command = home.command(&["run", "--repo", "repository", "--listen-content", &address, "--interval", "1h"]);
    let mut going = Going::start(command);
    going.until(&["ready", "welcome", &format!("http://{address}/welcome/")]);
    (going, port)
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(super::support::DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_commit_is_followed_and_served() {
    let home = page();
    let (mut going, port) = run(&home);
    let answer = get(port, "/welcome/");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("It works"), "{answer}");
    let head = answer.to_lowercase();
    assert!(head.contains("content-security-policy: sandbox") && head.contains("nosniff"), "{answer}");
    assert!(get(port, "/welcome").starts_with("HTTP/1.1 308"));
    assert!(get(port, "/welcome/../../.wharf.json").starts_with("HTTP/1.1 400"));
    assert!(get(port, "/elsewhere/").starts_with("HTTP/1.1 404"));
    home.write("repository/content/welcome/index.html", "<p>second</p>");
    let commit = home.commit("Change the page");
    going.until(&["commit", commit.get(..7).unwrap()]);
    going.until(&["ready", "welcome"]);
    assert!(get(port, "/welcome/").contains("second"));
    going.signal(Signal::SIGINT);
    going.until(&["wharf down"]);
    assert_eq!(going.end(), 0);
    let text = home.settled(&going.so_far.join("\n")).replace(&port.to_string(), "PORT");
    let text: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("commit") && !line.starts_with("  warning")).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn a_second_one_is_refused_by_name_and_place() {
    let home = page();
    let (going, _) = run(&home);
    let second = home.read(&["run", "--listen-content", &format!("127.0.0.1:{}", free_port())]);
    assert_eq!(second.code, 1);
    assert!(second.err.contains(&format!("(process {})", going.child.id())), "{}", second.err);
    assert!(second.err.contains(".local/state/wharf"), "{}", second.err);
}

#[test]
fn commands_go_through_the_one_that_runs() {
    let home = page();
    let (mut going, _) = run(&home);
    assert_eq!(home.read(&["diff"]).code, 0);
    let status = home.wharf(&["status", "-o", "json"]).json();
    super::support::assert_valid(&home, "status", &status);
    assert_eq!(status["running"], true);
    let apply = home.read(&["apply"]);
    assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
    assert_eq!(home.wharf(&["suspend", "--all"]).code, 0);
    let text = home.wharf(&["status"]).out;
    assert!(text.contains("running") && text.contains("wharf resume --all"), "{text}");
    assert_eq!(home.wharf(&["resume", "--all"]).code, 0);
    assert_eq!(home.wharf(&["reconcile", "welcome"]).code, 0);
    assert_eq!(home.wharf(&["reconcile", "absent"]).code, 1);
    assert_eq!(home.wharf(&["approve", "nothing"]).code, 1);
    let refused = home.read(&["apply", "--adopt-source"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert_eq!(home.wharf(&["down"]).code, 0);
    going.until(&["with everything that ran here"]);
    assert_eq!(going.end(), 0);
    assert!(!home.path(".local/state/wharf/control.sock").exists());
}

#[test]
fn a_killed_one_leaves_nothing_in_the_way() {
    let home = page();
    let (mut going, _) = run(&home);
    going.child.kill().unwrap();
    going.child.wait().unwrap();
    assert!(home.path(".local/state/wharf/control.sock").exists());
    assert_eq!(home.wharf(&["status"]).code, 0);
    let (mut next, _) = run(&home);
    next.signal(Signal::SIGTERM);
    assert_eq!(next.end(), 0);
}
