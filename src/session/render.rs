//! Renders a document once: into a directory of the job, and from there, whole, to where it is served from. How it is rendered is `start/`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use super::error::SessionError;
use super::files;
use super::protocol::{Exit, Phase, Render};
use super::reason;
use super::run::copy_bundle;
use super::start::{self, Request, Role};
use super::state::sync_directory;
use super::supervise::{Process, Signals, unobserved};
use super::variables;

/// Does a [`Render`].
pub(super) fn render(context: &Arc<Context>, signals: &mut Signals, render: &Render) -> Result<Exit, SessionError> {
    if render.output.exists() {
        // It came there whole; the session that rendered it was killed before it could say so.
        return Ok(reason::succeeded(context, "had been rendered already"));
    }
    let directory = copy_bundle(context, &render.bundle)?;
    let output = context.directory.join("output");
    files::remove_tree(&output)?;
    let output = context.scratch("output")?;
    let request = Request {
        appmode: &render.appmode,
        role: Role::Render,
        entrypoint: &render.entrypoint,
        packages: &render.packages,
        address: String::new(),
        port: 0,
        output: &output,
    };
    let start = start::start(context, &request)?;
    let variables = variables::for_content(context, &[&start.program], start.variables)?;
    let launch = context.launch(&start.program, start.arguments, variables, &directory)?;
    context.tell(|state| state.phase = Phase::Running);
    let deadline = render.timeout_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let finish = Process::start(context, &launch, &unobserved())?.run(context, signals, deadline);
    if let Some(exit) = reason::of_step(context, finish, |_| None) {
        return Ok(exit);
    }
    // Not followed: what is served must be the result itself.
    if !fs::symlink_metadata(output.join("index.html")).is_ok_and(|about| about.is_file()) {
        return Ok(reason::failed(context, "ended well but left no index.html: nothing was rendered"));
    }
    publish(&output, &render.output)?;
    Ok(reason::succeeded(context, "rendered"))
}

/// Copies the result beside its place and renames it there: the job's directory may be on another file system. Links
/// are not taken along; what is served must not lead out of the result.
fn publish(from: &Path, to: &Path) -> Result<(), SessionError> {
    let parent = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|cause| SessionError::write(parent, cause))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(format!(".{}", nix::unistd::getpid()));
    let temporary = parent.join(name);
    files::remove_tree(&temporary)?;
    files::copy_without_links(from, &temporary)?;
    fs::rename(&temporary, to).map_err(|cause| SessionError::write(to, cause))?;
    sync_directory(parent)
}
