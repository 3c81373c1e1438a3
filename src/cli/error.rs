//! Every way a command can fail, how it is told, and which exit code it gives. Each room words its own errors.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use super::escape::plain;
use super::style::{ACCENT, BAD, paint};
use crate::config::{ConfigError, StateDirectoryError};
use crate::desired::ReadError;
use crate::executor::ExecutorError;
use crate::reconcile::PassError;
use crate::registry::RegistryError;
use crate::source::SourceError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state directory.
    #[error(transparent)]
    StateDirectory(#[from] StateDirectoryError),
    /// The repository.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The commit.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The records.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The jobs.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// There is no such item.
    #[error("there is no item {found:?}{}", similar(near))]
    NoItem {
        /// What was asked for.
        found: String,
        /// Items whose names are similar.
        near: Vec<String>,
    },
    /// A file of this machine.
    #[error("cannot {doing} {place}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        place: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The commit that was named is not the one in force.
    #[error("the commit cannot be applied: {reason}")]
    NotInForce {
        /// Why.
        reason: String,
    },
    /// A pass failed.
    #[error("{reason}")]
    Pass {
        /// Why.
        reason: String,
    },
    /// Planning failed.
    #[error(transparent)]
    Planning(#[from] PassError),
    /// The reconciler does not do it.
    #[error("{message}")]
    Refused {
        /// Why, and what to do next.
        message: String,
    },
    /// The wharf that runs here closed the connection.
    #[error("the wharf that runs here went away while it was asked; ask again")]
    Silent(#[source] io::Error),
    /// The loop ended by a panic.
    #[error("the reconciler stopped unexpectedly; this is a defect of wharf, and what runs goes on running")]
    Broken,
    /// Standard output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// A result that has no JSON form.
    #[error("the result cannot be written as JSON; this is a defect of wharf")]
    Unprintable(#[source] serde_json::Error),
    /// The system gives no threads.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

fn similar(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; similar names: {}", names.join(", ")) }
}

impl CliError {
    /// 2 for wrong usage, else 1; `wharf diff` makes every error a 2.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            _ => 1,
        }
    }

    /// What to do next, where the message does not say it.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Source(SourceError::NotARepository { .. }) => {
                Some("--repo names another place; without it the directory is read in which wharf is started")
            }
            Self::NoItem { .. } => Some("`wharf explain` lists every item"),
            Self::Registry(RegistryError::Version { .. }) => {
                Some("use the version of wharf that wrote it, or a newer one")
            }
            _ => None,
        }
    }
}

/// Says on standard error why a command failed. Somebody who closed the pipe does not want to hear it.
pub fn report(error: &CliError) {
    if matches!(error, CliError::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe) {
        return;
    }
    anstream::eprintln!("{}", render(error));
}

/// The error, what caused it, and what to do next.
fn render(error: &CliError) -> String {
    let mut text = format!("{} {}", paint(BAD, "error:"), plain(&error.to_string()));
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Some messages quote their cause already.
        let message = next.to_string();
        if !said.contains(&message) {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {} {}", paint(BAD, "because:"), plain(&message));
        }
        said = message;
        cause = next.source();
    }
    if let Some(hint) = error.hint() {
        let _ = write!(text, "\n  {} {hint}", paint(ACCENT, "help:"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_nothing_is_obeyed() {
        let cause = io::Error::other("disk \u{1b}[31mfull");
        let error = CliError::File { doing: "write", place: "/tmp/x".to_owned(), source: cause };
        let text = anstream::adapter::strip_str(&render(&error)).to_string();
        assert_eq!(text, "error: cannot write /tmp/x\n  because: disk \\u{1b}[31mfull");
        let quoting = CliError::NoItem { found: "tide".to_owned(), near: vec!["tide-times".to_owned()] };
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(&quoting)).to_string());
    }
}
