//! The total order of environments that fit, and the choice by it (selection.md, 5). Reads no recorded choice.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::candidates::{self, Fit};
use super::rank::{self, Wishes};
use super::{Candidate, Chosen, NoFit, Rule, explain};
use crate::model::{Demands, Language, Policy, Selected, SelectedInstallation};

/// The environment an item runs on, chosen afresh: selection.md, sections 1 to 5. `Ok(None)` for static items, which
/// get none. Goes through the candidates once and allocates nothing for them; who was refused and why is computed only
/// when asked for ([`super::reasons`]) or when nothing fits.
pub fn choose(demands: &Demands, candidates: &[Candidate<'_>], policy: &Policy) -> Result<Option<Chosen>, NoFit> {
    if demands.no_environment {
        return Ok(None);
    }
    let explicit = demands.explicit.as_ref();
    let wishes = rank::wishes(demands, policy);
    let mut best: Option<Fit<'_>> = None;
    let mut next: Option<Fit<'_>> = None;
    for candidate in candidates {
        if candidates::left_out(explicit, candidate).is_some() {
            continue;
        }
        let Ok(fit) = candidates::fit(&wishes, candidate) else { continue };
        if best.as_ref().is_none_or(|best| compare(&fit, best).0.is_lt()) {
            next = best.replace(fit);
        } else if next.as_ref().is_none_or(|next| compare(&fit, next).0.is_lt()) {
            next = Some(fit);
        }
    }
    let Some(best) = best else { return Err(explain::why_nothing_fits(demands, candidates, policy)) };
    let rule = match (explicit, next) {
        (Some(_), _) => Rule::Explicit,
        (None, None) => Rule::OnlyFit,
        (None, Some(next)) => compare(&best, &next).1,
    };
    Ok(Some(chosen(&wishes, &best, rule)))
}

/// Which of two environments is better, and by which rule.
fn compare(one: &Fit<'_>, other: &Fit<'_>) -> (Ordering, Rule) {
    for ((language, one), other) in Language::ALL.into_iter().zip(&one.best).zip(&other.best) {
        let ordering = one.map(|best| best.rank).cmp(&other.map(|best| best.rank));
        if ordering.is_ne() {
            return (ordering, Rule::Closer(language));
        }
    }
    let ordering = not_demanded(one).cmp(&not_demanded(other));
    if ordering.is_ne() {
        return (ordering, Rule::FewerOthers);
    }
    (one.candidate.environment.name.cmp(&other.candidate.environment.name), Rule::Name)
}

/// How many installations an environment has of languages that were not demanded.
fn not_demanded(fit: &Fit<'_>) -> usize {
    let languages = Language::ALL.into_iter().zip(&fit.best).filter(|(_, best)| best.is_none());
    languages.map(|(language, _)| fit.candidate.environment.installed(language).len()).sum()
}

/// The choice of a fit, written out.
pub(super) fn chosen(wishes: &Wishes<'_>, fit: &Fit<'_>, rule: Rule) -> Chosen {
    let mut installations = BTreeMap::new();
    let mut matches = BTreeMap::new();
    for ((language, wish), best) in Language::ALL.into_iter().zip(wishes).zip(&fit.best) {
        if let (Some(wish), Some(best)) = (wish, best) {
            let installation = best.installation;
            let selected =
                SelectedInstallation { version: installation.version.clone(), path: installation.path.clone() };
            installations.insert(language, selected);
            matches.insert(language, wish.how(best.rank));
        }
    }
    let environment = fit.candidate.environment;
    let selected = Selected { environment: environment.name.clone(), installations };
    Chosen { selected, rule, matches, redirect: environment.redirect.clone() }
}
