//! Runs the program in a home of its own. No assertion about what it says stands here.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// A home with a repository, a state and a data directory, and nothing from outside.
pub struct Home(TempDir);

/// What a finished command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        // Every new home would search this host for interpreters again, and no item here needs one.
        home.write("settings.yaml", "local: {interpreters: []}\n");
        home
    }

    /// A home with the repository that `wharf init` makes.
    pub fn with_repository() -> Self {
        let home = Self::new();
        let said = home.wharf(&["init", "repository"]);
        assert_eq!(said.code, 0, "{}", said.err);
        home
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits everything below `repository`; the commit's id.
    pub fn commit(&self, message: &str) -> String {
        let repository = git2::Repository::open(self.path("repository")).unwrap();
        let mut index = repository.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let parent = repository.head().unwrap().peel_to_commit().unwrap();
        let author = git2::Signature::now("Harbour", "harbour@example.org").unwrap();
        repository.commit(Some("HEAD"), &author, &author, message, &tree, &[&parent]).unwrap().to_string()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command.env("HOME", self.0.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("WHARF_CONFIG", self.0.path().join("settings.yaml"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn wharf(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().unwrap())
    }

    /// Runs a command that reads the repository.
    pub fn read(&self, arguments: &[&str]) -> Said {
        let mut all = arguments.to_vec();
        all.extend(["--repo", "repository"]);
        self.wharf(&all)
    }

    /// The text with everything replaced that is different on every run.
    pub fn settled(&self, text: &str) -> String {
        let home = self.0.path().canonicalize().unwrap();
        text.replace(&home.display().to_string(), "~").replace(&self.0.path().display().to_string(), "~")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Nothing of a test goes on running, also when it failed.
        let _ = self.command(&["down"]).output();
    }
}

impl Said {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A program that goes on, and the lines it has printed.
pub struct Going {
    pub child: Child,
    lines: mpsc::Receiver<String>,
    pub so_far: Vec<String>,
}

impl Going {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, so_far: Vec::new() }
    }

    /// Waits for a line that holds all of these words.
    pub fn until(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.so_far.push(line.clone());
                    if words.iter().all(|word| line.contains(word)) {
                        return line;
                    }
                }
                Err(problem) => panic!("{problem} for {words:?}, it said:\n{}", self.so_far.join("\n")),
            }
        }
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
    }

    /// Waits for its end; the exit code.
    pub fn end(&mut self) -> i32 {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it does not end; it said:\n{}", self.so_far.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The sample repository of this project.
pub fn sample() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-repo").display().to_string()
}

/// Checks a document against the schema that `wharf schema` prints for it.
pub fn assert_valid(home: &Home, form: &str, document: &Value) {
    let schema = home.wharf(&["schema", form]).json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{form}: {}\n{document:#}", problems.join("\n"));
}
