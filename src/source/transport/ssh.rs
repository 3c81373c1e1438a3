//! Git's smart protocol over the `ssh` program, so that keys, agents, aliases and certificates are those of the user's ssh.
//!
//! It may ask nothing (there is nobody to answer), believes only host keys it was given, and is ended when it says nothing.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::advertisement::Advertisement;
use super::{Attempt, Endpoint, RemoteOptions, TransportError, lock, printable};
use crate::source::url::SshUrl;

/// How much of what `ssh` complains is kept, in bytes.
const LONGEST_COMPLAINT: u64 = 16 * 1024;

/// One connection of libgit2, which is one process.
pub(super) struct SshService {
    endpoint: Arc<Endpoint>,
    url: SshUrl,
}

impl SshService {
    pub(super) const fn new(endpoint: Arc<Endpoint>, url: SshUrl) -> Self {
        Self { endpoint, url }
    }
}

impl SmartSubtransport for SshService {
    fn action(&self, _url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        if action != Service::UploadPackLs {
            return Err(git2::Error::from_str("Wharf never pushes"));
        }
        let conversation = Conversation::start(Arc::clone(&self.endpoint), &self.url);
        match conversation {
            Ok(conversation) => Ok(Box::new(SshStream(Advertisement::new(conversation, 1)))),
            Err(error) => Err(self.endpoint.refuse(TransportError::Ssh(error))),
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// The command line. Everything from the address stands behind `--`, and the other side's shell sees the path quoted.
fn command(url: &SshUrl, options: &RemoteOptions) -> Command {
    let mut command = Command::new("ssh");
    command.args(["-T", "-x", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
    command.args(["-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no"]);
    if let Some(file) = &options.known_hosts {
        let mut setting = std::ffi::OsString::from("UserKnownHostsFile=\"");
        setting.push(file);
        setting.push("\"");
        command.arg("-o").arg(setting).args(["-o", "GlobalKnownHostsFile=/dev/null"]);
    }
    if let Some(key) = &options.ssh_key {
        command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(key);
    }
    if let Some(port) = url.port {
        command.args(["-p", &port.to_string()]);
    }
    let host = url.user.as_ref().map_or_else(|| url.host.clone(), |user| format!("{user}@{}", url.host));
    command.args(["--", &host]).arg(format!("git-upload-pack {}", quoted(&url.path)));
    // What it complains is compared with known texts.
    command.env("LC_ALL", "C").env_remove("SSH_ASKPASS").env_remove("DISPLAY");
    command
}

/// A path as one word for the shell on the other side, as Git quotes it.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

/// A running `ssh`.
struct Conversation {
    endpoint: Arc<Endpoint>,
    child: Child,
    group: Pid,
    to: Option<ChildStdin>,
    from: Option<ChildStdout>,
    complaint: Option<std::thread::JoinHandle<Vec<u8>>>,
    watchdog: Watchdog,
}

impl Conversation {
    fn start(endpoint: Arc<Endpoint>, url: &SshUrl) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let mut child = command(url, &endpoint.options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group, so that a proxy command that it starts ends with it.
            .process_group(0)
            .spawn()?;
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let complaint = child.stderr.take().map(|stderr| std::thread::spawn(move || keep_start(stderr)));
        let watchdog = Watchdog::start(runtime, group, endpoint.options.silence, endpoint.attempt());
        Ok(Self { to: child.stdin.take(), from: child.stdout.take(), endpoint, child, group, complaint, watchdog })
    }

    /// The process ended, or was ended, before the conversation was over: says why.
    fn broken(&mut self) -> io::Error {
        drop(self.to.take());
        // Ends when the process and all its children closed their error output; the watchdog still guards this.
        let waiting = self.watchdog.waiting();
        let complaint = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        drop(waiting);
        let options = &self.endpoint.options;
        let failure = match self.watchdog.stop() {
            Some(Overdue::Silence) => TransportError::Silent { after: options.silence },
            Some(Overdue::Deadline) => TransportError::TooSlow { after: options.deadline },
            Some(Overdue::Cancelled) => TransportError::Cancelled,
            None => understand(&String::from_utf8_lossy(&complaint)),
        };
        self.endpoint.fail(failure)
    }
}

impl Read for Conversation {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(from) = self.from.as_mut() else { return Ok(0) };
        let waiting = self.watchdog.waiting();
        let count = from.read(buffer);
        drop(waiting);
        match count {
            Ok(count) if count > 0 || buffer.is_empty() => self.endpoint.count(count),
            // libgit2 stops reading when the protocol says so; the end of the stream is always too early.
            _ => Err(self.broken()),
        }
    }
}

impl Write for Conversation {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(to) = self.to.as_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let waiting = self.watchdog.waiting();
        let count = to.write(bytes);
        drop(waiting);
        count.map_err(|_| self.broken())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        drop(self.to.take());
        self.watchdog.stop();
        // The group is still ours: its leader has not been waited for.
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A conversation whose first part is the list of refs.
struct SshStream(Advertisement<Conversation>);

impl Read for SshStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for SshStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.inner_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.inner_mut().flush()
    }
}

/// Keeps the start of a stream and reads the rest away, so that its writer is never blocked.
fn keep_start(mut stream: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = (&mut stream).take(LONGEST_COMPLAINT).read_to_end(&mut kept);
    let _ = io::copy(&mut stream, &mut io::sink());
    kept
}

/// What `ssh`, or the program on the other side, complained about.
fn understand(complaint: &str) -> TransportError {
    let problem = printable(complaint);
    let says = |texts: &[&str]| texts.iter().any(|text| complaint.contains(text));
    if says(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
        TransportError::HostKey { problem }
    } else if says(&["Permission denied", "Too many authentication failures", "UNPROTECTED PRIVATE KEY"]) {
        TransportError::Denied { problem, hint: "check --ssh-key and what this key may read" }
    } else if says(&["not appear to be a git repository", "epository not found", "not found", "does not exist"]) {
        TransportError::NoRepository { problem }
    } else if problem.is_empty() {
        TransportError::Unreachable { problem: "ssh ended without a word".to_owned() }
    } else {
        TransportError::Unreachable { problem }
    }
}

/// Why a process was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    Silence,
    Deadline,
    Cancelled,
}

/// Ends a process group that keeps us waiting, or that nobody waits for.
struct Watchdog {
    runtime: Handle,
    /// Since when a read or write has been waiting. Time that libgit2 spends on its own does not count as silence.
    since: Arc<Mutex<Option<Instant>>>,
    stop: CancellationToken,
    task: Option<JoinHandle<Option<Overdue>>>,
}

/// While this lives, we are waiting.
struct Waiting(Arc<Mutex<Option<Instant>>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}

impl Watchdog {
    fn start(runtime: Handle, group: Pid, silence: Duration, attempt: Attempt) -> Self {
        let (since, stop) = (Arc::new(Mutex::new(None)), CancellationToken::new());
        let task = runtime.spawn(watch(group, silence, attempt, Arc::clone(&since), stop.clone()));
        Self { runtime, since, stop, task: Some(task) }
    }

    fn waiting(&self) -> Waiting {
        *lock(&self.since) = Some(Instant::now());
        Waiting(Arc::clone(&self.since))
    }

    /// Ends the watch; says whether it had to end the process.
    fn stop(&mut self) -> Option<Overdue> {
        self.stop.cancel();
        let task = self.task.take()?;
        self.runtime.block_on(task).ok().flatten()
    }
}

async fn watch(
    group: Pid,
    silence: Duration,
    attempt: Attempt,
    since: Arc<Mutex<Option<Instant>>>,
    stop: CancellationToken,
) -> Option<Overdue> {
    let overdue = loop {
        let now = Instant::now();
        let silent_at = lock(&since).unwrap_or(now) + silence;
        if now >= attempt.until {
            break Overdue::Deadline;
        }
        if now >= silent_at {
            break Overdue::Silence;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            () = attempt.cancelled.cancelled() => break Overdue::Cancelled,
            () = tokio::time::sleep_until(silent_at.min(attempt.until).into()) => {}
        }
    };
    // Until this task is over its process has not been waited for, so the number is still its own.
    let _ = killpg(group, Signal::SIGKILL);
    Some(overdue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_address_is_read_as_an_option_or_a_second_command() {
        let url = SshUrl {
            user: Some("git".into()),
            host: "git.example".into(),
            port: Some(2222),
            path: "/srv/it's $(id)".into(),
        };
        let options = RemoteOptions {
            known_hosts: Some("/etc/wharf/known hosts".into()),
            ssh_key: Some("/etc/wharf/key".into()),
            ..RemoteOptions::default()
        };
        let command = command(&url, &options);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let end = arguments.iter().position(|argument| argument == "--").unwrap();
        assert_eq!(arguments[end + 1..], ["git@git.example", r"git-upload-pack '/srv/it'\''s $(id)'"]);
        for expected in ["BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=\"/etc/wharf/known hosts\""]
        {
            assert!(arguments[..end].iter().any(|argument| argument == expected), "{expected} in {arguments:?}");
        }
    }

    #[test]
    fn complaints_become_kinds_without_control_characters() {
        let hostile = "\u{1b}[2Jgit@h: Permission denied (publickey).\r\n";
        let TransportError::Denied { problem, .. } = understand(hostile) else { panic!("not denied") };
        assert_eq!(problem, "[2Jgit@h: Permission denied (publickey).");
        assert!(matches!(understand("Host key verification failed."), TransportError::HostKey { .. }));
        assert!(matches!(understand("ERROR: Repository not found."), TransportError::NoRepository { .. }));
        assert!(matches!(understand(""), TransportError::Unreachable { .. }));
    }
}
