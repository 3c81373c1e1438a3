//! Reads and writes the files of `protocol.rs`, whole or not at all, and tells whether a session still lives. Decides nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::SessionError;
use super::protocol::{Backends, PROTOCOL, ProcessIdentity, SessionJob, SessionState};

/// The job, below the job directory.
pub const JOB_FILE: &str = "job.json";
/// The state, below the job directory.
pub const STATE_FILE: &str = "state.json";
/// A forwarder's backends, below the job directory.
pub const BACKENDS_FILE: &str = "backends.json";

/// Files of a job directory are no larger; more is somebody's mistake or mischief.
const MAX_BYTES: u64 = 16 << 20;

impl SessionJob {
    /// Writes `job.json` into a job directory, readable by its owner only: variables may be private without being secret.
    pub fn write(&self, directory: &Path) -> Result<(), SessionError> {
        write_json(&directory.join(JOB_FILE), self)
    }

    /// Reads `job.json`, and refuses a protocol that this program does not speak.
    pub fn read(directory: &Path) -> Result<Self, SessionError> {
        let path = directory.join(JOB_FILE);
        let job: Self = read_json(&path)?.ok_or_else(|| SessionError::NoJob { path: path.clone() })?;
        if job.protocol == PROTOCOL {
            Ok(job)
        } else {
            Err(SessionError::Protocol { path, expected: PROTOCOL, found: job.protocol })
        }
    }
}

impl Backends {
    /// Replaces `backends.json`; the forwarder uses it from its next connection on.
    pub fn write(&self, directory: &Path) -> Result<(), SessionError> {
        write_json(&directory.join(BACKENDS_FILE), self)
    }

    /// Reads `backends.json`; none are known where it is not there yet.
    pub fn read(directory: &Path) -> Result<Self, SessionError> {
        Ok(read_json(&directory.join(BACKENDS_FILE))?.unwrap_or_default())
    }
}

impl SessionState {
    /// Reads `state.json`; `None` before the session wrote it first, some milliseconds after its start.
    pub fn read(directory: &Path) -> Result<Option<Self>, SessionError> {
        read_json(&directory.join(STATE_FILE))
    }

    /// Writes `state.json`.
    pub fn write(&self, directory: &Path) -> Result<(), SessionError> {
        write_json(&directory.join(STATE_FILE), self)
    }

    /// Whether the session that wrote this still runs. A state that does not say `exited` and whose session is not
    /// alive means that it was killed, or the host was restarted; then call [`ProcessIdentity::end_leftovers`].
    pub fn is_alive(&self) -> bool {
        self.identity.is_alive()
    }
}

impl ProcessIdentity {
    /// The identity of this process.
    pub fn current() -> Result<Self, SessionError> {
        let pid = nix::unistd::getpid().as_raw();
        let unreadable = || SessionError::read("/proc/self/stat", std::io::Error::from(ErrorKind::InvalidData));
        Ok(Self { boot_id: boot_id()?, pid, start_ticks: start_ticks(pid).ok_or_else(unreadable)? })
    }

    /// Whether this very process still runs; a zombie does not.
    pub fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id) && start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// The kernel's id of this boot.
pub fn boot_id() -> Result<String, SessionError> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(PATH).map_err(|cause| SessionError::read(PATH, cause))?;
    Ok(text.trim().to_owned())
}

/// When a process began, in clock ticks since the boot; `None` if there is none, or only its zombie.
pub fn start_ticks(pid: i32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, so count from the last parenthesis.
    let mut fields = line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace();
    let status = fields.next()?;
    // The status is the third field of proc(5), the start time the twenty-second.
    if matches!(status, "Z" | "X" | "x") { None } else { fields.nth(18)?.parse().ok() }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a JSON file of bounded size; `None` if it is not there.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, SessionError> {
    let bytes = match fs::metadata(path)
        .and_then(|about| if about.len() > MAX_BYTES { Err(ErrorKind::FileTooLarge.into()) } else { fs::read(path) })
    {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(SessionError::read(path, cause)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|cause| SessionError::Json { path: path.to_owned(), cause })
}

/// Writes a JSON file so that a reader sees the former content or the new one, also after a crash.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), SessionError> {
    let bytes =
        serde_json::to_vec_pretty(value).map_err(|cause| SessionError::Json { path: path.to_owned(), cause })?;
    let temporary = temporary_name(path);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|cause| SessionError::write(path, cause))
}

/// Makes a rename or a new file in a directory last beyond a power cut.
pub(super) fn sync_directory(path: &Path) -> Result<(), SessionError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|cause| SessionError::write(path, cause))
}

/// A name beside the file that two writers never share.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", nix::unistd::getpid()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_predecessor_is_not() {
        let me = ProcessIdentity::current().unwrap();
        assert!(me.is_alive());
        assert!(!ProcessIdentity { start_ticks: me.start_ticks - 1, ..me.clone() }.is_alive());
        assert!(!ProcessIdentity { boot_id: "another".to_owned(), ..me }.is_alive());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(start_ticks(pid).is_some());
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while start_ticks(pid).is_some() {
            assert!(std::time::Instant::now() < deadline, "the killed child still counts as alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_missing_state_is_none_and_a_broken_one_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(SessionState::read(directory.path()).unwrap(), None);
        fs::write(directory.path().join(STATE_FILE), "{").unwrap();
        let message = SessionState::read(directory.path()).unwrap_err().to_string();
        assert!(message.contains("state.json"), "{message}");
    }
}
