//! `wharf explain`: which environment each item runs on, and why not the others. The rule itself is `select`.

mod card;
mod entry;

use std::collections::BTreeMap;

use super::commit::{self, Commit};
use super::world::{self, World};
use super::{CliError, Context, Exit, Items};
use crate::desired::reading::nearest;
use crate::executor::Candidates;
use crate::model::{Environment, Guid, ImageRef, ItemName};
use crate::registry::sqlite::DATABASE_FILE;
use crate::select::{Availability, Candidate, Recorded};

pub use entry::{Explanation, Explanations};

/// Show which environment each item runs on, and the reason for every other one.
///
/// With the local executor the only environment is this host; `--executor kubernetes` shows from anywhere what a
/// cluster would choose. Exit code: 0 if every item finds an environment, 1 if one does not.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// One item; without it every item.
    item: Option<String>,
}

/// What items can choose from.
struct Choices<'a> {
    candidates: Vec<Candidate<'a>>,
    /// Environments that the commit defines and the policy forbids.
    forbidden: Vec<&'a ImageRef>,
    /// On this host: what to install for each language that is missing.
    host: Option<BTreeMap<crate::model::Language, &'a str>>,
    require_image_match: bool,
    /// What was chosen before, where this is the repository that the instance on this host follows.
    recorded: BTreeMap<ItemName, Recorded>,
}

impl Explain {
    /// Chooses for every item, and prints the choices.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let commit = commit::read(context).await?;
        let candidates = world::candidates(context).await?;
        let recorded = recorded(context).await?;
        let choices = Choices { recorded, ..Choices::new(context, &commit, &candidates) };
        let mut entries = entry::entries(&commit, &choices);
        if let Some(name) = &self.item {
            entries.retain(|entry| entry.explanation.item == *name);
            if entries.is_empty() {
                return Err(no_item(name, &commit));
            }
        }
        let failed = entries.iter().any(|entry| entry.error.is_some());
        if context.output.is_text() {
            context.output.text(&card::draw(&entries, &commit.desired, &choices))?;
        } else {
            let items: Vec<Explanation> = entries.into_iter().map(|entry| entry.explanation).collect();
            let document = Items { items };
            context.output.list(&document, &document.items)?;
        }
        Ok(if failed { Exit::Found } else { Exit::Good })
    }
}

/// The selections that stay as they are (selection.md, 7): those of the instance here, if it follows this repository.
async fn recorded(context: &Context) -> Result<BTreeMap<ItemName, Recorded>, CliError> {
    let config = &context.config;
    if config.require_supported_pair().is_err() || !config.state_dir.join(DATABASE_FILE).exists() {
        return Ok(BTreeMap::new());
    }
    let view = World::observe(context).await?.registry.view().await?;
    let source = commit::open(config)?;
    let here = source.identity();
    let followed =
        view.memory.source.as_ref().is_some_and(|it| it.repository == here.repository && it.path == here.path);
    let records = view.contents.iter().filter(|(name, _)| followed && !view.memory.reselect.contains(*name));
    let selected = records.filter_map(|(name, record)| {
        let selected = record.form.selected.clone()?;
        Some((name.clone(), Recorded { selected, demands: record.form.demands }))
    });
    Ok(selected.collect())
}

fn no_item(name: &str, commit: &Commit) -> CliError {
    let desired = &commit.desired;
    let names: Vec<&str> = desired.items.keys().chain(desired.broken_items.keys()).map(ItemName::as_str).collect();
    let near = nearest(name, &names).map(str::to_owned).into_iter().collect();
    CliError::NoItem { found: name.to_owned(), near }
}

impl<'a> Choices<'a> {
    fn new(context: &Context, commit: &'a Commit, candidates: &'a Candidates) -> Self {
        let instance = &context.config.instance;
        let guid = |environment: &Environment| {
            environment.guid.unwrap_or_else(|| Guid::derived(instance, "environment", environment.name.as_str()))
        };
        let candidate = |environment: &'a Environment| Candidate {
            environment,
            guid: guid(environment),
            availability: Availability::Runnable,
        };
        let require_image_match = context.config.local.require_image_match;
        match candidates {
            Candidates::Host { environment, missing } => Self {
                candidates: vec![candidate(environment)],
                forbidden: Vec::new(),
                host: Some(missing.iter().map(|(language, install)| (*language, install.as_str())).collect()),
                require_image_match,
                recorded: BTreeMap::new(),
            },
            Candidates::FromGit => {
                let broken = commit.desired.broken_environments.iter();
                let forbidden = broken.filter(|(_, it)| it.first.code == crate::desired::environments::FORBIDDEN_IMAGE);
                Self {
                    candidates: commit.desired.environments.values().map(|it| candidate(&it.environment)).collect(),
                    forbidden: forbidden.map(|(name, _)| name).collect(),
                    host: None,
                    require_image_match,
                    recorded: BTreeMap::new(),
                }
            }
        }
    }
}
