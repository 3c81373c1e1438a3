//! Why nothing fits, and the text that says so (selection.md, 6). Chooses nothing; how it is drawn is `cli`'s work.

use std::collections::BTreeMap;

use super::candidates;
use super::rank;
use super::{Asked, Candidate, Lack, NoFit, Reason, listed};
use crate::model::{Code, Demands, Diagnostic, Language, Matching, Place, Policy, Severity, Strategy, Version};

/// No environment satisfies what an item asks for.
pub const NOTHING_FITS: Code = Code::new("E0201");
/// The environment an item asks for by name does not exist.
pub const REQUESTED_MISSING: Code = Code::new("E0202");
/// The environment an item asks for by name cannot be used, or does not satisfy its demands.
pub const REQUESTED_UNSUITED: Code = Code::new("E0203");
/// No environment takes part in the selection.
pub const NO_ENVIRONMENTS: Code = Code::new("E0204");

/// At most this many versions are listed in a message.
const LISTED_VERSIONS: usize = 12;

/// Finds out why nothing fits. Slow beside a choice, and run only when there is none.
pub(super) fn why_nothing_fits(demands: &Demands, candidates: &[Candidate<'_>], policy: &Policy) -> NoFit {
    let explicit = demands.explicit.as_ref();
    if let Some(request) = explicit {
        let Some(requested) = candidates.iter().find(|candidate| candidates::is_requested(request, candidate)) else {
            return NoFit::RequestedMissing(request.clone());
        };
        let environment = requested.environment.name.clone();
        if let Some(reason) = candidates::left_out(explicit, requested) {
            return NoFit::RequestedUnusable { environment, reason };
        }
        return match first_lack(demands, &[requested], policy) {
            Some(lack) => NoFit::RequestedUnsuited { environment, lack },
            None => NoFit::RequestedUnusable { environment, reason: Reason::NotRunnable },
        };
    }
    let mut left_out = BTreeMap::new();
    let mut taking_part = Vec::new();
    for candidate in candidates {
        match candidates::left_out(None, candidate) {
            Some(reason) => *left_out.entry(reason).or_insert(0) += 1,
            None => taking_part.push(candidate),
        }
    }
    if taking_part.is_empty() {
        return NoFit::NoEnvironments { left_out };
    }
    if let Some(lack) = first_lack(demands, &taking_part, policy) {
        return NoFit::Lacking(lack);
    }
    let asked = demands.languages.iter();
    NoFit::NotTogether(asked.map(|(name, demand)| (*name, Asked::of(*name, demand, policy))).collect())
}

/// The first demand, in the fixed order, that none of these candidates satisfies.
fn first_lack(demands: &Demands, candidates: &[&Candidate<'_>], policy: &Policy) -> Option<Lack> {
    let wishes = rank::wishes(demands, policy);
    let demanded =
        Language::ALL.into_iter().zip(&wishes).filter_map(|(language, wish)| Some((language, wish.as_ref()?)));
    for (language, wish) in demanded {
        let installed = || candidates.iter().flat_map(|candidate| candidate.environment.installed(language));
        if installed().all(|installation| wish.rank(&installation.version).is_none()) {
            let mut available: Vec<Version> = installed().map(|installation| installation.version.clone()).collect();
            available.sort_unstable();
            available.dedup();
            let asked = demands.languages.get(&language).map(|demand| Asked::of(language, demand, policy));
            return Some(Lack { language, asked: asked.unwrap_or(Asked::Anything), available });
        }
    }
    None
}

/// The problem as it is shown: where it was asked for (else `item`, the place of the item), what was asked for, what
/// there is, and what to do.
pub fn diagnostic(problem: &NoFit, demands: &Demands, item: &Place) -> Diagnostic {
    let language_place = |language: &Language| demands.languages.get(language).and_then(|demand| demand.place.clone());
    let (code, place) = match problem {
        NoFit::NoEnvironments { .. } => (NO_ENVIRONMENTS, None),
        NoFit::Lacking(lack) => (NOTHING_FITS, language_place(&lack.language)),
        NoFit::NotTogether(asked) => (NOTHING_FITS, asked.first().and_then(|(language, _)| language_place(language))),
        NoFit::RequestedMissing(_) => (REQUESTED_MISSING, demands.explicit_place.clone()),
        NoFit::RequestedUnusable { .. } => (REQUESTED_UNSUITED, demands.explicit_place.clone()),
        NoFit::RequestedUnsuited { lack, .. } => (REQUESTED_UNSUITED, language_place(&lack.language)),
    };
    let place = place.unwrap_or_else(|| item.clone());
    let mut diagnostic = Diagnostic::new(Severity::Error, code, Some(place), problem.to_string());
    diagnostic.detail = detail(problem);
    diagnostic.help = Some(help(problem));
    if let (NoFit::RequestedUnsuited { .. }, Some(place)) = (problem, &demands.explicit_place) {
        diagnostic = diagnostic.with_related(place.clone(), "the environment is asked for here");
    }
    diagnostic
}

/// What was asked for, and what there is.
fn detail(problem: &NoFit) -> Option<String> {
    match problem {
        NoFit::Lacking(lack) | NoFit::RequestedUnsuited { lack, .. } => {
            Some(format!("asked for: {}   available: {}", lack.asked, versions(&lack.available)))
        }
        NoFit::NotTogether(asked) => {
            Some(format!("asked for: {}", listed(asked.iter().map(|(name, asked)| format!("{name} {asked}")))))
        }
        NoFit::NoEnvironments { left_out } if !left_out.is_empty() => {
            let groups = left_out.iter().map(|(reason, count)| format!("{count} {}", left_out_words(*reason)));
            Some(format!("left out: {}", listed(groups)))
        }
        NoFit::NoEnvironments { .. } | NoFit::RequestedMissing(_) | NoFit::RequestedUnusable { .. } => None,
    }
}

/// `3.10.14, 3.11.9`, the newest ones if there are very many.
fn versions(available: &[Version]) -> String {
    if available.is_empty() {
        return "none".to_owned();
    }
    let hidden = available.len().saturating_sub(LISTED_VERSIONS);
    let shown: Vec<String> = available.iter().skip(hidden).map(Version::to_string).collect();
    let older = if hidden == 0 { String::new() } else { format!("{hidden} older, ") };
    older + &shown.join(", ")
}

const fn left_out_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Disabled => "switched off (matching: none)",
        Reason::NotRequested => "only for items that ask for them (matching: exact)",
        Reason::Redirected => "redirected",
        Reason::NotRunnable => "not runnable here",
        Reason::ImageNotAllowed => "with an image that the policy does not allow",
        Reason::LanguageMissing | Reason::VersionUnsatisfied | Reason::LessClose => "not suited",
    }
}

/// What to do next.
fn help(problem: &NoFit) -> String {
    match problem {
        NoFit::NoEnvironments { left_out } if left_out.is_empty() => {
            "add an environment: one YAML file below environments/".to_owned()
        }
        NoFit::NoEnvironments { .. } => {
            "add an environment with matching: any, or name one in environment.image of the manifest".to_owned()
        }
        NoFit::Lacking(lack) => help_with_lack(lack),
        NoFit::NotTogether(_) => {
            "add an environment that has them all, or ask for versions that one environment has".to_owned()
        }
        NoFit::RequestedMissing(_) => {
            "correct the name, add an environment of that name, or ask for none to have one chosen".to_owned()
        }
        NoFit::RequestedUnusable { reason: Reason::Disabled, .. } => {
            format!("set its matching to {}, or ask for another environment", key(Matching::Exact))
        }
        NoFit::RequestedUnusable { reason: Reason::ImageNotAllowed, .. } => {
            "allow the image in the policy, or ask for another environment".to_owned()
        }
        NoFit::RequestedUnusable { .. } => "ask for another environment, or for none to have one chosen".to_owned(),
        NoFit::RequestedUnsuited { lack, .. } => {
            format!("add {lack} to it, ask for another environment, or for none to have one chosen")
        }
    }
}

const fn key(matching: Matching) -> &'static str {
    match matching {
        Matching::Any => "any",
        Matching::Exact => "exact",
        Matching::None => "none",
    }
}

fn help_with_lack(lack: &Lack) -> String {
    let language = lack.language;
    let key = language.key();
    match &lack.asked {
        _ if lack.language == Language::Tensorflow => "add an environment with TensorFlow's model server".to_owned(),
        Asked::Anything => format!("add an environment with {language}"),
        Asked::Constraint(text) => {
            format!("add an environment with {language} inside {text}, or change environment.{key}.requires")
        }
        Asked::Version(version, strategy) => {
            let series = match (strategy, version.numbers()) {
                (Strategy::Exact, [major, minor, patch]) => format!("{major}.{minor}.{patch}"),
                (_, [major, minor, ..]) => format!("{major}.{minor}.x"),
                (_, [major, ..]) => format!("{major}.x"),
                (_, []) => "any version".to_owned(),
            };
            format!("add an environment with {language} {series}, or set environment.{key}.requires")
        }
    }
}
