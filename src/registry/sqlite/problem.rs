//! What SQLite's errors mean for the person who reads them, and what to do about each. It handles none.

use std::path::Path;

use super::super::RegistryError;

/// How long a call waits for another program's write, in seconds.
pub(super) const BUSY_SECONDS: u64 = 5;

/// What is said where a database of ours was expected.
pub(super) const EXPECTED_OURS: &str = "a database it made itself; move that file away, or pass another --state-dir";

/// The primary result code, which is the low byte (sqlite.org/rescode.html).
fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?.parse::<i32>().ok()?;
    Some(code & 0xff)
}

/// Whether somebody else holds a lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    code(error) == Some(5)
}

/// Turns an error of the database into one that says what to do.
pub(super) fn of(doing: &'static str, place: &Path, error: &sqlx::Error) -> RegistryError {
    let said = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let place_text = place.display().to_string();
    let help = match code(error) {
        Some(26) => {
            return RegistryError::Version {
                place: place_text,
                found: "no SQLite database".to_owned(),
                expected: EXPECTED_OURS.to_owned(),
            };
        }
        Some(5 | 6) => {
            format!("another program has kept it locked for {BUSY_SECONDS} s; end that program, or try again later")
        }
        Some(8) => "it cannot be written; check who owns the file and its directory, and whether the file system is \
                    mounted read-only"
            .to_owned(),
        Some(10) => "the disk or file system reports an error; see the system's log, nothing that was committed is \
                     changed"
            .to_owned(),
        Some(11) => "the file is damaged; put back a backup, or move it away: what runs is found again, but \
                     suspensions, approvals and the history are lost"
            .to_owned(),
        Some(13) => "free some space on that file system and try again; nothing that was committed is lost".to_owned(),
        Some(14) => "check that its directory exists and that this user may write to it".to_owned(),
        _ => return RegistryError::Storage { doing, place: place_text, problem: said },
    };
    RegistryError::Storage { doing, place: place_text, problem: format!("{said}; {help}") }
}

/// The same for an error of the file system.
pub(super) fn of_file(doing: &'static str, place: &Path, error: &std::io::Error) -> RegistryError {
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => "create its directory, or pass another --state-dir",
        std::io::ErrorKind::StorageFull => "free some space on that file system",
        _ => "check that its directory exists and that this user may write to it",
    };
    RegistryError::Storage { doing, place: place.display().to_string(), problem: format!("{error}; {help}") }
}
