//! Explanations for people: one card an item. The figures come from `entry.rs`, the words for rules and reasons stand here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Choices;
use super::entry::Entry;
use crate::cli::diagnostics;
use crate::cli::style::{ACCENT, BAD, GOOD, QUIET, STRONG, WAITING, count, padded, paint};
use crate::desired::Desired;
use crate::model::{Demands, Item, Language, Policy, Selected};
use crate::select::{self, Asked, Candidate, Chosen, Match, NoFit, Reason, Rule};

/// The width of the words at the left of a card.
const LABEL: usize = 11;

/// Every card, and a line that counts.
pub(super) fn draw(entries: &[Entry], desired: &Desired, choices: &Choices<'_>) -> String {
    let mut text = String::new();
    for entry in entries {
        let mut card = Card { text: String::new(), policy: &desired.policy, choices };
        card.entry(entry);
        text.push_str(&card.text);
        text.push('\n');
    }
    text.push_str(&summary(entries));
    text
}

fn summary(entries: &[Entry]) -> String {
    let failed = entries.iter().filter(|entry| entry.error.is_some()).count();
    let served = entries.iter().filter(|entry| entry.error.is_none() && entry.environment.is_none()).count();
    let placed = entries.len() - failed - served;
    let mut parts = vec![paint(GOOD, format!("{placed} placed"))];
    if served > 0 {
        parts.push(format!("{served} served as files"));
    }
    if failed > 0 {
        parts.push(paint(BAD, format!("{failed} without an environment")));
    }
    format!("{}: {}\n", count(entries.len(), "item", "items"), parts.join(", "))
}

struct Card<'a> {
    text: String,
    policy: &'a Policy,
    choices: &'a Choices<'a>,
}

impl Card<'_> {
    fn entry(&mut self, entry: &Entry) {
        let (mark, style) = if entry.error.is_some() { ("✗", BAD) } else { ("✓", GOOD) };
        let what = entry.appmode.map_or("cannot be read", crate::model::Appmode::title);
        self.line(&format!(
            "{} {}  {}",
            paint(style, mark),
            paint(STRONG, &entry.explanation.item),
            paint(QUIET, what)
        ));
        match (&entry.chosen, &entry.item) {
            (Some(chosen), Some(item)) => self.chosen(chosen, item),
            (None, Some(_)) if entry.error.is_none() => {
                self.field("runs on", "nothing: its files are served as they are");
            }
            _ => {}
        }
        if let (Some(chosen), Some(to)) = (&entry.chosen, &entry.could_move) {
            self.field("could move", &paint(WAITING, could_move(&chosen.selected, to)));
        }
        if let Some(note) = &entry.note {
            self.field("note", &paint(WAITING, note));
        }
        if let Some(item) = &entry.item {
            self.rejected(entry, item);
        }
        if let Some(diagnostic) = &entry.diagnostic {
            for line in diagnostics::draw_one(diagnostic).lines() {
                self.line(&format!("  {line}"));
            }
        }
    }

    fn chosen(&mut self, chosen: &Chosen, item: &Item) {
        self.field("runs on", &paint(ACCENT, chosen.selected.environment.as_str()));
        let versions: Vec<String> =
            chosen.selected.installations.iter().map(|(language, it)| format!("{language} {}", it.version)).collect();
        let width = versions.iter().map(String::len).max().unwrap_or_default();
        let mut label = "with";
        for ((language, installation), version) in chosen.selected.installations.iter().zip(&versions) {
            let how = chosen.matches.get(language).map(|how| matched(*how)).unwrap_or_default();
            let path = paint(QUIET, &installation.path);
            self.field(label, &format!("{}  {path}  {}", padded(STRONG, version, width), paint(QUIET, how)));
            label = "";
        }
        self.asked(&item.demands);
        self.field("because", &because(chosen.rule, item));
        if let Some(redirect) = &chosen.redirect {
            let message = redirect.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
            self.field("note", &paint(WAITING, format!("it is being replaced by {}{message}", redirect.to)));
        }
    }

    fn asked(&mut self, demands: &Demands) {
        let mut label = "asked for";
        for (language, demand) in &demands.languages {
            let words = format!("{language} {}", Asked::of(*language, demand, self.policy));
            let place = demand.place.as_ref().map(ToString::to_string).unwrap_or_default();
            self.field(label, &format!("{words}  {}", paint(QUIET, place)));
            label = "";
        }
    }

    fn rejected(&mut self, entry: &Entry, item: &Item) {
        let width = entry.rejected.keys().map(|name| name.chars().count()).max().unwrap_or_default();
        let mut label = "not on";
        for (name, reason) in &entry.rejected {
            let words = self.reason(name, *reason, entry, item);
            self.field(label, &format!("{}  {}", padded(QUIET, name, width), paint(QUIET, words)));
            label = "";
        }
    }

    /// A reason with the figures behind it.
    fn reason(&self, name: &str, reason: Reason, entry: &Entry, item: &Item) -> String {
        let candidate = self.choices.candidates.iter().find(|it| it.environment.name.as_str() == name);
        let more = candidate.and_then(|candidate| match reason {
            Reason::LanguageMissing => missing(candidate, &item.demands),
            Reason::VersionUnsatisfied => unsatisfied(candidate, &item.demands, self.policy),
            Reason::LessClose => {
                entry.chosen.as_ref().and_then(|chosen| farther(candidate, chosen, &item.demands, self.policy))
            }
            Reason::Redirected => candidate.environment.redirect.as_ref().map(|it| format!("to {}", it.to)),
            _ => None,
        });
        let word = reason_word(reason);
        more.map_or_else(|| word.to_owned(), |more| format!("{word}: {more}"))
    }

    fn field(&mut self, label: &str, value: &str) {
        let label = padded(QUIET, label, LABEL);
        self.line(&format!("    {label}{value}"));
    }

    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }
}

const fn reason_word(reason: Reason) -> &'static str {
    match reason {
        Reason::Disabled => "disabled",
        Reason::NotRequested => "not-requested",
        Reason::Redirected => "redirected",
        Reason::NotRunnable => "not-runnable",
        Reason::ImageNotAllowed => "image-not-allowed",
        Reason::LanguageMissing => "language-missing",
        Reason::VersionUnsatisfied => "version-unsatisfied",
        Reason::LessClose => "less-close",
    }
}

const fn matched(how: Match) -> &'static str {
    match how {
        Match::Constraint => "the newest inside the range",
        Match::Equal => "exactly what was asked for",
        Match::SameSeries => "another patch of the same series",
        Match::Nearest => "the nearest there is",
        Match::Newest => "the newest",
    }
}

fn because(rule: Rule, item: &Item) -> String {
    match rule {
        Rule::Explicit => {
            let place =
                item.demands.explicit_place.as_ref().map(|place| format!("  {}", paint(QUIET, place.to_string())));
            format!("the item asks for it{}", place.unwrap_or_default())
        }
        Rule::Recorded => "it was chosen before, and nothing that matters has changed".to_owned(),
        Rule::OnlyFit => "no other one will do".to_owned(),
        Rule::Closer(language) => format!("its {language} is closer than that of any other"),
        Rule::FewerOthers => "the versions are equal elsewhere, and it carries the least besides".to_owned(),
        Rule::Name => "everything else is equal, and its name comes first".to_owned(),
    }
}

/// Where an item would go if it were chosen afresh.
fn could_move(from: &Selected, to: &Selected) -> String {
    let versions = |selected: &Selected| {
        let installed = selected.installations.iter().map(|(language, it)| format!("{language} {}", it.version));
        installed.collect::<Vec<_>>().join(", ")
    };
    let (from, to) = if from.environment == to.environment {
        (versions(from), versions(to))
    } else {
        (from.environment.to_string(), to.environment.to_string())
    };
    format!("{from} -> {to}  (wharf apply --reselect)")
}

/// `no R`, where an environment lacks a language.
fn missing(candidate: &Candidate<'_>, demands: &Demands) -> Option<String> {
    let lacking: Vec<String> = demands
        .languages
        .keys()
        .filter(|language| candidate.environment.installed(**language).is_empty())
        .map(ToString::to_string)
        .collect();
    (!lacking.is_empty()).then(|| format!("no {}", lacking.join(", no ")))
}

/// `has Python 3.12.11`, for the first language whose versions will not do.
fn unsatisfied(candidate: &Candidate<'_>, demands: &Demands, policy: &Policy) -> Option<String> {
    demands.languages.iter().find_map(|(language, demand)| {
        let alone = Demands { languages: BTreeMap::from([(*language, demand.clone())]), ..Demands::default() };
        match select::choose(&alone, &[freely(candidate)], policy) {
            Err(NoFit::Lacking(_)) => Some(format!("has {language} {}", versions(candidate, *language))),
            _ => None,
        }
    })
}

/// `would give Python 3.12.11`, or what it carries besides.
fn farther(candidate: &Candidate<'_>, chosen: &Chosen, demands: &Demands, policy: &Policy) -> Option<String> {
    let alone = demands.clone().without_explicit();
    let other = select::choose(&alone, &[freely(candidate)], policy).ok().flatten()?;
    let different: Vec<String> = other
        .selected
        .installations
        .iter()
        .filter(|(language, it)| {
            chosen.selected.installations.get(language).is_none_or(|ours| ours.version != it.version)
        })
        .map(|(language, it)| format!("{language} {}", it.version))
        .collect();
    Some(if different.is_empty() {
        "the same versions, and more besides or a later name".to_owned()
    } else {
        format!("would give {}", different.join(", "))
    })
}

/// The same environment without what keeps it out for other reasons than its languages.
fn freely<'a>(candidate: &Candidate<'a>) -> Candidate<'a> {
    Candidate { availability: select::Availability::Runnable, ..*candidate }
}

fn versions(candidate: &Candidate<'_>, language: Language) -> String {
    let mut versions: Vec<_> = candidate.environment.installed(language).iter().map(|it| &it.version).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
