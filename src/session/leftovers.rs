//! Ends what a killed session left running. A session that ends in order leaves nothing; this is for the other kind.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::protocol::ProcessIdentity;
use super::state::boot_id;

impl ProcessIdentity {
    /// Kills the processes of this session if the session itself is dead; how many there were. Safe at any time: a
    /// number is not given to a new process while a session of that number has members, and those began after it.
    pub fn end_leftovers(&self) -> usize {
        if self.is_alive() || !boot_id().is_ok_and(|boot| boot == self.boot_id) {
            return 0;
        }
        let Ok(entries) = fs::read_dir("/proc") else { return 0 };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let left = pids.filter(|pid| {
            member(*pid).is_some_and(|(session, start)| session == self.pid && start >= self.start_ticks)
        });
        left.filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok()).count()
    }
}

/// The session and the start time of a process: the sixth and twenty-second field of proc(5) `stat`.
fn member(pid: i32) -> Option<(i32, u64)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace();
    let session = fields.nth(3)?.parse().ok()?;
    // Sixteen fields later.
    Some((session, fields.nth(15)?.parse().ok()?))
}
