//! `wharf status`: what is applied, what waits, what is stalled and why. A running wharf is asked; without one the records tell.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::client::Client;
use super::escape::plain;
use super::progress::summary;
use super::state::{self, Doing, ItemState};
use super::style::{ACCENT, BAD, GOOD, QUIET, STRONG, WAITING, padded, paint};
use super::world::World;
use super::{CliError, Context, Exit};
use crate::executor::Executor as _;
use crate::plan::{BackingOff, Blocked, InFlight, Stalled};
use crate::reconcile::{Answer, Request};

/// Show what is applied, what waits, what is stalled and why.
#[derive(Debug, clap::Args)]
pub struct Status {}

/// What `wharf status --output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Status", description = "What an instance has applied, and what is in its way.")]
pub struct StatusDocument {
    /// The version of this form: 1.
    pub version: u32,
    /// The instance's name.
    pub instance: String,
    /// Whether a wharf holds the state directory; without one, `newest` to `blocked` are null.
    pub running: bool,
    /// The repository it follows, without credentials.
    pub repository: Option<String>,
    /// The branch, tag or commit.
    pub reference: Option<String>,
    /// The commit in force.
    pub commit: Option<String>,
    /// The newest commit that was seen.
    pub newest: Option<String>,
    /// Why the repository could not be read the last time.
    pub source_error: Option<String>,
    /// Why the newest commit is not in force.
    pub refusal: Option<String>,
    /// How many errors the newest commit has.
    pub errors: Option<u64>,
    /// Whether everything is suspended.
    pub suspended: bool,
    /// Items, by name.
    pub items: Vec<ItemState>,
    /// What was started and is not at its end.
    #[schemars(with = "Option<Vec<InFlight>>")]
    pub in_flight: Option<Value>,
    /// What failed and is tried again.
    #[schemars(with = "Option<Vec<BackingOff>>")]
    pub backing_off: Option<Value>,
    /// What cannot get on without a person.
    #[schemars(with = "Option<Vec<Stalled>>")]
    pub stalled: Option<Value>,
    /// What a budget holds back.
    #[schemars(with = "Option<Vec<Blocked>>")]
    pub blocked: Option<Value>,
}

impl Status {
    /// Asks and prints.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let document = StatusDocument::ask(context).await?;
        if context.output.is_text() {
            context.output.text(&document.text())?;
        } else {
            context.output.document(&document)?;
        }
        Ok(Exit::Good)
    }
}

impl StatusDocument {
    async fn ask(context: &Context) -> Result<Self, CliError> {
        let world = World::observe(context).await?;
        let (registry, executor) = (world.registry.view().await?, world.executor.view().await?);
        let running = match Client::connect(&context.config.state_dir).await? {
            None => None,
            Some(mut client) => match client.ask(&Request::Status).await? {
                Answer::Document { document } => Some(document),
                Answer::Done { message } | Answer::Refused { message } => return Err(CliError::Refused { message }),
            },
        };
        let text = |name: &str| running.as_ref()?.get(name)?.as_str().map(str::to_owned);
        let plan = |name: &str| running.as_ref()?.get("plan")?.get(name).cloned();
        let memory = &registry.memory;
        Ok(Self {
            version: 1,
            instance: context.config.instance.to_string(),
            repository: memory.source.as_ref().map(|source| source.repository.clone()),
            reference: memory.source.as_ref().map(|source| source.reference.clone()),
            commit: text("commit").or_else(|| memory.commit.map(|commit| commit.to_string())),
            newest: text("newest"),
            source_error: text("source_error"),
            refusal: text("refusal"),
            errors: running.as_ref().and_then(|document| document.get("errors")?.as_u64()),
            suspended: memory.all_suspended,
            items: state::items(&registry, &executor),
            in_flight: plan("in_flight"),
            backing_off: plan("backing_off"),
            stalled: plan("stalled"),
            blocked: plan("blocked"),
            running: running.is_some(),
        })
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut fact = |name: &str, text: String| lines.push(format!("{}{text}", padded(QUIET, name, 12)));
        let running = if self.running {
            paint(GOOD, "running")
        } else {
            paint(WAITING, "no wharf is running for this state directory")
        };
        fact("instance", format!("{}  {running}", paint(STRONG, &self.instance)));
        if let Some(repository) = &self.repository {
            let reference = self.reference.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
            fact("repository", plain(&format!("{repository}{reference}")).into_owned());
        }
        let short = |commit: &String| commit.get(..10).unwrap_or(commit).to_owned();
        fact("commit", self.commit.as_ref().map_or_else(|| paint(WAITING, "none yet"), |it| paint(ACCENT, short(it))));
        if let Some(newest) = self.newest.as_ref().filter(|newest| Some(*newest) != self.commit.as_ref()) {
            fact("newest", paint(WAITING, format!("{}, not in force", short(newest))));
        }
        for problem in [&self.refusal, &self.source_error].into_iter().flatten() {
            fact("problem", paint(BAD, problem));
        }
        if self.errors.is_some_and(|errors| errors > 0) {
            fact("errors", paint(BAD, format!("{}; `wharf validate` shows them", self.errors.unwrap_or_default())));
        }
        if self.suspended {
            fact("suspended", paint(WAITING, "everything; `wharf resume --all` takes care of it again"));
        }
        fact("items", summary(&self.items));
        self.waiting(&mut fact);
        lines.push(String::new());
        lines.join("\n")
    }

    /// What cannot get on, and why.
    fn waiting(&self, fact: &mut impl FnMut(&str, String)) {
        for stalled in entries(self.stalled.as_ref()) {
            fact("stalled", format!("{}  {}", paint(STRONG, field(stalled, "name")), plain(field(stalled, "reason"))));
        }
        for waiting in entries(self.backing_off.as_ref()) {
            let reason = format!("{} failed: {}", field(waiting, "step"), field(waiting, "reason"));
            fact("retrying", format!("{}  {}", paint(STRONG, field(waiting, "item")), plain(&reason)));
        }
        // Nobody has a plan to tell this by, so the records do.
        let failed = |item: &&ItemState| matches!(item.state, Doing::Retrying | Doing::Failed);
        for item in self.items.iter().filter(failed).filter(|_| !self.running) {
            let reason = plain(item.detail.as_deref().unwrap_or_default());
            fact(item.state.word(), format!("{}  {reason}", paint(STRONG, &item.item)));
        }
        for blocked in entries(self.blocked.as_ref()) {
            let approve = paint(ACCENT, format!("wharf approve {}", field(blocked, "approval")));
            fact("held back", format!("{}; let it through with {approve}", plain(field(blocked, "reason"))));
        }
    }
}

fn entries(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
