//! Makes a package environment: once, whoever asks, and never seen half-made. What is installed, and how, is each language's own file.

mod lease;
mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::error::SessionError;
use super::files;
use super::protocol::{Build, Exit, Install, PROTOCOL, Phase};
use super::reason;
use super::state::{now_ms, read_json, sync_directory, write_json};
use super::supervise::{Finish, Signals};

use lease::{Claim, Lease, Watch};

/// The file that makes a package environment usable; written last.
pub const COMPLETE_FILE: &str = "complete.json";
/// How often a build looks whether the other build of the same environment is done.
const LEASE_LOOK: Duration = Duration::from_millis(250);

/// `complete.json`: that a package environment is whole, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// The session protocol it was built under.
    pub protocol: u32,
    /// The job that built it.
    pub job: String,
    /// The interpreter it was built with.
    pub interpreter: PathBuf,
    /// When it was complete, in milliseconds since 1970.
    pub completed_at: u64,
    /// The packages in it, `name version`, sorted.
    pub packages: Vec<String>,
}

impl Complete {
    /// Reads the mark of a package environment; `None` if it is not there or not whole.
    pub fn read(environment: &Path) -> Result<Option<Self>, SessionError> {
        read_json(&environment.join(COMPLETE_FILE))
    }
}

/// Whether a package environment is whole.
pub fn is_complete(environment: &Path) -> bool {
    environment.join(COMPLETE_FILE).is_file()
}

/// A step of a build that did not succeed; boxed because it carries the log's end.
type Failed = Box<Exit>;

/// Does a [`Build`].
pub(super) fn build(context: &Arc<Context>, signals: &mut Signals, build: &Build) -> Result<Exit, SessionError> {
    let done = |context: &Context, what: &str| Ok(reason::succeeded(context, what));
    let parent = build.path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|cause| SessionError::write(parent, cause))?;
    let mut watch = Watch::default();
    let lease = loop {
        if is_complete(&build.path) {
            return done(context, "the packages were installed already");
        }
        match Lease::claim(&build.path, &context.job.job, &mut watch)? {
            Claim::Taken(lease) => break lease,
            Claim::Held(owner) => {
                let text = format!("waiting for {owner}, which installs the same packages");
                context.tell(|state| state.progress = Some(text));
            }
        }
        if signals.wait(LEASE_LOOK) {
            return Ok(reason::stopped(context, "it was asked to stop while it waited for another build", None));
        }
    };
    // The other build may have finished between the look and the claim.
    if is_complete(&build.path) {
        return done(context, "the packages were installed already");
    }
    let outcome = install(context, signals, build, &lease);
    lease.release();
    match outcome? {
        Ok(count) => done(context, &format!("installed {count} packages")),
        Err(exit) => Ok(*exit),
    }
}

/// The build proper, under the lease.
fn install(
    context: &Arc<Context>,
    signals: &mut Signals,
    build: &Build,
    lease: &Lease,
) -> Result<Result<usize, Failed>, SessionError> {
    files::remove_tree(&build.path)?;
    for path in [&build.path, &build.cache_dir] {
        fs::create_dir_all(path).map_err(|cause| SessionError::write(path, cause))?;
        files::give(path, context.user)?;
    }
    let (interpreter, packages) = match &build.install {
        Install::Python(python) => match python::install(context, signals, build, python)? {
            Ok(installed) => installed,
            Err(exit) => return Ok(Err(exit)),
        },
    };
    if !lease.is_ours() {
        let text = "another build took this environment over, because this one seemed dead for a minute; it will be tried again";
        return Ok(Err(Box::new(reason::failed(context, text))));
    }
    // Content of the same user must not change what other items use.
    if context.user.is_some() {
        let uid = nix::unistd::getuid().as_raw();
        let gid = nix::unistd::getgid().as_raw();
        files::give_tree(&build.path, Some(super::protocol::ContentUser { uid, gid }))?;
    }
    let count = packages.len();
    let complete =
        Complete { protocol: PROTOCOL, job: context.job.job.clone(), interpreter, completed_at: now_ms(), packages };
    let path = build.path.join(COMPLETE_FILE);
    write_json(&path, &complete)?;
    // Runs read it as the content's user.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&path, readable).map_err(|cause| SessionError::write(&path, cause))?;
    sync_directory(&build.path)?;
    context.tell(|state| state.phase = Phase::Installing);
    Ok(Ok(count))
}

/// What a failed or stopped step means for the build.
fn step(context: &Context, finish: Finish, explain: impl FnOnce(&[String]) -> Option<String>) -> Result<(), Failed> {
    match reason::of_step(context, finish, explain) {
        None => Ok(()),
        Some(exit) => Err(Box::new(exit)),
    }
}
