//! `wharf run`: the daemon. It follows the repository until it is told to end; the loop itself is `reconcile`.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::progress::Progress;
use super::style::{ACCENT, QUIET, STRONG, WAITING, padded, paint};
use super::world::{self, World};
use super::{CliError, Context, Exit};
use crate::config::StateDirectory;
use crate::executor::local::Purpose;
use crate::plan::Options;
use crate::reconcile::{Consent, Ended, GitWakes, Reconciler};
use crate::serve::content::{self, Files};
use crate::source::Source;

/// Follow the repository: keep what runs here equal to its newest commit, until ended.
///
/// Ending it (Ctrl-C) ends no item: each is a process of its own, and the next start finds them again. `wharf down` ends
/// the items.
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    consent: ConsentFlags,
}

/// What is only done when it is meant.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ConsentFlags {
    /// Take over objects of the same name that somebody else made.
    #[arg(long)]
    pub adopt: bool,
    /// Follow another repository or directory than this instance did so far.
    #[arg(long)]
    pub adopt_source: bool,
    /// Accept a branch that was forced back to a commit that does not descend from the applied one.
    #[arg(long)]
    pub allow_rewind: bool,
}

impl ConsentFlags {
    /// As the reconciler takes it.
    pub const fn consent(self) -> Consent {
        Consent { rewinds: self.allow_rewind, source: self.adopt_source }
    }
}

impl Run {
    /// Runs until a signal or `wharf down`.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let config = &context.config;
        config.require_supported_pair()?;
        let source = config.source(None)?;
        let lock = StateDirectory::lock(&config.state_dir)?;
        let source = Source::open(source)?;
        let listener = TcpListener::bind(config.listen_content).await.map_err(|source| {
            let place = format!("{} (--listen-content)", config.listen_content);
            CliError::File { doing: "listen on", place, source }
        })?;
        let world = World::open(context, Purpose::Drive).await?;
        banner(context, &source, &world)?;
        let options = Options { adopt: self.consent.adopt, fire_schedules: true };
        let settings = world::settings(config, options, self.consent.consent(), "run");
        let commits = Arc::new(world::git(&source, config));
        let reconciler = Reconciler::new(world.rooms(commits, config), settings);
        let engine = Engine::start(context, &lock, reconciler, GitWakes::new(&source, config.interval))?;
        let serving = serve_files(listener, &world, engine.cancel.clone());
        let ended = follow(context, engine, &world).await;
        serving.abort();
        farewell(context, ended?)?;
        Ok(Exit::Good)
    }
}

fn serve_files(listener: TcpListener, world: &World, cancel: CancellationToken) -> tokio::task::JoinHandle<()> {
    let executor = Arc::clone(&world.executor);
    let find: content::Find = Arc::new(move |item| {
        executor.served(item).map(|served| Files { directory: served.directory, index: served.index })
    });
    tokio::spawn(async move {
        if let Err(error) = content::serve(listener, find, cancel).await {
            tracing::error!(%error, "static items and rendered documents are no longer served");
        }
    })
}

/// Tells what every pass changed, until the loop ends.
async fn follow(context: &Context, mut engine: Engine, world: &World) -> Result<Ended, CliError> {
    let mut progress = Progress::new(context.output, false);
    while engine.seen.changed().await.is_ok() {
        let seen = engine.seen.borrow_and_update().clone();
        if let Err(error) = progress.update(&seen, world).await {
            // Somebody closed the terminal or the pipe: the items are what matters, they go on.
            tracing::warn!(%error, "progress cannot be shown");
        }
    }
    engine.ended().await
}

fn banner(context: &Context, source: &Source, world: &World) -> Result<(), CliError> {
    if !context.output.is_text() {
        return Ok(());
    }
    let config = &context.config;
    let mut lines = vec![format!(
        "{} {}  follows {} ({}) on this host",
        paint(STRONG, "wharf"),
        env!("CARGO_PKG_VERSION"),
        paint(ACCENT, source.identity().to_string()),
        if config.working_tree { "uncommitted files".to_owned() } else { config.reference.to_string() },
    )];
    let mut fact = |name: &str, text: String| lines.push(format!("  {}{text}", padded(QUIET, name, 9)));
    fact("state", config.state_dir.display().to_string());
    fact("data", config.data_dir.display().to_string());
    fact("files", format!("http://{}  static items and rendered documents", config.listen_content));
    for warning in config.warnings.iter().chain(&world.warnings) {
        fact("warning", paint(WAITING, warning));
    }
    context.output.text(&format!("{}\n\n", lines.join("\n")))
}

fn farewell(context: &Context, ended: Ended) -> Result<(), CliError> {
    if !context.output.is_text() {
        return Ok(());
    }
    match ended {
        Ended::Down => context.output.text("\nended, with everything that ran here\n"),
        Ended::Cancelled => {
            let down = paint(ACCENT, "wharf down");
            context
                .output
                .text(&format!("\nended; the items go on running, and the next start finds them. {down} ends them\n"))
        }
    }
}
