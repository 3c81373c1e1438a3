//! When an item is selected again: what stays, and where it could move (selection.md, 7). Recording is the registry's.

use serde::{Deserialize, Serialize};

use super::candidates::{self, Best, Fit};
use super::rank::{self, Wishes};
use super::{Candidate, Chosen, NoFit, Rule, choose, order};
use crate::model::{Demands, Digest, Language, Policy, Selected, SelectedInstallation, Selection};

/// A selection made before, as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// What was chosen.
    pub selected: Selected,
    /// [`demands_digest`] of the demands it was chosen for.
    pub demands: Digest,
}

/// A choice for an item that may have been chosen for before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// What the item runs on; `None` for static items.
    pub chosen: Option<Chosen>,
    /// What a fresh choice would take, where it differs from what stays.
    pub could_move: Option<Selected>,
    /// Whether the item stays in its recorded environment because of the record.
    pub stayed: bool,
}

/// The digest of what an item asks for, explicit request and setting included. Places are not part of it: a line
/// more in a manifest moves nothing. Choices for equal digests over the same candidates and policy are equal.
pub fn demands_digest(demands: &Demands) -> Digest {
    #[derive(Serialize)]
    struct Shape<'a> {
        no_environment: bool,
        explicit: Option<&'a crate::model::ExplicitRequest>,
        languages: Vec<(Language, Option<&'a crate::model::RequestedVersion>, Option<&'a crate::model::Constraint>)>,
    }
    let languages = demands.languages.iter();
    Digest::of_value(&Shape {
        no_environment: demands.no_environment,
        explicit: demands.explicit.as_ref(),
        languages: languages.map(|(name, demand)| (*name, demand.version.as_ref(), demand.requires.as_ref())).collect(),
    })
}

/// The environment an item runs on, given what it ran on before. Under `selection: follow`, without a record, for
/// changed demands, or when the recorded environment no longer takes part or no longer satisfies, this is [`choose`].
/// An interpreter that is gone from an environment that stays is replaced by the best one there.
pub fn choose_again(
    demands: &Demands,
    candidates: &[Candidate<'_>],
    policy: &Policy,
    recorded: Option<&Recorded>,
) -> Result<Again, NoFit> {
    let fresh = choose(demands, candidates, policy);
    let kept = match policy.selection {
        Selection::Sticky if !demands.no_environment => {
            recorded.and_then(|recorded| kept(demands, candidates, policy, recorded))
        }
        Selection::Sticky | Selection::Follow => None,
    };
    let Some(kept) = kept else {
        return fresh.map(|chosen| Again { chosen, could_move: None, stayed: false });
    };
    let fresh = fresh.ok().flatten().map(|chosen| chosen.selected);
    let could_move = fresh.filter(|fresh| *fresh != kept.selected);
    Ok(Again { chosen: Some(kept), could_move, stayed: true })
}

/// The recorded choice, if it may stay.
fn kept(demands: &Demands, candidates: &[Candidate<'_>], policy: &Policy, recorded: &Recorded) -> Option<Chosen> {
    if recorded.demands != demands_digest(demands) {
        return None;
    }
    let explicit = demands.explicit.as_ref();
    let candidate = candidates.iter().find(|candidate| candidate.environment.name == recorded.selected.environment)?;
    if candidates::left_out_although_recorded(explicit, candidate).is_some() {
        return None;
    }
    let wishes = rank::wishes(demands, policy);
    let fit = keep_interpreters(&wishes, candidates::fit(&wishes, candidate).ok()?, recorded);
    let rule = if explicit.is_some() { Rule::Explicit } else { Rule::Recorded };
    Some(order::chosen(&wishes, &fit, rule))
}

/// Puts the recorded interpreters in the place of the best ones, where they are still there and still satisfy.
fn keep_interpreters<'a>(wishes: &Wishes<'_>, mut fit: Fit<'a>, recorded: &Recorded) -> Fit<'a> {
    for ((language, wish), best) in Language::ALL.into_iter().zip(wishes).zip(&mut fit.best) {
        let recorded = recorded.selected.installations.get(&language);
        if let (Some(wish), Some(recorded)) = (wish, recorded) {
            let is_recorded = |best: &Best<'_>| same(best, recorded);
            let installed = fit.candidate.environment.installed(language).iter();
            let kept = installed.filter_map(|installation| Best::of(wish, installation)).find(is_recorded);
            *best = kept.or(*best);
        }
    }
    fit
}

fn same(best: &Best<'_>, recorded: &SelectedInstallation) -> bool {
    best.installation.path == recorded.path && best.installation.version == recorded.version
}
