//! `wharf validate`: every problem in a repository or working tree. Whether items find an environment is `explain`'s question.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::commit::{self, Commit};
use super::diagnostics;
use super::style::{BAD, GOOD, WAITING, count, paint};
use super::{CliError, Context, Exit};
use crate::desired;
use crate::model::{Diagnostic, Diagnostics, Severity};

/// Check a repository or working tree, and show every problem in it.
///
/// Reads the directory it is started in unless --repo names another; --working-tree looks at uncommitted files too.
/// Needs no registry and no cluster. Exit code: 0 without errors, 1 with errors.
#[derive(Debug, clap::Args)]
pub struct Validate {
    /// Errors alone, without warnings and notes.
    #[arg(long)]
    errors_only: bool,
}

/// What `wharf validate --output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Diagnostics", description = "Every problem found in a commit.")]
pub struct Findings {
    /// The problems, by place.
    pub items: Vec<Diagnostic>,
    /// How many there are of what.
    pub summary: Summary,
}

/// Counts.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Summary {
    /// The commit that was read; for a working tree the id its files would have as a tree.
    pub commit: String,
    /// Content items found, broken ones included.
    pub items: usize,
    /// Environments found, broken ones included.
    pub environments: usize,
    /// Problems that keep an item, an environment or the policy from being used.
    pub errors: usize,
    /// Things that are probably not meant so.
    pub warnings: usize,
    /// Things worth knowing.
    pub notes: usize,
}

impl Validate {
    /// Reads everything and prints what is wrong with it.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let commit = commit::read(context).await?;
        let mut findings = Findings::of(&commit);
        if self.errors_only {
            findings.items.retain(Diagnostic::is_error);
        }
        if context.output.is_text() {
            context.output.text(&findings.text())?;
        } else {
            context.output.list(&findings, &findings.items)?;
        }
        Ok(if findings.summary.errors == 0 { Exit::Good } else { Exit::Found })
    }
}

impl Findings {
    fn of(commit: &Commit) -> Self {
        let desired = &commit.desired;
        let sums = desired.items.values().filter_map(|item| desired::check_sums(&*commit.snapshot, item));
        let all = Diagnostics(desired.diagnostics.0.iter().cloned().chain(sums).collect()).sorted().0;
        let number = |severity| all.iter().filter(|it| it.severity == severity).count();
        let summary = Summary {
            commit: commit.id.to_string(),
            items: desired.items.len() + desired.broken_items.len(),
            environments: desired.environments.len() + desired.broken_environments.len(),
            errors: number(Severity::Error),
            warnings: number(Severity::Warning),
            notes: number(Severity::Note),
        };
        Self { items: all, summary }
    }

    fn text(&self) -> String {
        let mut text = diagnostics::draw(&self.items);
        let Summary { items, environments, errors, warnings, notes, .. } = self.summary;
        let found =
            format!("{}, {}", count(items, "item", "items"), count(environments, "environment", "environments"));
        let parts = [
            (errors > 0).then(|| paint(BAD, count(errors, "error", "errors"))),
            (warnings > 0).then(|| paint(WAITING, count(warnings, "warning", "warnings"))),
            (notes > 0).then(|| count(notes, "note", "notes")),
        ];
        let mut problems = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        if errors == 0 && warnings == 0 {
            let fine = paint(GOOD, "no problems");
            problems = if notes == 0 { fine } else { format!("{fine}, {problems}") };
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{found}: {problems}");
        text
    }
}
