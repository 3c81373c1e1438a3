//! One Wharf as an operator has it: directories, settings, ports, the commands, and the daemon. Dropping it ends
//! everything that it started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::content::python;
use crate::git::Repo;
use crate::looking::{DEADLINE, processes_of, until_or, visit, wait_until};

/// How many ports one instance gets, the last one for its static content.
const PORTS: u16 = 80;
/// Below the ports that the system gives to connections, above those of the other tests.
const FIRST_PORT: u16 = 23_000;

/// How long a command may take: longer than an apply that builds, on a busy machine.
const COMMAND_DEADLINE: Duration = Duration::from_mins(3);

/// An instance and its settings.
pub struct Instance {
    root: tempfile::TempDir,
    settings: BTreeMap<&'static str, String>,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Instance {
    /// An instance that follows a repository's `main`.
    pub fn new(repository: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (first, last) = free_ports();
        let path = |name: &str| root.path().join(name).display().to_string();
        let settings = BTreeMap::from([
            ("repo", repository.to_owned()),
            ("ref", "main".to_owned()),
            ("interval", "1s".to_owned()),
            ("state_dir", path("state")),
            ("data_dir", path("data")),
            ("listen_content", format!("127.0.0.1:{last}")),
            ("local", format!("{{user: same, ports: {first}-{}, interpreters: [{}]}}", last - 1, python().display())),
        ]);
        let instance = Self { root, settings };
        fs::create_dir(instance.path("home")).unwrap();
        instance.write_settings();
        instance
    }

    /// An instance that follows the branch `main` of a repository on this disk.
    pub fn of(repo: &Repo) -> Self {
        Self::new(&repo.text())
    }

    /// Changes a setting of the configuration file.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.insert(name, value.into());
        self.write_settings();
    }

    fn write_settings(&self) {
        let lines = self.settings.iter().map(|(name, value)| format!("{name}: {value}\n"));
        fs::write(self.path("wharf-config.yaml"), lines.collect::<String>()).unwrap();
    }

    /// A path of this instance.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Where everything of this instance lies.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `wharf` with this instance's settings and nobody else's.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        let is_own = |name: &str| name.starts_with("WHARF_") || name.starts_with("GIT_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_own(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.env("HOME", self.path("home")).env("WHARF_CONFIG", self.path("wharf-config.yaml"));
        command.current_dir(self.path("home")).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end. One that hangs fails the test.
    pub fn wharf(&self, arguments: &[&str]) -> Said {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(child.wait_with_output().unwrap()));
        let output = end.recv_timeout(COMMAND_DEADLINE).unwrap_or_else(|_| {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
            panic!("wharf {arguments:?} did not end in {COMMAND_DEADLINE:?}\n{}", self.logs());
        });
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            // A command that was ended by a signal has no code.
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Runs a command that has to work.
    pub fn must(&self, arguments: &[&str]) -> Said {
        let said = self.wharf(arguments);
        assert_eq!(said.code, 0, "wharf {arguments:?}: {said:#?}\n{}", self.logs());
        said
    }

    /// What a command prints with `--output json`, whatever its exit code.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.wharf(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("wharf {arguments:?}: {error}: {said:#?}"))
    }

    /// Every item by name, as `ps` shows them.
    pub fn items(&self) -> BTreeMap<String, Value> {
        let document = self.json(&["ps"]);
        let items = document["items"].as_array().unwrap_or_else(|| panic!("no items in {document:#}"));
        items.iter().map(|item| (text(item, "item"), item.clone())).collect()
    }

    /// What an item is doing, in a word.
    pub fn state(&self, item: &str) -> String {
        self.items().get(item).map(|item| text(item, "state")).unwrap_or_default()
    }

    /// Where an item answers.
    pub fn url(&self, item: &str) -> String {
        let items = self.items();
        text(items.get(item).unwrap_or_else(|| panic!("no item {item} in {items:#?}")), "url")
    }

    /// The page that an item shows.
    pub fn page(&self, item: &str) -> String {
        match visit(&self.url(item)) {
            Ok((200, body)) => body,
            other => panic!("{item}: {other:?}\n{:#?}\n{}", self.items().get(item), self.logs()),
        }
    }

    /// The process ids of every item's processes that are not about to end.
    pub fn pids(&self) -> BTreeMap<String, Vec<u64>> {
        let items = self.items().into_iter();
        let pids = |item: &Value| {
            let processes =
                item["processes"].as_array().unwrap().iter().filter(|process| process["phase"] != "stopping");
            processes.map(|process| process["pid"].as_u64().unwrap_or_default()).collect()
        };
        items.map(|(name, item)| (name, pids(&item))).collect()
    }

    /// The history's entries.
    pub fn history(&self) -> Vec<Value> {
        self.json(&["history"])["items"].as_array().unwrap().clone()
    }

    /// Waits until the items are as they should be.
    pub fn until(&self, what: &str, is_so: impl Fn(&BTreeMap<String, Value>) -> bool) {
        let look = || is_so(&self.items()).then_some(());
        until_or(what, DEADLINE, look, || format!("{:#?}\n{}", self.items(), self.logs()));
    }

    /// Waits until the daemon says something about itself, and gives all it says.
    pub fn until_status(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let look = || Some(self.json(&["status"])).filter(|status| is_so(status));
        until_or(what, DEADLINE, look, || format!("{:#}\n{}", self.json(&["status"]), self.logs()))
    }

    /// Waits until every item is ready.
    pub fn until_ready(&self, count: usize) {
        self.until("every item to be ready", |items| {
            items.len() == count && items.values().all(|item| text(item, "state") == "ready")
        });
    }

    /// Asserts that nothing is left to do.
    pub fn assert_nothing_to_do(&self) {
        let said = self.wharf(&["diff"]);
        assert_eq!((said.code, said.out.to_lowercase().contains("nothing to do")), (0, true), "{said:#?}");
    }

    /// Everything that was logged by the daemon and by jobs, for a test that fails.
    pub fn logs(&self) -> String {
        let mut text = fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
        for job in fs::read_dir(self.path("data/jobs")).into_iter().flatten().flatten() {
            let log = fs::read_to_string(job.path().join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(12).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            text.push_str(&[&*job.file_name().to_string_lossy(), &last.join("\n"), ""].join("\n"));
        }
        text
    }

    /// Starts the daemon, with more arguments.
    pub fn run_with(&self, arguments: &[&str]) -> Daemon<'_> {
        let log = File::options().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let mut command = self.command(&[&["run"], arguments].concat());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Daemon { instance: self, child }
    }

    /// Starts the daemon.
    pub fn run(&self) -> Daemon<'_> {
        self.run_with(&[])
    }

    /// Ends everything and sees to it that nothing is left.
    pub fn down(&self) {
        self.must(&["down"]);
        wait_until("no process to be left", || processes_of(self.root()).is_empty());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Also after a test that failed half-way: no process outlives its test.
        for _ in 0..100 {
            let left = processes_of(self.root.path());
            if left.is_empty() {
                return;
            }
            for process in left {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), nix::sys::signal::SIGKILL);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// A running `wharf run`. Dropping it ends it without a chance to tidy up.
pub struct Daemon<'a> {
    instance: &'a Instance,
    child: Child,
}

impl Daemon<'_> {
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to end, and gives its exit code.
    pub fn stop(mut self) -> i32 {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        let instance = self.instance;
        let ended = || self.child.try_wait().unwrap();
        until_or("the daemon to end", DEADLINE, ended, || instance.logs()).code().unwrap_or(-1)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text of a JSON object; empty where it is null.
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// A block of ports that nobody uses. Tests run side by side, and maybe beside the same tests of another checkout.
fn free_ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let blocks = (32_000 - FIRST_PORT) / PORTS;
    let start = u16::try_from(std::process::id() % u32::from(blocks)).unwrap();
    for _ in 0..blocks {
        let block = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % blocks;
        let first = FIRST_PORT + block * PORTS;
        let last = first + PORTS - 1;
        if (first..=last).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return (first, last);
        }
    }
    panic!("no {PORTS} free ports in a row from {FIRST_PORT} to 32000");
}
