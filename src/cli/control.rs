//! `wharf reconcile`, `suspend`, `resume`, `approve` and `down`: asked of the wharf that runs here, or done directly under the lock.

use super::client::Client;
use super::style::{GOOD, paint};
use super::world::{self, World};
use super::{CliError, Context, Exit};
use crate::config::StateDirectory;
use crate::executor::local::Purpose;
use crate::model::ItemName;
use crate::plan::Options;
use crate::reconcile::{Answer, Consent, Reconciler, Request};

/// Look at the repository now, and try failed steps again.
#[derive(Debug, clap::Args)]
pub struct Reconcile {
    /// Only this item's failed steps.
    item: Option<ItemName>,
}

/// Leave an item alone, or everything, until `wharf resume`.
#[derive(Debug, clap::Args)]
pub struct Suspend {
    #[command(flatten)]
    what: What,
}

/// Take care of a suspended item again.
#[derive(Debug, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    what: What,
}

/// Let through what a budget holds back.
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The id that `wharf diff` and `wharf status` show.
    id: String,
}

/// End everything that this instance runs here; records stay, and the next apply starts it again.
#[derive(Debug, clap::Args)]
pub struct Down {}

/// One item, or everything.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The item.
    item: Option<ItemName>,
    /// Everything.
    #[arg(long)]
    all: bool,
}

impl Reconcile {
    /// Asks for it.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let acted = ask(context, Request::Reconcile { item: self.item }).await?;
        if !acted {
            context.output.aside("no wharf runs here: `wharf apply` or `wharf run` does what is due now");
        }
        Ok(Exit::Good)
    }
}

impl Suspend {
    /// Asks for it.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        ask(context, Request::Suspend { item: self.what.item }).await.map(|_| Exit::Good)
    }
}

impl Resume {
    /// Asks for it.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        ask(context, Request::Resume { item: self.what.item }).await.map(|_| Exit::Good)
    }
}

impl Approve {
    /// Asks for it.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        ask(context, Request::Approve { id: self.id }).await.map(|_| Exit::Good)
    }
}

impl Down {
    /// Asks for it.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        ask(context, Request::Down).await.map(|_| Exit::Good)
    }
}

/// Asks the wharf that holds the state directory, or does it here. Gives whether one was running.
async fn ask(context: &Context, request: Request) -> Result<bool, CliError> {
    context.config.require_supported_pair()?;
    if let Some(mut client) = Client::connect(&context.config.state_dir).await? {
        say(context, client.ask(&request).await?)?;
        return Ok(true);
    }
    let _lock = StateDirectory::lock(&context.config.state_dir)?;
    // Nothing is started here: `down` ends what runs, the others only write down what was asked.
    let world = World::open(context, Purpose::End).await?;
    let settings = world::settings(&context.config, Options::default(), Consent::default(), "command");
    let rooms = world.rooms(world::commits(&context.config), &context.config);
    say(context, Reconciler::new(rooms, settings).handle(request).await)?;
    Ok(false)
}

/// Prints an answer; a refusal is an error.
pub fn say(context: &Context, answer: Answer) -> Result<(), CliError> {
    match answer {
        Answer::Refused { message } => Err(CliError::Refused { message }),
        Answer::Done { message } if context.output.is_text() => {
            context.output.aside(&paint(GOOD, message));
            Ok(())
        }
        answer @ Answer::Done { .. } => context.output.line(&answer),
        Answer::Document { document } => context.output.document(&document),
    }
}
