//! `wharf environments`: what items can run on, and how many do. Which one an item gets is `explain`'s question.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::style::{ACCENT, QUIET, STRONG, WAITING, count, paint};
use super::{CliError, Context, Exit, Items, commit, table, world};
use crate::config::ExecutorKind;
use crate::executor::Candidates;
use crate::model::{Environment, Language, Matching};

/// Show the execution environments of a commit, and this host's own.
#[derive(Debug, clap::Args)]
pub struct Environments {
    /// Only those whose name, title or description holds this text.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those with this language: r, python, quarto, nodejs or tensorflow.
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    language: Option<Language>,
    /// In which order: name, or newest version of --language first.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
}

/// The orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Sort {
    /// By name.
    #[default]
    Name,
    /// By the newest version, newest first.
    Version,
    /// By title.
    Title,
}

fn language(text: &str) -> Result<Language, String> {
    let known = Language::ALL.into_iter().find(|language| language.key() == text);
    known.ok_or_else(|| format!("expected {}", Language::ALL.map(Language::key).join(", ")))
}

/// What `wharf environments --output json` prints.
pub type EnvironmentItems = Items<EnvironmentItem>;

/// One environment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EnvironmentItem {
    /// The image, or `localhost`.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Who may use it: `any`, `exact` or `none`.
    pub matching: Matching,
    /// What is installed.
    pub installations: BTreeMap<Language, Vec<InstallationItem>>,
    /// Its successor, where it has one.
    pub redirect: Option<String>,
    /// The file it is defined in; null for this host.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
}

/// One interpreter.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstallationItem {
    /// Its version.
    pub version: String,
    /// Where it lies, absolute.
    pub path: String,
}

impl EnvironmentItem {
    fn of(environment: &Environment) -> Self {
        let installed = |list: &Vec<crate::model::Installation>| {
            list.iter().map(|it| InstallationItem { version: it.version.to_string(), path: it.path.clone() }).collect()
        };
        Self {
            name: environment.name.to_string(),
            title: environment.title.clone(),
            description: environment.description.clone(),
            matching: environment.matching,
            installations: environment
                .installations
                .iter()
                .map(|(language, list)| (*language, installed(list)))
                .collect(),
            redirect: environment.redirect.as_ref().map(|it| it.to.to_string()),
            file: None,
            line: None,
        }
    }
}

impl Environments {
    /// Reads and prints.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let commit = commit::read(context).await?;
        let mut found: Vec<(Environment, EnvironmentItem)> = Vec::new();
        if context.config.executor == ExecutorKind::Local
            && let Candidates::Host { environment, .. } = world::candidates(context).await?
        {
            found.push((Environment::clone(&environment), EnvironmentItem::of(&environment)));
        }
        for desired in commit.desired.environments.values() {
            let item = EnvironmentItem {
                file: Some(desired.place.file.to_string()),
                line: desired.place.span.map(|span| span.line),
                ..EnvironmentItem::of(&desired.environment)
            };
            found.push((desired.environment.clone(), item));
        }
        found.retain(|(environment, _)| self.wanted(environment));
        self.sort(&mut found);
        let document = Items { items: found.into_iter().map(|(_, item)| item).collect::<Vec<_>>() };
        if context.output.is_text() {
            context.output.text(&draw(&document.items))?;
        } else {
            context.output.list(&document, &document.items)?;
        }
        Ok(Exit::Good)
    }

    fn wanted(&self, environment: &Environment) -> bool {
        let has_language = self.language.is_none_or(|language| !environment.installed(language).is_empty());
        let has_text = self.search.as_ref().is_none_or(|text| {
            let text = text.to_lowercase();
            let texts =
                [Some(environment.name.as_str()), environment.title.as_deref(), environment.description.as_deref()];
            texts.into_iter().flatten().any(|it| it.to_lowercase().contains(&text))
        });
        has_language && has_text
    }

    fn sort(&self, found: &mut [(Environment, EnvironmentItem)]) {
        let newest = |environment: &Environment| {
            let languages =
                Language::ALL.into_iter().filter(|language| self.language.is_none_or(|wanted| wanted == *language));
            languages
                .map(|language| environment.installed(language).iter().map(|it| it.version.clone()).max())
                .collect::<Vec<_>>()
        };
        match self.sort {
            Sort::Name => found.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name)),
            Sort::Title => {
                found.sort_by(|(one, _), (other, _)| (&one.title, &one.name).cmp(&(&other.title, &other.name)));
            }
            Sort::Version => {
                found.sort_by(|(one, _), (other, _)| {
                    newest(other).cmp(&newest(one)).then_with(|| one.name.cmp(&other.name))
                });
            }
        }
    }
}

fn draw(items: &[EnvironmentItem]) -> String {
    let rows = items.iter().map(|item| {
        let installed = item.installations.iter().map(|(language, list)| {
            format!("{language} {}", list.iter().map(|it| it.version.as_str()).collect::<Vec<_>>().join(", "))
        });
        let matching = match (&item.redirect, item.matching) {
            (Some(to), _) => paint(WAITING, format!("redirected to {to}")),
            (None, Matching::Any) => String::new(),
            (None, Matching::Exact) => paint(WAITING, "only where asked for"),
            (None, Matching::None) => paint(WAITING, "disabled"),
        };
        let place = match (&item.file, item.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => "this host".to_owned(),
        };
        vec![
            paint(STRONG, &item.name),
            paint(ACCENT, installed.collect::<Vec<_>>().join("  ")),
            matching,
            paint(QUIET, place),
        ]
    });
    let table = table::draw(&["ENVIRONMENT", "INSTALLED", "USE", "DEFINED IN"], rows.collect());
    format!("{table}\n{}\n", count(items.len(), "environment", "environments"))
}
