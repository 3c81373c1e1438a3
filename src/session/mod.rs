//! The program inside a job: it builds, runs or renders one item, or holds its port. It never decides what should run.
//!
//! An executor writes a job directory and starts `wharf session DIR`; from then on the two share only files, so that
//! the session outlives the daemon and can be found again by it. See [`protocol`].

mod build;
mod confine;
mod context;
mod error;
mod files;
mod forward;
mod launch;
mod leftovers;
mod log;
mod network;
pub mod protocol;
mod reason;
mod render;
mod run;
mod secrets;
mod start;
mod state;
mod supervise;
mod variables;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

pub use build::{COMPLETE_FILE, Complete, is_complete};
pub use error::SessionError;
pub use log::{LOG_FILE, OLD_LOG_FILE};
pub use state::{BACKENDS_FILE, JOB_FILE, STATE_FILE, boot_id, now_ms, start_ticks};

use nix::sys::stat::Mode;

use confine::Confined;
use context::{Context, StateCell};
use log::Log;
use protocol::{Confinement, Exit, Outcome, PROTOCOL, Phase, ProcessIdentity, SessionJob, SessionState, Work};
use secrets::Secrets;
use supervise::Signals;

/// What `wharf session PATH` and `wharf-session PATH` do: the job of a directory, from its start to its end.
///
/// Call it first thing in `main`: no other thread may run yet, as signals are blocked thread by thread. The path must be
/// the program's last argument; the session starts itself again with `-` there, and then this turns into the content.
pub fn main(path: &Path) -> ExitCode {
    if path == Path::new(launch::LAUNCH) {
        return launch::become_program();
    }
    match session(path) {
        Ok(Outcome::Succeeded | Outcome::Stopped) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the job of a directory. An error means that not even the state could be written.
fn session(directory: &Path) -> Result<Outcome, SessionError> {
    let directory = directory.canonicalize().map_err(|cause| SessionError::read(directory, cause))?;
    // Refused to the leader of a process group, who keeps its terminal; its hang-up is ignored, which is what matters.
    let _ = nix::unistd::setsid();
    // Whoever started this may be more careful; but packages are built for content that may be another user.
    nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    let mut signals = Signals::listen()?;
    nix::sys::prctl::set_child_subreaper(true).map_err(|cause| SessionError::system("adopt orphans", cause))?;
    let state = first_state(&directory)?;
    state.write(&directory)?;
    let exit = match prepare(&directory, state.clone()) {
        Ok(context) => {
            let context = Arc::new(context);
            let exit =
                work(&context, &mut signals).unwrap_or_else(|error| reason::failed(&context, &error.to_string()));
            context.confined.dissolve();
            context.log.say(&exit.reason);
            let outcome = exit.outcome;
            context.state.change(|state| end(state, exit))?;
            return Ok(outcome);
        }
        Err(error) => {
            Exit { code: None, signal: None, reason: error.to_string(), outcome: Outcome::Failed, tail: Vec::new() }
        }
    };
    let mut state = SessionState::read(&directory)?.unwrap_or(state);
    end(&mut state, exit);
    state.write(&directory)?;
    Ok(Outcome::Failed)
}

/// The state before the job was even read: an executor sees at once that somebody is there.
fn first_state(directory: &Path) -> Result<SessionState, SessionError> {
    let name = directory.file_name().unwrap_or_default();
    Ok(SessionState {
        protocol: PROTOCOL,
        job: name.to_string_lossy().into_owned(),
        identity: ProcessIdentity::current()?,
        child_pid: None,
        phase: Phase::Starting,
        progress: None,
        port: None,
        confinement: Confinement::None,
        started_at: now_ms(),
        ready_at: None,
        ended_at: None,
        exit: None,
    })
}

fn end(state: &mut SessionState, exit: Exit) {
    state.phase = Phase::Exited;
    state.progress = None;
    state.child_pid = None;
    state.ended_at = Some(now_ms());
    state.exit = Some(exit);
}

/// Reads the job and its secrets, opens the log, prepares the limits.
fn prepare(directory: &Path, state: SessionState) -> Result<Context, SessionError> {
    let job = SessionJob::read(directory)?;
    let mut secrets = Secrets::take(&job.secrets)?;
    if let Work::Build(build) = &job.work {
        let protocol::Install::Python(python) = &build.install;
        let indexes = python.index_url.iter().chain(&python.extra_index_urls).map(String::as_str);
        for url in indexes.chain(python.requirements.split_whitespace()) {
            if let Some(password) = secrets::url_password(url) {
                secrets.also_mask(password);
            }
        }
    }
    let log = Log::open(directory, secrets, job.echo_log)?;
    let user = job.user.filter(|_| nix::unistd::geteuid().is_root());
    let confined = match job.work {
        Work::Forward(_) => Confined::default(),
        _ => Confined::prepare(&job.job, job.limits),
    };
    let state = SessionState { job: job.job.clone(), confinement: confined.kind(), ..state };
    let state = StateCell::new(directory, state)?;
    let context = Context { directory: directory.to_owned(), job, log, state, user, confined };
    context.open_directory()?;
    introduce(&context);
    Ok(context)
}

/// The first lines of the log: what runs where, one fact a line.
fn introduce(context: &Context) {
    let job = &context.job;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let say = |name: &str, value: &str| context.log.say(&format!("{name}: {value}"));
    say("item", &job.item);
    say("job", &job.job);
    say("revision", job.revision.as_deref().unwrap_or("-"));
    say("environment", &job.environment);
    for (language, interpreter) in &job.interpreters {
        say("interpreter", &format!("{language} {}", interpreter.display()));
    }
    say("host", host.trim());
    say("user", &context.user.map_or_else(|| nix::unistd::geteuid().as_raw(), |user| user.uid).to_string());
}

fn work(context: &Arc<Context>, signals: &mut Signals) -> Result<Exit, SessionError> {
    match &context.job.work {
        Work::Build(build) => build::build(context, signals, build),
        Work::Run(run) => run::run(context, signals, run),
        Work::Render(render) => render::render(context, signals, render),
        Work::Forward(forward) => forward::forward(context, signals, forward),
    }
}
