//! A place to run a page's commands in: a home, the sample repository committed, and the built program first on the PATH.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::page::{Page, Step, root};

/// How long anything may take. The first `wharf run` of a page installs packages.
const DEADLINE: Duration = Duration::from_mins(15);
/// The built program.
const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// Where one page's commands run. Everything it started ends with it.
pub struct Sandbox {
    place: TempDir,
    here: PathBuf,
    content_port: u16,
    running: Option<Running>,
}

/// A `wharf run` that goes on.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    /// `wharf down` ends it as well.
    ends_by_itself: bool,
}

impl Sandbox {
    /// A new place for one page.
    pub fn new(page: &Page) -> Self {
        let place = tempfile::tempdir().unwrap();
        let in_config_repository = page.path.starts_with("docs/");
        let here = place.path().join(if in_config_repository { "gullhaven" } else { "project" });
        fs::create_dir_all(place.path().join("home")).unwrap();
        fs::create_dir_all(&here).unwrap();
        // Free now; whoever takes it in between makes the page fail with a message that says so.
        let content_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let sandbox = Self { place, here, content_port, running: None };
        let sample = root().join("sample-repo").display().to_string();
        let sample = if in_config_repository { format!("{sample}/.") } else { sample };
        let made =
            format!("cp -r {sample} . && git init -q -b main && git add . && git commit -q -m 'Open the harbour'");
        let done = sandbox.shell(&made).status().unwrap();
        assert!(done.success(), "the sample repository cannot be committed; is git there? scripts/install-test-tools");
        sandbox
    }

    /// A shell in the present directory, with standard error where standard output is.
    fn shell(&self, script: &str) -> Command {
        let path = format!(
            "{}:{}",
            Path::new(WHARF).parent().unwrap().display(),
            std::env::var("PATH").expect("there is a PATH")
        );
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec 2>&1\n{script}")).current_dir(&self.here).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WHARF_") || name.starts_with("GIT_")) {
            command.env_remove(name);
        }
        command
            .env("PATH", path)
            .env("HOME", self.place.path().join("home"))
            .env("WHARF_LISTEN_CONTENT", format!("127.0.0.1:{}", self.content_port))
            .env("NO_COLOR", "1")
            .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "Harbour")))
            .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "harbour@example.org")));
        command
    }

    /// Runs one command and compares it with what the page says.
    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        let command = step.command.replace("cargo run --", "wharf");
        if command.starts_with("wharf run") {
            self.start(&command);
            return self.wait_for(&step.output);
        }
        let after = self.place.path().join("directory");
        // A trap, so that the directory is told however the command ends.
        let script = format!("trap 'pwd > {}' EXIT\n{}", after.display(), command);
        let output = self.timed(&script)?;
        if let Ok(directory) = fs::read_to_string(&after) {
            self.here = PathBuf::from(directory.trim_end());
        }
        let printed = String::from_utf8_lossy(&output.1).into_owned();
        let code = output.0.code().unwrap_or(-1);
        if code != step.exit {
            return Err(format!("expected exit code {}, found {code}; it printed\n{printed}", step.exit));
        }
        if let Some(running) = self.running.as_mut() {
            running.ends_by_itself |= command.starts_with("wharf down");
        }
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        let expected: Vec<&str> = step.output.iter().map(String::as_str).collect();
        if expected.is_empty() || matches(&expected, &lines) {
            return Ok(());
        }
        Err(format!("the page says\n{}\nand it printed\n{printed}", step.output.join("\n")))
    }

    /// Runs a script to its end, or ends it at the deadline.
    fn timed(&self, script: &str) -> Result<(ExitStatus, Vec<u8>), String> {
        let mut child = self.shell(script).stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let mut stdout = child.stdout.take().expect("standard output is piped");
        let (send, printed) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stdout, &mut bytes);
            let _ = send.send(bytes);
        });
        let Ok(bytes) = printed.recv_timeout(DEADLINE) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not end within {} s", DEADLINE.as_secs()));
        };
        Ok((child.wait().map_err(|error| error.to_string())?, bytes))
    }

    fn start(&mut self, command: &str) {
        let mut child = self.shell(&format!("exec {command}")).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().expect("standard output is piped");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        self.running = Some(Running { child, lines, said: Vec::new(), ends_by_itself: false });
    }

    /// Waits until the running `wharf run` has printed all these lines, in any order.
    pub fn wait_for(&mut self, expected: &[String]) -> Result<(), String> {
        let running = self.running.as_mut().ok_or("nothing runs; a `wharf run` must stand before it")?;
        let deadline = Instant::now() + DEADLINE;
        let mut missing: Vec<&String> = expected.iter().filter(|line| !line.is_empty() && *line != "...").collect();
        loop {
            missing.retain(|pattern| !running.said.iter().any(|line| fits(pattern, line.trim_end())));
            if missing.is_empty() {
                // What is waited for next is printed later than this.
                running.said.clear();
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match running.lines.recv_timeout(left) {
                Ok(line) => running.said.push(line),
                Err(why) => {
                    let what =
                        if why == RecvTimeoutError::Timeout { "it did not print" } else { "it ended without printing" };
                    return Err(format!("{what}\n{missing:#?}\nbut\n{}", running.said.join("\n")));
                }
            }
        }
    }

    /// Ends what runs, as Ctrl-C would.
    pub fn finish(mut self) -> Result<(), String> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let id = Pid::from_raw(i32::try_from(running.child.id()).unwrap());
        // A second request to end, after `wharf down`, would be one to end at once.
        if !running.ends_by_itself {
            kill(id, Signal::SIGINT).map_err(|error| format!("wharf run cannot be ended: {error}"))?;
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            match running.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => running.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = running.child.kill();
                    return Err(format!("wharf run did not end within {} s of Ctrl-C", DEADLINE.as_secs()));
                }
            }
        }
        let status = running.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("wharf run: {status}\n{}", running.said.join("\n"))) }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        // Items outlive the daemon by design; the place they live in is about to go.
        if self.place.path().join("home/.local/share/wharf").exists() {
            let _ = self.shell("wharf down").stdout(Stdio::null()).status();
        }
    }
}

/// Whether lines are what a page says. `...` alone stands for any number of lines.
fn matches(expected: &[&str], lines: &[&str]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), Some((_, fewer))) => matches(rest, lines) || matches(expected, fewer),
        (Some((&"...", rest)), None) => matches(rest, lines),
        (Some((pattern, rest)), Some((line, fewer))) => fits(pattern, line) && matches(rest, fewer),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Whether a line fits a pattern. `...` within it stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[test]
fn dots_stand_for_anything() {
    assert!(fits("ready  hello  http://...", "ready  hello  http://127.0.0.1:41000"));
    assert!(fits("a...c...e", "abcde") && fits("same", "same"));
    assert!(!fits("a...c", "abcd") && !fits("same", "same more") && !fits("a...b...c", "acb"));
    assert!(matches(&["a", "...", "c"], &["a", "b", "b", "c"]) && matches(&["...", "c"], &["c"]));
    assert!(!matches(&["a", "c"], &["a", "b", "c"]) && !matches(&["a", "..."], &["b"]));
}
