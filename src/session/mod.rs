//! The program inside a job: it builds, runs or renders one item, or holds its port. It never decides what should run.
//!
//! An executor writes a job directory and starts `wharf session DIR`; from then on the two share only files, so that
//! the session outlives the daemon and can be found again by it. See [`protocol`].

mod error;
pub mod protocol;
mod state;

use std::path::Path;
use std::process::ExitCode;

pub use error::SessionError;
pub use state::{BACKENDS_FILE, JOB_FILE, STATE_FILE, boot_id, now_ms, start_ticks};

/// What `wharf session PATH` and `wharf-session PATH` do: the job of a directory, from its start to its end. The path
/// must be the program's last argument; the session starts itself again with another there.
pub fn main(path: &Path) -> ExitCode {
    let _ = path;
    ExitCode::FAILURE
}
