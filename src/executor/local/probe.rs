//! Asks a program for its version, many at once, each with a deadline, and remembers the answers as long as the program stays the same. Where programs are is `interpreters.rs`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::files::{read_json, write_json};
use super::interpreters::Candidate;
use crate::model::{Language, Version};

/// How long a program may take to say its version; R on a busy host takes two seconds.
const DEADLINE: Duration = Duration::from_secs(20);
/// How many programs are asked at once.
const AT_ONCE: usize = 4;
/// Says its version, then fails unless package environments can be made with it.
const PYTHON_QUESTION: &str = "import platform; print(platform.python_version(), flush=True); import venv, ensurepip";

/// What a program turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// An interpreter.
    Version(Version),
    /// A Python that cannot make package environments.
    NoVenv(String),
    /// No interpreter, and why.
    Broken(String),
}

/// Answers that were given before, by path. Only good ones are kept: what is broken may be mended without a change of
/// the program itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Cache(BTreeMap<PathBuf, Answer>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    file: FileState,
    version: Version,
}

/// What changes when a program is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileState {
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    size: u64,
}

impl FileState {
    fn of(path: &Path) -> Option<Self> {
        let about = path.metadata().ok()?;
        Some(Self { modified: (about.mtime(), about.mtime_nsec()), size: about.size() })
    }
}

impl Cache {
    /// Reads the answers; none if there are none, or they are not readable.
    pub fn read(path: &Path) -> Self {
        read_json(path).ok().flatten().unwrap_or_default()
    }

    /// Keeps the answers; where that fails, the next start asks again.
    pub fn write(&self, path: &Path) {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if made.is_err() || write_json(path, self, 0o600).is_err() {
            tracing::debug!(path = %path.display(), "cannot keep what interpreters said");
        }
    }

    fn get(&self, path: &Path) -> Option<&Answer> {
        self.0.get(path).filter(|answer| Some(&answer.file) == FileState::of(path).as_ref())
    }
}

/// Asks all programs, in the order given; and the answers to remember.
pub(super) async fn probe_all(candidates: Vec<Candidate>, cache: Cache) -> (Vec<(Candidate, Finding)>, Cache) {
    let asked = futures::stream::iter(candidates).map(|candidate| {
        let known = cache.get(&candidate.path).cloned();
        async move {
            let finding = match known {
                Some(answer) => Finding::Version(answer.version),
                None => probe(&candidate).await,
            };
            (candidate, finding)
        }
    });
    let findings: Vec<(Candidate, Finding)> = asked.buffered(AT_ONCE).collect().await;
    let mut answers = BTreeMap::new();
    for (candidate, finding) in &findings {
        if let (Finding::Version(version), Some(file)) = (finding, FileState::of(&candidate.path)) {
            answers.insert(candidate.path.clone(), Answer { file, version: version.clone() });
        }
    }
    (findings, Cache(answers))
}

async fn probe(candidate: &Candidate) -> Finding {
    let mut command = Command::new(&candidate.path);
    match candidate.language {
        Language::Python => command.args(["-I", "-c", PYTHON_QUESTION]),
        Language::R | Language::Quarto | Language::Nodejs | Language::Tensorflow => command.arg("--version"),
    };
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true).current_dir("/").env("LANG", "C.UTF-8");
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = match tokio::time::timeout(DEADLINE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(cause)) => return Finding::Broken(format!("it cannot be started: {cause}")),
        Err(_) => return Finding::Broken(format!("it did not say its version within {} s", DEADLINE.as_secs())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match (version_in(candidate.language, &text), output.status.success()) {
        (Some(version), true) => Finding::Version(version),
        (Some(version), false) if candidate.language == Language::Python => Finding::NoVenv(version.to_string()),
        _ => Finding::Broken(format!("it did not say its version ({})", output.status)),
    }
}

/// The version in what a program says about itself.
fn version_in(language: Language, text: &str) -> Option<Version> {
    let line = text.lines().find(|line| !line.trim().is_empty())?.trim();
    let version = match language {
        Language::R => line.strip_prefix("R version ")?.split(" (").next()?,
        Language::Python | Language::Quarto => line,
        Language::Nodejs => line.strip_prefix('v')?,
        Language::Tensorflow => line.rsplit(": ").next()?.split('+').next()?,
    };
    version.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_says_its_version_its_own_way() {
        for (language, text, version) in [
            (Language::R, "R version 4.4.1 (2024-06-14) -- \"Race for Your Life\"\n", "4.4.1"),
            (Language::R, "R version 4.1.3 Patched (2022-03-10 r81896)\n", "4.1.3 Patched"),
            (Language::Python, "3.13.0rc1\n", "3.13.0rc1"),
            (Language::Quarto, "\n1.4.550\n", "1.4.550"),
            (Language::Nodejs, "v20.11.1\n", "20.11.1"),
            (
                Language::Tensorflow,
                "TensorFlow ModelServer: 2.14.1-rc0+dev.sha.1\nTensorFlow Library: 2.14.1\n",
                "2.14.1-rc0",
            ),
        ] {
            assert_eq!(version_in(language, text).map(|found| found.to_string()).as_deref(), Some(version), "{text}");
        }
        assert_eq!(version_in(Language::R, "WARNING: ignoring environment value of R_HOME"), None);
        assert_eq!(version_in(Language::Python, ""), None);
    }

    #[tokio::test]
    async fn a_changed_program_is_asked_again() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("quarto");
        let say = |text: &str| {
            std::fs::write(&path, format!("#!/bin/sh\necho {text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let candidate = Candidate { language: Language::Quarto, path: path.clone() };
        say("1.4.550");
        let (_, cache) = probe_all(vec![candidate.clone()], Cache::default()).await;
        assert!(cache.get(&path).is_some());
        say("1.10.5500");
        let (findings, cache) = probe_all(vec![candidate.clone()], cache).await;
        assert_eq!(findings, [(candidate.clone(), Finding::Version("1.10.5500".parse().unwrap()))]);
        // A remembered answer is not asked for again: this program could not be started any more.
        let remembered = Cache(BTreeMap::from([(
            path.clone(),
            Answer { version: "9.9.9".parse().unwrap(), ..cache.get(&path).unwrap().clone() },
        )]));
        let (findings, _) = probe_all(vec![candidate.clone()], remembered).await;
        assert_eq!(findings, [(candidate, Finding::Version("9.9.9".parse().unwrap()))]);
    }
}
