//! `wharf apply`: one commit, until nothing is in flight. The loop is the daemon's; while a daemon runs, it is asked instead.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::control::say;
use super::engine::Engine;
use super::progress::{Progress, summary};
use super::run::ConsentFlags;
use super::state::ItemState;
use super::style::{BAD, QUIET, STRONG, paint};
use super::world::{self, World};
use super::{CliError, Context, Exit, Items, state};
use crate::config::StateDirectory;
use crate::executor::local::Purpose;
use crate::model::{ItemName, Seconds};
use crate::plan::{Options, Plan};
use crate::reconcile::{Answer, Reconciler, Request, Seen, Wakes};
use crate::source::Source;

/// How often a running wharf is asked how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Make what runs here equal to the commit, once, and wait until everything is up.
///
/// What it starts goes on running; `wharf run` takes care of it. Exit code: 0 when everything is as the commit says, 1 if
/// an item failed or the time is over.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// How long to wait for items to come up.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: Seconds,
    /// Do not wait for items to come up.
    #[arg(long)]
    no_wait: bool,
    /// Choose the environment of an item afresh, whatever it was given before.
    #[arg(long, value_name = "ITEM")]
    reselect: Vec<ItemName>,
    #[command(flatten)]
    consent: ConsentFlags,
}

/// Nothing wakes a single apply but its own jobs.
struct Never;

#[async_trait]
impl Wakes for Never {
    async fn woken(&self, _: u32) {
        std::future::pending::<()>().await;
    }
}

impl Apply {
    /// Applies here, or through the wharf that runs here.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        context.config.require_supported_pair()?;
        match Client::connect(&context.config.state_dir).await? {
            Some(client) => self.through(client, context).await,
            None => self.here(context).await,
        }
    }

    async fn here(&self, context: &Context) -> Result<Exit, CliError> {
        let config = &context.config;
        let source = config.source(None)?;
        let lock = StateDirectory::lock(&config.state_dir)?;
        let source = Source::open(source)?;
        let world = World::open(context, Purpose::Drive).await?;
        for warning in config.warnings.iter().chain(&world.warnings) {
            tracing::warn!("{warning}");
        }
        let options = Options { adopt: self.consent.adopt, fire_schedules: false };
        let settings = world::settings(config, options, self.consent.consent(), &actor());
        let commits = Arc::new(world::git(&source, config));
        let mut reconciler = Reconciler::new(world.rooms(commits, config), settings);
        if !self.reselect.is_empty() {
            say(context, reconciler.handle(Request::Reselect { items: self.reselect.clone() }).await)?;
        }
        let mut engine = Engine::start(context, &lock, reconciler, Never)?;
        let deadline = Instant::now() + Duration::from_secs(self.timeout.0);
        let mut progress = Progress::new(context.output, true);
        let last = tokio::time::timeout_at(deadline, self.follow(&mut engine, &mut progress, &world)).await;
        progress.finish();
        engine.cancel.cancel();
        let seen = engine.seen.borrow().clone();
        engine.ended().await?;
        let in_time = last.is_ok();
        let states = match last {
            Ok(states) => states?,
            Err(_) => state::items(&*registry(&world).await?, &*executor(&world).await?),
        };
        self.finish(context, &seen, &world, &states, in_time).await
    }

    /// Waits until nothing is in flight.
    async fn follow(
        &self,
        engine: &mut Engine,
        progress: &mut Progress,
        world: &World,
    ) -> Result<Vec<ItemState>, CliError> {
        let mut states = Vec::new();
        while engine.seen.changed().await.is_ok() {
            let seen = engine.seen.borrow_and_update().clone();
            states = progress.update(&seen, world).await?;
            if let Some(reason) = &seen.error {
                return Err(CliError::Pass { reason: reason.clone() });
            }
            if let Some(reason) = seen.status.refusal.as_ref().or(seen.status.source_error.as_ref()) {
                return Err(CliError::NotInForce { reason: reason.clone() });
            }
            if self.is_done(&seen) {
                break;
            }
        }
        Ok(states)
    }

    fn is_done(&self, seen: &Seen) -> bool {
        seen.pass.as_ref().is_some_and(|pass| {
            let due = pass.plan.changes().any(|operation| operation.due);
            !pass.applied.progressed && (self.no_wait || (pass.plan.in_flight.is_empty() && !due))
        })
    }

    async fn finish(
        &self,
        context: &Context,
        seen: &Seen,
        world: &World,
        states: &[ItemState],
        in_time: bool,
    ) -> Result<Exit, CliError> {
        let plan = seen.pass.as_ref().map(|pass| Arc::clone(&pass.plan));
        let failed = plan.as_ref().is_some_and(|plan| !plan.stalled.is_empty() || !plan.backing_off.is_empty());
        if context.output.is_text() {
            if let Some(plan) = &plan {
                context.output.text(&tails(plan, world).await?)?;
            }
            if !in_time {
                let over = format!(
                    "the time is over ({}); what was started goes on, and `wharf run` takes care of it",
                    self.timeout
                );
                context.output.text(&format!("{}\n", paint(BAD, over)))?;
            }
            context.output.text(&format!("{}\n", summary(states)))?;
        } else if context.output.format() == super::Format::Json {
            context.output.document(&Items { items: states.to_vec() })?;
        }
        Ok(if failed || !in_time { Exit::Found } else { Exit::Good })
    }

    /// Asks the wharf that holds the state directory, and waits until it is done.
    async fn through(&self, mut client: Client, context: &Context) -> Result<Exit, CliError> {
        if self.consent.adopt || self.consent.adopt_source || self.consent.allow_rewind {
            let problem = "--adopt, --adopt-source and --allow-rewind are given to the wharf that applies: end the one that \
                           runs here, and start it once with the flag";
            return Err(CliError::Usage(problem.to_owned()));
        }
        if !self.reselect.is_empty() {
            say(context, client.ask(&Request::Reselect { items: self.reselect.clone() }).await?)?;
        }
        let before = planned(&mut client).await?.0;
        say(context, client.ask(&Request::Reconcile { item: None }).await?)?;
        let deadline = Instant::now() + Duration::from_secs(self.timeout.0);
        loop {
            let (planned, document) = planned(&mut client).await?;
            let list =
                |name: &str| document.pointer(&format!("/plan/{name}")).and_then(Value::as_array).map_or(0, Vec::len);
            if let Some(reason) = ["refusal", "source_error"].iter().find_map(|name| document.get(name)?.as_str()) {
                return Err(CliError::NotInForce { reason: reason.to_owned() });
            }
            let fresh = planned.is_some() && planned != before;
            let due = document.pointer("/plan/operations").and_then(Value::as_array).is_some_and(|operations| {
                operations.iter().any(|it| {
                    it.get("due") == Some(&Value::Bool(true)) && it.get("housekeeping") != Some(&Value::Bool(true))
                })
            });
            if fresh && (self.no_wait || (!due && list("in_flight") == 0)) {
                let failed = list("stalled") + list("backing_off");
                return Ok(if failed == 0 { Exit::Good } else { Exit::Found });
            }
            if Instant::now() >= deadline {
                return Ok(Exit::Found);
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

async fn registry(world: &World) -> Result<Arc<crate::plan::RegistryView>, CliError> {
    Ok(world.registry.view().await?)
}

async fn executor(world: &World) -> Result<Arc<crate::plan::ExecutorView>, CliError> {
    use crate::executor::Executor as _;
    Ok(world.executor.view().await?)
}

/// When the running wharf made its newest plan, and everything it says about itself.
async fn planned(client: &mut Client) -> Result<(Option<String>, Value), CliError> {
    match client.ask(&Request::Status).await? {
        Answer::Document { document } => {
            Ok((document.get("planned").and_then(Value::as_str).map(str::to_owned), document))
        }
        Answer::Done { message } | Answer::Refused { message } => Err(CliError::Refused { message }),
    }
}

/// The last lines of the log of everything that failed.
async fn tails(plan: &Plan, world: &World) -> Result<String, CliError> {
    let view = registry(world).await?;
    let mut text = String::new();
    let mut tell = |name: &str, reason: &str, tail: &[String]| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{} {}: {}", paint(BAD, "failed"), paint(STRONG, name), super::escape::plain(reason));
        for line in tail {
            let _ = writeln!(text, "    {}", paint(QUIET, line));
        }
    };
    for stalled in &plan.stalled {
        tell(&stalled.name, &stalled.reason, &stalled.tail);
    }
    for waiting in &plan.backing_off {
        let form = view.contents.get(&waiting.item).map(|record| &record.form);
        let outcome = form.and_then(|form| state::failure(form, &view.memory.outcomes));
        tell(waiting.item.as_str(), &waiting.reason, outcome.map_or(&[], |outcome| &outcome.tail));
    }
    Ok(text)
}

/// Who is written into the history.
fn actor() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    format!("apply by {}", user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name))
}
