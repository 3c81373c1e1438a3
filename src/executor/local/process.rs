//! Sessions as processes: naming one for good, signalling it, waiting for its end, clearing up after one that was killed. What a session means is not known here.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::model::Digest;
use crate::session::protocol::ProcessIdentity;
use crate::session::{boot_id, start_ticks};

/// The identity of a process that was just started and is not waited for yet.
pub(super) fn identify(pid: i32) -> Option<ProcessIdentity> {
    Some(ProcessIdentity { boot_id: boot_id().ok()?, pid, start_ticks: start_ticks(pid)? })
}

/// A handle on exactly this process; `None` if it has ended.
fn handle(identity: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = rustix::process::Pid::from_raw(identity.pid) else { return Ok(None) };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(cause) => return Err(cause.into()),
    };
    // Looked at after the handle is held: from here on the number cannot be somebody else's.
    Ok(identity.is_alive().then_some(handle))
}

/// Asks a process to end.
pub(super) fn ask_to_end(identity: &ProcessIdentity) -> io::Result<()> {
    match handle(identity)? {
        Some(handle) => match pidfd_send_signal(handle, rustix::process::Signal::TERM) {
            // It ended this moment.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(cause) => Err(cause.into()),
        },
        None => Ok(()),
    }
}

/// Kills a session and everything that it started.
pub(super) fn kill_all(identity: &ProcessIdentity) -> io::Result<()> {
    kill_members(identity);
    if let Some(handle) = handle(identity)? {
        pidfd_send_signal(handle, rustix::process::Signal::KILL)?;
    }
    kill_members(identity);
    Ok(())
}

/// Waits until a process that is not our child has ended.
pub(super) async fn ended(identity: &ProcessIdentity) -> io::Result<()> {
    let Some(handle) = handle(identity)? else { return Ok(()) };
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that swap their descriptor, which OwnedFd does not"
    )]
    let handle = AsyncFd::with_interest(handle, Interest::READABLE)?;
    handle.readable().await.map(|_| ())
}

/// Kills what belongs to the session of processes that this one leads or led, itself excepted. The number of a session
/// is not given to another process while a member of it lives.
pub(super) fn kill_members(identity: &ProcessIdentity) {
    let another = start_ticks(identity.pid).is_some_and(|ticks| ticks != identity.start_ticks);
    if another || boot_id().is_ok_and(|boot| boot != identity.boot_id) {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids.filter(|pid| *pid != identity.pid && session_of(*pid) == Some(identity.pid)) {
        // One that has ended meanwhile is as good.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// The session of a process: the fourth field after the program's name in proc(5) `stat`.
fn session_of(pid: i32) -> Option<i32> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace().nth(3)?.parse().ok()
}

/// A text that no other call on this host gives: identities of jobs and services, names of what is being removed.
pub(super) fn unique() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let boot = boot_id().unwrap_or_default();
    Digest::of(format!("{boot} {} {nanoseconds} {call}", std::process::id())).prefix(24)
}
