//! `wharf ps`: every item and its processes. What an item is doing is worked out in `state.rs`.

use super::progress::{style, summary};
use super::state::{self, ItemState};
use super::style::{ACCENT, QUIET, STRONG, paint};
use super::world::World;
use super::{CliError, Context, Exit, Items, table};
use crate::executor::Executor as _;

/// Show every item: what it is doing, where it is reached, and its processes.
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// One item; without it every item.
    item: Option<String>,
    /// Items alone, without their processes.
    #[arg(long)]
    short: bool,
}

/// What `wharf ps --output json` prints.
pub type ItemStates = Items<ItemState>;

impl Ps {
    /// Looks and prints.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let world = World::observe(context).await?;
        let (registry, executor) = (world.registry.view().await?, world.executor.view().await?);
        let mut items = state::items(&registry, &executor);
        if let Some(name) = &self.item {
            items.retain(|it| it.item == *name);
            if items.is_empty() {
                return Err(CliError::NoItem { found: name.clone(), near: Vec::new() });
            }
        }
        if !context.output.is_text() {
            let document = Items { items };
            context.output.list(&document, &document.items)?;
        } else if items.is_empty() {
            context
                .output
                .text("nothing is recorded here yet; `wharf apply` or `wharf run` starts what a commit says\n")?;
        } else {
            context.output.text(&format!("{}\n{}\n", self.table(&items), summary(&items)))?;
        }
        Ok(Exit::Good)
    }

    fn table(&self, items: &[ItemState]) -> String {
        let mut rows = Vec::new();
        for item in items {
            let more = item
                .url
                .clone()
                .map(|url| paint(ACCENT, url))
                .or_else(|| item.detail.clone().map(|it| paint(QUIET, it)));
            rows.push(vec![
                paint(STRONG, &item.item),
                paint(style(item.state), item.state.word()),
                paint(QUIET, &item.revision),
                more.unwrap_or_default(),
            ]);
            for process in item.processes.iter().filter(|_| !self.short) {
                let pid = process.pid.map(|pid| format!("pid {pid}")).unwrap_or_default();
                let more = [process.address.clone(), process.progress.clone()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("  ");
                let restarts =
                    if process.restarts == 0 { String::new() } else { format!("  restarts {}", process.restarts) };
                rows.push(vec![
                    paint(QUIET, format!("  {}", process.job)),
                    paint(QUIET, process.phase),
                    paint(QUIET, pid),
                    paint(QUIET, format!("{more}{restarts}")),
                ]);
            }
        }
        table::draw(&["ITEM", "STATE", "REVISION", ""], rows)
    }
}
