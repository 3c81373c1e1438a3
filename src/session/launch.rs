//! How a program becomes content: the session starts itself once more with `-`, and that copy confines itself, drops to
//! the content's user and turns into the program. Which program, and with which variables, is decided elsewhere.
//!
//! The detour replaces code between fork and exec, which would be unsafe, and keeps two things apart: variables come from
//! a repository, so they must not reach a program that still is root (`LD_PRELOAD`), and secrets must not reach the disk;
//! both therefore travel through a pipe and are set by the exec itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use serde::{Deserialize, Serialize};

use super::error::SessionError;
use super::protocol::ContentUser;

/// The exit code of a launch that did not get as far as its program. Shells use the neighbours 126 and 127 themselves.
pub(super) const NOT_LAUNCHED: i32 = 125;
/// What the line begins with that says why.
pub(super) const NOT_LAUNCHED_PREFIX: &str = "wharf-session: ";
/// The path that asks for a launch.
pub(super) const LAUNCH: &str = "-";

/// One program, ready to be started.
/// No `Debug`: the variables hold the values of secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Launch {
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// All of its variables.
    pub variables: BTreeMap<String, String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Whom it becomes.
    pub user: Option<ContentUser>,
    /// RLIMIT_DATA in bytes.
    pub data_limit: Option<u64>,
    /// The cgroup it enters.
    pub cgroup: Option<PathBuf>,
}

impl Launch {
    /// Starts the program as the leader of a process group of its own; its output is the child's two pipes.
    pub fn spawn(&self) -> Result<Child, SessionError> {
        let failed = |cause| SessionError::system("start the content's process", cause);
        let mut child = Command::new("/proc/self/exe")
            .args(own_arguments())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let text = serde_json::to_vec(self).map_err(|cause| failed(cause.into()))?;
        if let Some(mut input) = child.stdin.take() {
            // If it is gone already, its exit tells more than this error would.
            let _ = input.write_all(&text);
        }
        Ok(child)
    }
}

/// This program's own arguments with the last one, the job directory, replaced: it may be `wharf session` or `wharf-session`.
fn own_arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    arguments.pop();
    arguments.push(OsString::from(LAUNCH));
    arguments
}

/// The other end of [`Launch::spawn`]: becomes the program, or says why not.
pub(super) fn become_program() -> ExitCode {
    let trouble = read_launch().and_then(|launch| turn_into(&launch));
    if let Err(message) = trouble {
        eprintln!("{NOT_LAUNCHED_PREFIX}{message}");
    }
    ExitCode::from(u8::try_from(NOT_LAUNCHED).unwrap_or(1))
}

fn read_launch() -> Result<Launch, String> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).map_err(|cause| format!("cannot read what to start: {cause}"))?;
    serde_json::from_slice(&text).map_err(|cause| format!("cannot read what to start: {cause}"))
}

/// Only returns if it failed.
fn turn_into(launch: &Launch) -> Result<(), String> {
    // The session waits for signals with them blocked, and a mask is inherited by exec.
    SigSet::all().thread_unblock().map_err(|cause| format!("cannot unblock signals: {cause}"))?;
    if let Some(cgroup) = &launch.cgroup {
        fs::write(cgroup.join("cgroup.procs"), "0")
            .map_err(|cause| format!("cannot enter {}: {cause}", cgroup.display()))?;
    }
    if let Some(limit) = launch.data_limit {
        limit_data(limit).map_err(|cause| format!("cannot limit memory to {limit} bytes: {cause}"))?;
    }
    if let Some(user) = launch.user {
        drop_to(user).map_err(|cause| format!("cannot become user {}: {cause}", user.uid))?;
    }
    // If the session is killed, its content goes too: nobody else knows it. After the drop, which clears this.
    set_pdeathsig(Signal::SIGKILL).map_err(|cause| format!("cannot tie the content to its session: {cause}"))?;
    std::env::set_current_dir(&launch.directory).map_err(|cause| {
        format!("cannot enter {}: {cause}; the content's user must be able to reach it", launch.directory.display())
    })?;
    let cause = Command::new(&launch.program)
        .args(&launch.arguments)
        .env_clear()
        .envs(&launch.variables)
        .stdin(Stdio::null())
        .exec();
    let who = launch.user.map_or_else(String::new, |user| format!(" as user {}", user.uid));
    Err(format!("cannot start {}{who}: {cause}", launch.program.display()))
}

fn limit_data(bytes: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    let bytes = bytes.min(hard);
    setrlimit(Resource::RLIMIT_DATA, bytes, bytes)
}

/// Groups first: afterwards there is no right to.
fn drop_to(user: ContentUser) -> nix::Result<()> {
    setgroups(&[])?;
    setgid(Gid::from_raw(user.gid))?;
    setuid(Uid::from_raw(user.uid))
}
