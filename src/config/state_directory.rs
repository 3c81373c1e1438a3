//! The state directory: made private, and held by one process at a time. What lies in it is its owners' business.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The lock's name in the state directory. It holds the process id of who has it.
const LOCK_FILE: &str = "wharf.lock";
/// The control socket's name in the state directory.
const SOCKET_FILE: &str = "control.sock";

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirectoryError {
    /// Another process has it.
    #[error(
        "the state directory {} is in use by another wharf{}; end that one, or choose another --state-dir",
        .path.display(), holder(.process.as_deref())
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// The process id that stands in the lock.
        process: Option<String>,
    },
    /// It cannot be made or written.
    #[error("cannot {doing} {}; choose another directory with --state-dir", .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

fn holder(process: Option<&str>) -> String {
    process.map(|id| format!(" (process {id})")).unwrap_or_default()
}

/// The state directory, for as long as this process may write there.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// Closing it gives the lock back, also when the process is killed.
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory if it is not there, for its owner alone.
    pub fn make(path: &Path) -> Result<(), StateDirectoryError> {
        if path.is_dir() {
            return Ok(());
        }
        // The directories above are other programs' too: they get the usual mode.
        let above = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let made = above.and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(path));
        made.map_err(failed("make the directory", path))
    }

    /// Takes the directory for this process, without waiting.
    pub fn lock(path: &Path) -> Result<Self, StateDirectoryError> {
        Self::make(path)?;
        let lock_path = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let mut lock = opened.map_err(failed("open the lock", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = Read::by_ref(&mut lock).take(20).read_to_string(&mut process);
                let process = Some(process.trim().to_owned())
                    .filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
                return Err(StateDirectoryError::Held { path: path.to_owned(), process });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        let written = lock.set_len(0).and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()));
        written.map_err(failed("write the lock", &lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the process that holds a state directory listens for commands.
    pub fn socket(path: &Path) -> PathBuf {
        path.join(SOCKET_FILE)
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateDirectoryError {
    let path = path.to_owned();
    move |source| StateDirectoryError::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_process_at_a_time_and_nobody_else_may_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/wharf");
        let held = StateDirectory::lock(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let refused = StateDirectory::lock(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        assert!(refused.contains(&path.display().to_string()), "{refused}");
        drop(held);
        assert!(StateDirectory::lock(&path).is_ok());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = StateDirectory::lock(&file.path().join("wharf")).unwrap_err().to_string();
        assert!(refused.contains("make the directory") && refused.contains("--state-dir"), "{refused}");
    }
}
