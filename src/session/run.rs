//! Keeps one content process running: copies the bundle, starts it, waits for its port, and for its end. How it is started is `start/`.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use super::error::SessionError;
use super::files;
use super::network::{self, reachable};
use super::protocol::{Exit, Phase, Run};
use super::reason;
use super::start::{self, Request, Role};
use super::state::now_ms;
use super::supervise::{Ended, Finish, Process, Signals, unobserved};
use super::variables;

/// How often a port that another program took in the meantime is replaced by another one.
const PORT_ATTEMPTS: u32 = 5;
/// The first pause between two looks at the port, and the longest.
const PROBE_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// How long one look may take; locally a port answers at once.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How one attempt ended.
enum Attempt {
    Over(Exit),
    /// Somebody else took the port first.
    PortTaken,
}

/// Does a [`Run`].
pub(super) fn run(context: &Arc<Context>, signals: &mut Signals, run: &Run) -> Result<Exit, SessionError> {
    let directory = copy_bundle(context, &run.bundle)?;
    for attempt in 1.. {
        let port = free_port(run.address, run.port)?;
        context.tell(|state| state.port = Some(port));
        match keep(context, signals, run, port, &directory)? {
            Attempt::Over(exit) => return Ok(exit),
            Attempt::PortTaken if run.port == 0 && attempt < PORT_ATTEMPTS => {
                context.log.say(&format!("port {port} was taken meanwhile: trying another"));
                context.tell(|state| (state.phase, state.ready_at) = (Phase::Starting, None));
            }
            Attempt::PortTaken => return Err(SessionError::PortInUse { address: run.address, port }),
        }
    }
    Err(SessionError::PortInUse { address: run.address, port: run.port })
}

/// The content's own copy of a bundle.
pub(super) fn copy_bundle(context: &Context, bundle: &Path) -> Result<PathBuf, SessionError> {
    let directory = context.directory.join("app");
    files::remove_tree(&directory)?;
    files::copy_tree(bundle, &directory)?;
    files::give_tree(&directory, context.user)?;
    Ok(directory)
}

/// One process, from its start to its end.
fn keep(
    context: &Arc<Context>,
    signals: &mut Signals,
    run: &Run,
    port: u16,
    directory: &Path,
) -> Result<Attempt, SessionError> {
    let process = begin(context, run, port, directory)?;
    let process = match await_port(context, signals, run, port, process) {
        Ok(process) => process,
        Err(attempt) => return Ok(attempt),
    };
    context.log.say(&format!("ready on port {port}"));
    context.tell(|state| (state.phase, state.ready_at) = (Phase::Ready, Some(now_ms())));
    let finish = process.run(context, signals, None);
    // What answered may have been the program that has the port, while ours was about to fail.
    if let Finish::Ended(Ended::Code(code)) = finish
        && code != 0
        && port_was_taken(context)
    {
        return Ok(Attempt::PortTaken);
    }
    Ok(Attempt::Over(finished(context, finish)))
}

fn begin(context: &Arc<Context>, run: &Run, port: u16, directory: &Path) -> Result<Process, SessionError> {
    let request = Request {
        appmode: &run.appmode,
        role: Role::Serve,
        entrypoint: &run.entrypoint,
        packages: &run.packages,
        address: run.address.to_string(),
        port,
        output: directory,
    };
    let start = start::start(context, &request)?;
    let variables = variables::for_content(context, &[&start.program], start.variables)?;
    let launch = context.launch(&start.program, start.arguments, variables, directory)?;
    Process::start(context, &launch, &unobserved())
}

/// The process, once its port accepts; otherwise it is over, and how.
fn await_port(
    context: &Context,
    signals: &mut Signals,
    run: &Run,
    port: u16,
    mut process: Process,
) -> Result<Process, Attempt> {
    let deadline = Instant::now() + Duration::from_secs(run.init_timeout_seconds);
    let target = SocketAddr::new(reachable(run.address), port);
    let mut pause = PROBE_PAUSE.0;
    loop {
        if let Some(ended) = process.wait(signals, pause) {
            process.run(context, signals, None);
            return Err(ended_early(context, ended, port));
        }
        if signals.stop_asked() {
            return Err(Attempt::Over(finished(context, process.stop(context, signals))));
        }
        if network::connect(&target, PROBE_TIMEOUT).is_ok() {
            return Ok(process);
        }
        if Instant::now() >= deadline {
            process.stop(context, signals);
            let seconds = run.init_timeout_seconds;
            let text = format!(
                "did not listen on port {port} within {seconds} s: check that it starts a server on the port it is given"
            );
            return Err(Attempt::Over(reason::failed(context, &text)));
        }
        pause = (pause * 2).min(PROBE_PAUSE.1);
    }
}

fn ended_early(context: &Context, ended: Ended, port: u16) -> Attempt {
    if ended != Ended::Code(0) && port_was_taken(context) {
        return Attempt::PortTaken;
    }
    Attempt::Over(reason::of_end(context, ended, &format!("before it listened on port {port}")))
}

fn finished(context: &Context, finish: Finish) -> Exit {
    match finish {
        Finish::Ended(ended) => reason::of_end(context, ended, ""),
        Finish::Stopped { killed, ended } => reason::of_stop(context, killed, ended),
        Finish::TimedOut => reason::timed_out(context),
    }
}

/// Whether the content's last words are that its port is in use; servers spell it differently.
fn port_was_taken(context: &Context) -> bool {
    let recent = context.log.recent();
    let mut last = recent.iter().rev().take(20).map(|line| line.to_ascii_lowercase());
    last.any(|line| {
        line.contains("address already in use")
            || line.contains("address in use")
            || line.contains("is already in use")
            || line.contains("port is not available")
    })
}

/// The port, or any for 0, that is free now. Looked at first, as whoever has it would seem to be our content.
fn free_port(address: IpAddr, port: u16) -> Result<u16, SessionError> {
    let failed = |cause: std::io::Error| match cause.kind() {
        ErrorKind::AddrInUse => SessionError::PortInUse { address, port },
        _ => SessionError::Listen { address, port, cause },
    };
    let listener = TcpListener::bind((address, port)).map_err(failed)?;
    Ok(listener.local_addr().map_err(failed)?.port())
}
