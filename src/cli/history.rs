//! `wharf history`: every plan that was applied, and whether the record of it is whole. The chain is `registry`'s work.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::style::{ACCENT, BAD, GOOD, QUIET, STRONG, count, paint};
use super::world::World;
use super::{CliError, Context, Exit, Items};
use crate::registry::{Recorded, Verification};

/// Show what was applied, newest first.
#[derive(Debug, clap::Args)]
pub struct History {
    /// At most this many plans.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    limit: u32,
    /// With every operation.
    #[arg(long)]
    operations: bool,
    /// Check that no entry was altered or removed; exit code 1 if one was.
    #[arg(long)]
    verify: bool,
}

/// What `wharf history --output json` prints.
pub type HistoryEntries = Items<HistoryItem>;

/// One applied plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HistoryItem {
    /// Its number, from 1.
    pub number: i64,
    /// When, RFC 3339.
    pub time: String,
    /// The commit it came from.
    pub commit: Option<String>,
    /// The plan's id.
    pub plan: String,
    /// Who asked for it.
    pub actor: String,
    /// What was done.
    pub operations: Vec<Done>,
    /// The chain after this entry.
    pub chain: String,
}

/// One operation of an applied plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Done {
    /// What was done.
    pub operation: String,
    /// Of which item.
    pub item: Option<String>,
    /// Why.
    pub reason: String,
    /// What went wrong; null where it went well.
    pub error: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
}

/// What `wharf history --verify --output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
struct Verified {
    /// How many entries there are.
    entries: u64,
    /// The newest entry's chain.
    head: Option<String>,
    /// The number of the first entry that is not as it was written.
    broken: Option<i64>,
    /// What is wrong with it.
    problem: Option<String>,
}

impl History {
    /// Reads and prints.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let world = World::observe(context).await?;
        if self.verify {
            return verify(context, &world.registry.verify().await?);
        }
        let entries: Vec<HistoryItem> =
            world.registry.history(self.limit).await?.into_iter().map(HistoryItem::from).collect();
        if context.output.is_text() {
            context.output.text(&entries.iter().map(|entry| self.text(entry)).collect::<String>())?;
        } else {
            let document = Items { items: entries };
            context.output.list(&document, &document.items)?;
        }
        Ok(Exit::Good)
    }

    fn text(&self, entry: &HistoryItem) -> String {
        let failed = entry.operations.iter().filter(|it| it.error.is_some()).count();
        let failed = if failed == 0 { String::new() } else { format!(", {}", paint(BAD, format!("{failed} failed"))) };
        let mut text = format!(
            "{} {}  {}  {}  {}{failed}\n",
            paint(QUIET, format!("{:>4}", entry.number)),
            entry.time.get(..19).unwrap_or(&entry.time).replace('T', " "),
            paint(ACCENT, entry.commit.as_deref().and_then(|it| it.get(..10)).unwrap_or("-")),
            paint(STRONG, &entry.actor),
            count(entry.operations.len(), "operation", "operations"),
        );
        for done in entry.operations.iter().filter(|it| self.operations || it.error.is_some()) {
            let outcome = done
                .error
                .as_ref()
                .map_or_else(|| paint(QUIET, format!("{} ms", done.milliseconds)), |it| paint(BAD, it));
            let what = super::escape::plain(&done.operation);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "       {what}  {}  {outcome}", paint(QUIET, &done.reason));
        }
        text
    }
}

fn verify(context: &Context, found: &Verification) -> Result<Exit, CliError> {
    let broken = found.broken.as_ref();
    if context.output.is_text() {
        let head = found.head.map(|head| head.to_string()).unwrap_or_default();
        let entries = count(usize::try_from(found.entries).unwrap_or(usize::MAX), "entry", "entries");
        let text = match broken {
            None => {
                format!("{} {entries}, none altered or removed; the chain's head is {head}\n", paint(GOOD, "whole:"))
            }
            Some(broken) => format!("{} entry {}: {}\n", paint(BAD, "broken:"), broken.number, broken.problem),
        };
        context.output.text(&text)?;
    } else {
        context.output.document(&Verified {
            entries: found.entries,
            head: found.head.map(|head| head.to_string()),
            broken: broken.map(|it| it.number),
            problem: broken.map(|it| it.problem.clone()),
        })?;
    }
    Ok(if broken.is_none() { Exit::Good } else { Exit::Found })
}

impl From<Recorded> for HistoryItem {
    fn from(recorded: Recorded) -> Self {
        let entry = recorded.entry;
        let operations = entry.results.into_iter().map(|it| Done {
            operation: it.operation,
            item: it.item.map(|item| item.to_string()),
            reason: it.reason,
            error: it.error,
            milliseconds: it.milliseconds,
        });
        Self {
            number: recorded.number,
            time: entry.time.to_string(),
            commit: entry.commit.map(|commit| commit.to_string()),
            plan: entry.plan,
            actor: entry.actor,
            operations: operations.collect(),
            chain: recorded.chain.to_string(),
        }
    }
}
