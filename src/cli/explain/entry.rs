//! One item's explanation: the stable form behind `wharf explain --output json`. How it is drawn for people: `card.rs`.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::Choices;
use crate::cli::Items;
use crate::cli::commit::Commit;
use crate::model::{Appmode, Code, Demands, Diagnostic, Item, Language, Policy, Selected, Strategy};
use crate::select::{self, Chosen, Reason, explain};

/// What `wharf explain --output json` prints.
pub type Explanations = Items<Explanation>;

/// A larger file is not read again to show a line of it, in bytes.
const LARGEST_SHOWN: u64 = 4 << 20;
/// An item that asks for an image, on a host that must not stand in for one.
const NOT_ON_THIS_HOST: Code = Code::new("E0220");

/// Which environment an item runs on, and why not the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The item's name.
    pub item: String,
    /// What it is; null where its manifest cannot be read.
    pub appmode: Option<Appmode>,
    /// The chosen image; null where nothing fits, and for static items, which need none.
    pub environment: Option<String>,
    /// The interpreter of each demanded language.
    pub installations: BTreeMap<Language, Installed>,
    /// What the item asks for.
    pub demands: BTreeMap<Language, Asked>,
    /// For every environment that was not chosen, the reason (docs/selection.md).
    pub rejected: BTreeMap<String, Reason>,
    /// What is wrong; null where the item can run.
    pub error: Option<Problem>,
}

/// An interpreter that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Installed {
    /// Its version.
    pub version: String,
    /// Where it lies, absolute.
    pub path: String,
}

/// What an item asks of one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Asked {
    /// The version asked for.
    pub version: Option<String>,
    /// The range asked for; with one, the version is not used.
    pub requires: Option<String>,
    /// How a version alone is matched.
    pub strategy: Strategy,
}

/// A problem, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// A stable code; docs/diagnostics.md explains each.
    pub code: Code,
    /// What was expected and what was found.
    pub message: String,
    /// The file, from the root of what is read.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
}

/// An explanation, and what the stable form has no room for.
pub(super) struct Entry {
    pub explanation: Explanation,
    /// `None` where the item cannot be read.
    pub item: Option<Arc<Item>>,
    pub chosen: Option<Chosen>,
    /// What a fresh choice would take.
    pub could_move: Option<Selected>,
    pub diagnostic: Option<Diagnostic>,
    /// Worth knowing: "asks for X, runs on this host".
    pub note: Option<String>,
}

impl Deref for Entry {
    type Target = Explanation;

    fn deref(&self) -> &Explanation {
        &self.explanation
    }
}

impl Problem {
    fn of(diagnostic: &Diagnostic) -> Self {
        let place = diagnostic.place.as_ref();
        let span = place.and_then(|place| place.span);
        Self {
            code: diagnostic.code.clone(),
            message: diagnostic.message.clone(),
            file: place.map(|place| place.file.to_string()),
            line: span.map(|span| span.line),
            column: span.map(|span| span.column),
        }
    }
}

/// Every item of a commit, sorted by name.
pub(super) fn entries(commit: &Commit, choices: &Choices<'_>) -> Vec<Entry> {
    let desired = &commit.desired;
    let good = desired.items.values().map(|item| {
        let mut entry = entry(item, &desired.policy, choices);
        entry.diagnostic = entry.diagnostic.map(|diagnostic| with_line(diagnostic, item, commit));
        entry
    });
    let broken = desired.broken_items.iter().map(|(name, broken)| {
        let nothing = Explanation {
            item: name.to_string(),
            appmode: None,
            environment: None,
            installations: BTreeMap::new(),
            demands: BTreeMap::new(),
            rejected: BTreeMap::new(),
            error: Some(Problem::of(&broken.first)),
        };
        Entry {
            explanation: nothing,
            item: None,
            chosen: None,
            could_move: None,
            diagnostic: Some(broken.first.clone()),
            note: None,
        }
    });
    let mut all: Vec<Entry> = good.chain(broken).collect();
    all.sort_by(|one, other| one.explanation.item.cmp(&other.explanation.item));
    all
}

fn entry(item: &Arc<Item>, policy: &Policy, choices: &Choices<'_>) -> Entry {
    let (demands, note) = demands_here(item, choices);
    let recorded = choices.recorded.get(&item.name).filter(|it| it.demands == select::demands_digest(&demands));
    let mut could_move = None;
    let (chosen, diagnostic) = match refused_here(item, choices) {
        Some(refused) => (None, Some(refused)),
        None if demands.no_environment => (None, None),
        None => match select::choose_again(&demands, &choices.candidates, policy, recorded) {
            Ok(again) => {
                could_move = again.could_move;
                (again.chosen, None)
            }
            Err(problem) => (
                None,
                Some(with_install(explain::diagnostic(&problem, &demands, &item.manifest_place), &demands, choices)),
            ),
        },
    };
    let name = chosen.as_ref().map(|chosen| &chosen.selected.environment);
    let reasons = select::reasons(&demands, &choices.candidates, policy, name);
    let mut rejected: BTreeMap<String, Reason> =
        reasons.into_iter().map(|(name, reason)| (name.to_string(), reason)).collect();
    if !demands.no_environment {
        rejected.extend(choices.forbidden.iter().map(|name| (name.to_string(), Reason::ImageNotAllowed)));
    }
    let installations = chosen.iter().flat_map(|chosen| &chosen.selected.installations);
    let explanation = Explanation {
        item: item.name.to_string(),
        appmode: Some(item.manifest.appmode),
        environment: name.map(ToString::to_string),
        installations: installations
            .map(|(language, it)| (*language, Installed { version: it.version.to_string(), path: it.path.clone() }))
            .collect(),
        demands: demands.languages.keys().map(|language| (*language, asked(*language, &demands, policy))).collect(),
        rejected,
        error: diagnostic.as_ref().map(Problem::of),
    };
    Entry { explanation, item: Some(Arc::clone(item)), chosen, could_move, diagnostic, note }
}

fn asked(language: Language, demands: &Demands, policy: &Policy) -> Asked {
    let demand = demands.languages.get(&language);
    Asked {
        version: demand.and_then(|demand| demand.version.as_ref()).map(ToString::to_string),
        requires: demand.and_then(|demand| demand.requires.as_ref()).map(|requires| requires.as_str().to_owned()),
        strategy: policy.strategy(language),
    }
}

/// The problem with the line of the file that it speaks of. Choosing knows places, and reads no files.
fn with_line(diagnostic: Diagnostic, item: &Item, commit: &Commit) -> Diagnostic {
    let blob = diagnostic.place.as_ref().filter(|_| diagnostic.excerpt.is_none()).and_then(|place| {
        if place.file == item.manifest_place.file {
            return Some(item.manifest_blob);
        }
        let path = place.file.strip_prefix(&*item.directory)?.trim_start_matches('/');
        item.files.iter().find(|file| &*file.path == path).map(|file| file.blob)
    });
    match blob.map(|blob| commit.snapshot.blob(blob, LARGEST_SHOWN)) {
        Some(Ok(bytes)) => diagnostic.with_source(&String::from_utf8_lossy(&bytes)),
        _ => diagnostic,
    }
}

/// On a host there is no image to be asked for: the request is left out, and said.
fn demands_here(item: &Item, choices: &Choices<'_>) -> (Demands, Option<String>) {
    let demands = Demands::clone(&item.demands);
    match (&choices.host, &demands.explicit) {
        (Some(_), Some(asked)) => {
            let note = format!("asks for {asked}, runs on this host");
            (demands.without_explicit(), Some(note))
        }
        _ => (demands, None),
    }
}

fn refused_here(item: &Item, choices: &Choices<'_>) -> Option<Diagnostic> {
    let asked = item.demands.explicit.as_ref()?;
    if choices.host.is_none() || !choices.require_image_match {
        return None;
    }
    let place = item.demands.explicit_place.clone().unwrap_or_else(|| item.manifest_place.clone());
    let message = format!("it asks for {asked}, and this host is no image (local.require_image_match is on)");
    let help = "run it with a cluster's executor, or switch local.require_image_match off";
    Some(Diagnostic::error(NOT_ON_THIS_HOST, place, message).with_help(help))
}

/// On a host the way out is another one: install what is missing.
fn with_install(diagnostic: Diagnostic, demands: &Demands, choices: &Choices<'_>) -> Diagnostic {
    let Some(missing) = &choices.host else { return diagnostic };
    let install = demands.languages.keys().find_map(|language| missing.get(language));
    match install {
        Some(install) => diagnostic.with_help(*install),
        None => diagnostic,
    }
}
