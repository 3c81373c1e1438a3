//! `wharf-session DIR`: the session by itself, for containers. The same as `wharf session DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if let (Some(path), None) = (arguments.next(), arguments.next()) {
        return wharf::session::main(&PathBuf::from(path));
    }
    eprintln!("usage: wharf-session DIR\nDoes the job that DIR/job.json describes; executors start it.");
    ExitCode::from(2)
}
