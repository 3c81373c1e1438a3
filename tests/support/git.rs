//! The `git` program with a configuration of its own, so that nobody's settings change a test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use wharf::model::CommitId;

/// A `git` command in a directory, untouched by this machine's configuration.
pub fn git_command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", directory);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@wharf.example");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0100");
    }
    command
}

/// Runs `git` and gives back what it printed. Stops the test if it fails.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = git_command(directory).args(arguments).output().expect("git is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} in {}: {said}", directory.display());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Runs `git` with some input.
pub fn git_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut command = git_command(directory);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?} in {}", directory.display());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A repository with a working directory, on the branch `main`, without commits.
pub struct Repo {
    directory: TempDir,
}

impl Repo {
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repo = Self { directory };
        std::fs::create_dir(repo.path()).unwrap();
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    /// A repository with one commit.
    pub fn new() -> Self {
        let repo = Self::empty();
        repo.commit("app/content.yaml", "title: one\n");
        repo
    }

    /// The working directory. Its parent is what servers serve: the repository's name there is `repo`.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    pub fn parent(&self) -> &Path {
        self.directory.path()
    }

    pub fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.path(), arguments)
    }

    pub fn write(&self, file: &str, content: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes a file and commits everything.
    pub fn commit(&self, file: &str, content: &str) -> CommitId {
        self.write(file, content);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", &format!("Change {file}\n\nBody.")]);
        self.id("HEAD")
    }

    pub fn id(&self, revision: &str) -> CommitId {
        self.git(&["rev-parse", revision]).parse().unwrap()
    }
}
