//! `wharf schema`: the JSON Schema of everything that is printed as JSON. The forms stand with the commands that print them.

use std::path::PathBuf;

use schemars::Schema;

use super::environments::EnvironmentItems;
use super::explain::Explanations;
use super::history::HistoryEntries;
use super::ps::ItemStates;
use super::status::StatusDocument;
use super::validate::Findings;
use super::{CliError, Exit, Output};
use crate::plan::PlanDocument;

/// Print the JSON Schema of what a command prints with --output json.
///
/// With --output jsonl each line is one of the things under `items`.
#[derive(Debug, clap::Args)]
pub struct PrintSchema {
    /// Of what.
    #[arg(required_unless_present = "all")]
    of: Option<Form>,
    /// Write every schema into a directory, as NAME.v1.json.
    #[arg(long, value_name = "DIR", hide = true)]
    all: Option<PathBuf>,
}

/// The forms that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// What `wharf diff` prints.
    Plan,
    /// What `wharf explain` prints.
    Explain,
    /// What `wharf validate` prints.
    Diagnostics,
    /// What `wharf ps` prints.
    Ps,
    /// What `wharf status` prints.
    Status,
    /// What `wharf environments` prints.
    Environments,
    /// What `wharf history` prints.
    History,
}

impl Form {
    const ALL: [Self; 7] =
        [Self::Plan, Self::Explain, Self::Diagnostics, Self::Ps, Self::Status, Self::Environments, Self::History];

    const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Explain => "explain",
            Self::Diagnostics => "diagnostics",
            Self::Ps => "ps",
            Self::Status => "status",
            Self::Environments => "environments",
            Self::History => "history",
        }
    }

    fn schema(self) -> Schema {
        // What is printed is described, not what could be read: a field that is left out when empty is not required.
        let generator = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
        match self {
            Self::Plan => generator.into_root_schema_for::<PlanDocument<'_>>(),
            Self::Explain => generator.into_root_schema_for::<Explanations>(),
            Self::Diagnostics => generator.into_root_schema_for::<Findings>(),
            Self::Ps => generator.into_root_schema_for::<ItemStates>(),
            Self::Status => generator.into_root_schema_for::<StatusDocument>(),
            Self::Environments => generator.into_root_schema_for::<EnvironmentItems>(),
            Self::History => generator.into_root_schema_for::<HistoryEntries>(),
        }
    }
}

impl PrintSchema {
    /// Prints one schema, or writes all of them.
    pub fn execute(self, output: Output) -> Result<Exit, CliError> {
        if let Some(form) = self.of {
            output.document(&form.schema())?;
        }
        for form in Form::ALL.into_iter().take(if self.all.is_some() { usize::MAX } else { 0 }) {
            let path = self.all.clone().unwrap_or_default().join(format!("{}.v1.json", form.name()));
            let text = serde_json::to_string_pretty(&form.schema()).map_err(CliError::Unprintable)?;
            let write = std::fs::write(&path, format!("{text}\n"));
            write.map_err(|source| CliError::File { doing: "write", place: path.display().to_string(), source })?;
        }
        Ok(Exit::Good)
    }
}
