//! Starts one content process and waits for it: its output into the log, its signals, its end, and that nothing of it stays. Why it ended is `reason.rs`.
//!
//! Signals are blocked in every thread and fetched by one that waits for them, which needs no handler; the masks are
//! lifted again by `launch.rs`. One thread each reads the two pipes.

use std::fs;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::context::Context;
use super::error::SessionError;
use super::launch::Launch;
use super::log::Voice;
use super::protocol::Phase;

/// How often a deadline is looked at while nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// How long killed processes may take to disappear; the kernel needs milliseconds.
const REAP_DEADLINE: Duration = Duration::from_secs(5);

/// What the signal thread saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Stop,
    Child,
}

/// The signals of this process.
#[derive(Debug)]
pub(super) struct Signals {
    heard: Receiver<Heard>,
    stop: bool,
}

impl Signals {
    /// Blocks the signals and begins to listen. Must run before any other thread is started.
    pub fn listen() -> Result<Self, SessionError> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block().map_err(|cause| SessionError::system("block signals", cause))?;
        let (sender, heard) = mpsc::channel();
        std::thread::spawn(move || {
            while let Ok(signal) = set.wait() {
                let event = match signal {
                    Signal::SIGCHLD => Heard::Child,
                    // A terminal that closes is no reason to end: the session outlives who started it.
                    Signal::SIGHUP => continue,
                    _ => Heard::Stop,
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self { heard, stop: false })
    }

    /// Waits until something was heard or the time is over; true once the session was asked to stop.
    pub fn wait(&mut self, time: Duration) -> bool {
        match self.heard.recv_timeout(time) {
            Ok(Heard::Stop) => self.stop = true,
            Ok(Heard::Child) | Err(RecvTimeoutError::Timeout) => {}
            // The thread only ends with the process; still, do not spin.
            Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(time),
        }
        self.stop
    }

    /// Whether the session was asked to stop.
    pub fn stop_asked(&mut self) -> bool {
        self.wait(Duration::ZERO)
    }
}

/// How a content process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
}

/// What [`Process::run`] was ended by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The process ended.
    Ended(Ended),
    /// The session was asked to stop; whether the process had to be killed.
    Stopped {
        /// It did not end within the grace.
        killed: bool,
        /// How the process ended.
        ended: Ended,
    },
    /// The deadline passed, and the process was ended.
    TimedOut,
}

/// Looks at each line of the content's output.
pub(super) type Observer = Arc<dyn Fn(&Context, &str) + Send + Sync>;

/// Lines go into the log and nowhere else.
pub(super) fn unobserved() -> Observer {
    Arc::new(|_, _| {})
}

/// A running content process.
pub(super) struct Process {
    pid: Pid,
    ended: Option<Ended>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it; `observe` is called for each line it prints.
    pub fn start(context: &Arc<Context>, launch: &Launch, observe: &Observer) -> Result<Self, SessionError> {
        context.log.forget();
        let mut child: Child = launch.spawn()?;
        let raw = i32::try_from(child.id()).unwrap_or(i32::MAX);
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(reader(context, Voice::Out, stream, observe));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(reader(context, Voice::Err, stream, observe));
        }
        context.tell(|state| state.child_pid = Some(raw));
        Ok(Self { pid: Pid::from_raw(raw), ended: None, readers })
    }

    /// Waits a little; how it ended, if it did. Also buries what others left to this session.
    pub fn wait(&mut self, signals: &mut Signals, time: Duration) -> Option<Ended> {
        if self.ended.is_none() && !self.reap() {
            signals.wait(time);
            self.reap();
        }
        self.ended
    }

    /// Whether the process ended.
    fn reap(&mut self) -> bool {
        while let Some((pid, ended)) = next_dead() {
            if pid == self.pid {
                self.ended = Some(ended);
            }
        }
        self.ended.is_some()
    }

    /// Waits for the end, the deadline, or the request to stop. Afterwards nothing of it runs any more.
    pub fn run(mut self, context: &Context, signals: &mut Signals, deadline: Option<Instant>) -> Finish {
        loop {
            if let Some(ended) = self.wait(signals, TICK) {
                self.clear(context);
                return Finish::Ended(ended);
            }
            if signals.stop_asked() {
                return self.stop(context, signals);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.stop(context, signals);
                return Finish::TimedOut;
            }
        }
    }

    /// Asks the process group to end, and kills it when the grace is over.
    pub fn stop(mut self, context: &Context, signals: &mut Signals) -> Finish {
        context.tell(|state| state.phase = Phase::Stopping);
        let _ = killpg(self.pid, Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(context.job.stop_grace_seconds);
        let mut killed = false;
        let ended = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(ended) = self.wait(signals, left.min(TICK)) {
                break ended;
            }
            if left.is_zero() && !killed {
                killed = true;
                let _ = killpg(self.pid, Signal::SIGKILL);
            }
        };
        self.clear(context);
        Finish::Stopped { killed, ended }
    }

    /// Kills what is left of the process group and of its orphans, and reads the rest of the output.
    fn clear(&mut self, context: &Context) {
        let _ = killpg(self.pid, Signal::SIGKILL);
        end_orphans();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        context.tell(|state| state.child_pid = None);
    }
}

fn reader(
    context: &Arc<Context>,
    voice: Voice,
    stream: impl std::io::Read + Send + 'static,
    observe: &Observer,
) -> JoinHandle<()> {
    let (context, observe) = (Arc::clone(context), Arc::clone(observe));
    std::thread::spawn(move || context.log.copy(voice, stream, &|line| observe(&context, line)))
}

/// The next child that is dead but not buried.
fn next_dead() -> Option<(Pid, Ended)> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => return Some((pid, Ended::Code(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => return Some((pid, Ended::Signal(signal))),
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Kills the processes that content left behind outside of its group. As a subreaper the session is their parent.
fn end_orphans() {
    let deadline = Instant::now() + REAP_DEADLINE;
    while Instant::now() < deadline {
        let children = children();
        if children.is_empty() {
            return;
        }
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
        }
        if waitpid(None, None) == Err(Errno::ECHILD) {
            return;
        }
    }
}

/// The children of this process, dead ones too.
fn children() -> Vec<Pid> {
    let me = getpid().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(me)).map(Pid::from_raw).collect()
}

/// The parent of a process: the second field after the program's name in proc(5) `stat`.
fn parent(pid: i32) -> Option<i32> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace().nth(1)?.parse().ok()
}
