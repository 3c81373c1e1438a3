//! Which environment an item runs on, and why not the others. Pure; selection.md is the rule book.
//!
//! Reading demands from a manifest is `desired`'s work, recording a choice is the registry's.

mod candidates;
pub mod explain;
mod order;
mod rank;
mod sticky;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{
    Demand, Demands, Environment, ExplicitRequest, Guid, ImageRef, Language, Policy, Redirect, RequestedVersion,
    Selected, Strategy, Version,
};

pub use order::choose;
pub use sticky::{Again, Recorded, choose_again, demands_digest};

/// Whether the executor can run an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Availability {
    /// It can.
    Runnable,
    /// It cannot, or the image is known to be missing.
    NotRunnable,
    /// The policy forbids the image.
    ImageNotAllowed,
}

/// An environment that could be chosen. Names are unique among candidates.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What the commit says of it.
    pub environment: &'a Environment,
    /// The GUID of its record: the one in its file, else the derived one.
    pub guid: Guid,
    /// Whether it can be run.
    pub availability: Availability,
}

/// Why an environment was not chosen: the first that applies, in the order of selection.md, section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// `matching: none`.
    Disabled,
    /// Another one was asked for, or it only serves items that ask for it.
    NotRequested,
    /// Nothing new should use it.
    Redirected,
    /// The executor cannot run it.
    NotRunnable,
    /// The policy forbids its image.
    ImageNotAllowed,
    /// A demanded language is not installed.
    LanguageMissing,
    /// No installation of a demanded language satisfies the demand.
    VersionUnsatisfied,
    /// It fits; the chosen one is closer, or was chosen before and stays.
    LessClose,
}

/// What decided for the chosen environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The item asks for it.
    Explicit,
    /// It was chosen before, and nothing that matters changed.
    Recorded,
    /// No other fits.
    OnlyFit,
    /// Its version of this language is closer than the next best environment's.
    Closer(Language),
    /// Versions are equal; it has fewer installations of languages that were not demanded.
    FewerOthers,
    /// Everything else is equal; its name comes first.
    Name,
}

/// How a chosen version meets its demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// The newest inside the constraint.
    Constraint,
    /// Every given number is equal.
    Equal,
    /// Another patch of the same series.
    SameSeries,
    /// Another series: the nearest there is.
    Nearest,
    /// Nothing was asked for: the newest.
    Newest,
}

/// An environment that was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The environment and the interpreters in it.
    pub selected: Selected,
    /// What decided.
    pub rule: Rule,
    /// How each language's version meets its demand.
    pub matches: BTreeMap<Language, Match>,
    /// The redirect of an environment that was asked for, or chosen before: its message is shown.
    pub redirect: Option<Redirect>,
}

/// What is asked of a language, in the words that decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Any version; the newest wins.
    Anything,
    /// A version, by the strategy of the policy.
    Version(RequestedVersion, Strategy),
    /// A constraint, as it is written.
    Constraint(String),
}

impl Asked {
    /// What a demand asks under a policy.
    pub fn of(language: Language, demand: &Demand, policy: &Policy) -> Self {
        match (&demand.requires, &demand.version) {
            (Some(constraint), _) => Self::Constraint(constraint.as_str().to_owned()),
            (None, Some(version)) => Self::Version(version.clone(), policy.strategy(language)),
            (None, None) => Self::Anything,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => f.write_str("any version"),
            Self::Version(version, strategy) => write!(f, "{version} ({strategy})"),
            Self::Constraint(text) => f.write_str(text),
        }
    }
}

/// A demanded language that environments lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The language.
    pub language: Language,
    /// What was asked of it.
    pub asked: Asked,
    /// The versions there are, ascending; empty: the language is missing.
    pub available: Vec<Version>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.language)?;
        match &self.asked {
            _ if self.available.is_empty() => Ok(()),
            Asked::Anything => Ok(()),
            Asked::Version(version, _) => write!(f, " {version}"),
            Asked::Constraint(text) => write!(f, " inside {text}"),
        }
    }
}

/// No environment can run an item. `explain::diagnostic` adds the place, the figures and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFit {
    /// None takes part: there is none, or each is left out before its languages are looked at.
    #[error("{}", if left_out.is_empty() { "there are no environments" } else { "no environment takes part in the selection" })]
    NoEnvironments {
        /// How many were left out, by reason.
        left_out: BTreeMap<Reason, usize>,
    },
    /// None of those that take part satisfies this demand.
    #[error("no environment has {0}")]
    Lacking(Lack),
    /// Each demand is satisfied by some environment, all together by none.
    #[error("no environment has {} together", listed(.0.iter().map(|(language, _)| language)))]
    NotTogether(Vec<(Language, Asked)>),
    /// The environment asked for does not exist.
    #[error("the environment asked for does not exist: {0}")]
    RequestedMissing(ExplicitRequest),
    /// The environment asked for cannot be used by anyone here.
    #[error("the environment asked for, {environment}, {}", unusable(*reason))]
    RequestedUnusable {
        /// Which.
        environment: ImageRef,
        /// Why.
        reason: Reason,
    },
    /// The environment asked for does not satisfy a demand.
    #[error("the environment asked for, {environment}, does not have {lack}")]
    RequestedUnsuited {
        /// Which.
        environment: ImageRef,
        /// The first demand it does not satisfy.
        lack: Lack,
    },
}

/// `R`, `R and Python`, `R, Python and Quarto`.
fn listed<T: fmt::Display>(words: impl Iterator<Item = T>) -> String {
    let mut words: Vec<String> = words.map(|word| word.to_string()).collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
        None => String::new(),
    }
}

const fn unusable(reason: Reason) -> &'static str {
    match reason {
        Reason::Disabled => "is switched off (matching: none)",
        Reason::ImageNotAllowed => "has an image that the policy does not allow",
        _ => "cannot be run here",
    }
}

/// The reason for every environment that is not `chosen`. Empty for static items, which consider none.
pub fn reasons(
    demands: &Demands,
    candidates: &[Candidate<'_>],
    policy: &Policy,
    chosen: Option<&ImageRef>,
) -> BTreeMap<ImageRef, Reason> {
    if demands.no_environment {
        return BTreeMap::new();
    }
    let wishes = rank::wishes(demands, policy);
    let others = candidates.iter().filter(|candidate| Some(&candidate.environment.name) != chosen);
    others
        .map(|candidate| {
            let reason = candidates::left_out(demands.explicit.as_ref(), candidate)
                .or_else(|| candidates::fit(&wishes, candidate).err())
                .unwrap_or(Reason::LessClose);
            (candidate.environment.name.clone(), reason)
        })
        .collect()
}
