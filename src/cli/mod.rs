//! The command line: one file a command, and the only room that prints. What commands do stands in the other rooms.

mod apply;
mod client;
mod commit;
mod compare;
mod completions;
mod control;
mod diagnostics;
mod diff;
mod engine;
mod environments;
mod error;
mod escape;
mod explain;
mod history;
mod init;
mod logs;
mod open;
mod output;
mod progress;
mod ps;
mod run;
mod schema;
mod state;
mod status;
mod style;
mod table;
mod validate;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use error::CliError;
pub use output::{Format, Items, Output, OutputFlags};

use crate::config::{Config, Settings};
use crate::telemetry::{self, LogFlags};

/// Keeps execution environments and content equal to a Git commit.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Start with `wharf init DIR`, or `wharf validate` in a config repository. `--help` shows every option."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: OutputFlags,
    #[command(flatten)]
    log: LogFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Validate(validate::Validate),
    Explain(explain::Explain),
    Diff(diff::Diff),
    Run(run::Run),
    Apply(apply::Apply),
    Ps(ps::Ps),
    Status(status::Status),
    Logs(logs::Logs),
    Open(open::Open),
    Environments(environments::Environments),
    History(history::History),
    Reconcile(control::Reconcile),
    Suspend(control::Suspend),
    Resume(control::Resume),
    Approve(control::Approve),
    Down(control::Down),
    Schema(schema::PrintSchema),
    Completions(completions::Completions),
    /// Does the job of a directory; executors start it.
    #[command(hide = true)]
    Session {
        /// The job's directory.
        directory: PathBuf,
    },
}

/// How a command that did its work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Exit code 0.
    Good,
    /// Exit code 1: it worked, and what it found is not good (or, for `diff`, not nothing).
    Found,
    /// Exit code 2: `diff` met something stalled.
    Stalled,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Found => 1,
            Exit::Stalled => 2,
        })
    }
}

/// What every command gets: the settings, and where to print.
#[derive(Debug)]
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Where to print.
    pub output: Output,
}

/// The whole program: reads the arguments, does what they say, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Nothing can be done about a terminal that is gone.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    // Before any thread is started: the session blocks signals for all of them.
    if let Command::Session { directory } = &cli.command {
        return crate::session::main(directory);
    }
    let error_code = cli.command.error_code();
    match cli.execute() {
        Ok(exit) => exit.into(),
        Err(error) => {
            error::report(&error);
            ExitCode::from(error_code.unwrap_or_else(|| error.exit_code()))
        }
    }
}

/// The command line as clap knows it, for completions and documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

impl Cli {
    fn execute(self) -> Result<Exit, CliError> {
        let output = Output::new(self.output);
        telemetry::start(&self.log).map_err(|error| CliError::Usage(error.to_string()))?;
        // One TLS provider for the process; a second call would only say that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match self.command {
            Command::Init(init) => return init.execute(output),
            Command::Schema(schema) => return schema.execute(output),
            Command::Completions(completions) => return completions.execute(output),
            Command::Session { directory } => {
                let _ = crate::session::main(&directory);
                return Ok(Exit::Good);
            }
            _ => {}
        }
        let config = Config::load(self.settings)?;
        let context = Context { config, output };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)?;
        let exit = runtime.block_on(self.command.run(&context));
        // A remote that says nothing holds a thread for up to 30 s; nobody waits for its answer any more.
        runtime.shutdown_background();
        exit
    }
}

impl Command {
    /// The exit code of every error, where it is the same for all: 1 already means something to `diff`.
    const fn error_code(&self) -> Option<u8> {
        match self {
            Self::Diff(_) => Some(2),
            _ => None,
        }
    }

    async fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self {
            Self::Validate(command) => command.execute(context).await,
            Self::Explain(command) => command.execute(context).await,
            Self::Diff(command) => command.execute(context).await,
            Self::Run(command) => command.execute(context).await,
            Self::Apply(command) => command.execute(context).await,
            Self::Ps(command) => command.execute(context).await,
            Self::Status(command) => command.execute(context).await,
            Self::Logs(command) => command.execute(context).await,
            Self::Open(command) => command.execute(context).await,
            Self::Environments(command) => command.execute(context).await,
            Self::History(command) => command.execute(context).await,
            Self::Reconcile(command) => command.execute(context).await,
            Self::Suspend(command) => command.execute(context).await,
            Self::Resume(command) => command.execute(context).await,
            Self::Approve(command) => command.execute(context).await,
            Self::Down(command) => command.execute(context).await,
            Self::Init(_) | Self::Schema(_) | Self::Completions(_) | Self::Session { .. } => Ok(Exit::Good),
        }
    }
}
