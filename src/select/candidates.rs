//! Which environments are considered, and which of those satisfy every demand (selection.md, 4). Ranks nothing.

use super::rank::{Rank, Wish, Wishes};
use super::{Availability, Candidate, Reason};
use crate::model::{ExplicitRequest, Installation, Language, Matching};

/// Whether a request means this candidate.
pub(super) fn is_requested(request: &ExplicitRequest, candidate: &Candidate<'_>) -> bool {
    match request {
        ExplicitRequest::Guid(guid) => *guid == candidate.guid,
        ExplicitRequest::Image(image) => *image == candidate.environment.name,
    }
}

/// Why a candidate takes no part, before its languages are looked at: rules 1 to 5.
pub(super) fn left_out(explicit: Option<&ExplicitRequest>, candidate: &Candidate<'_>) -> Option<Reason> {
    let redirected = explicit.is_none() && candidate.environment.redirect.is_some();
    cannot_stay(explicit, candidate, redirected)
}

/// The same for a candidate that an item already runs on: a redirect that was added later moves nothing.
pub(super) fn left_out_although_recorded(
    explicit: Option<&ExplicitRequest>,
    candidate: &Candidate<'_>,
) -> Option<Reason> {
    cannot_stay(explicit, candidate, false)
}

fn cannot_stay(explicit: Option<&ExplicitRequest>, candidate: &Candidate<'_>, redirected: bool) -> Option<Reason> {
    let matching = candidate.environment.matching;
    let requested = match explicit {
        Some(request) => is_requested(request, candidate),
        None => matching != Matching::Exact,
    };
    if matching == Matching::None {
        return Some(Reason::Disabled);
    }
    if !requested {
        return Some(Reason::NotRequested);
    }
    if redirected {
        return Some(Reason::Redirected);
    }
    match candidate.availability {
        Availability::Runnable => None,
        Availability::NotRunnable => Some(Reason::NotRunnable),
        Availability::ImageNotAllowed => Some(Reason::ImageNotAllowed),
    }
}

/// The best installation of one language. The derived order is by rank, equal versions by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Best<'a> {
    pub(super) rank: Rank<'a>,
    path: &'a str,
    /// Last: it decides only between two entries of one program.
    pub(super) installation: &'a Installation,
}

impl<'a> Best<'a> {
    /// An installation, if it satisfies a wish.
    pub(super) fn of(wish: &Wish<'_>, installation: &'a Installation) -> Option<Self> {
        Some(Self { rank: wish.rank(&installation.version)?, path: &installation.path, installation })
    }
}

/// A candidate that satisfies every demand, with the best installation of each demanded language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit<'a> {
    pub(super) candidate: &'a Candidate<'a>,
    /// In the order of [`Language::ALL`].
    pub(super) best: [Option<Best<'a>>; Language::ALL.len()],
}

/// Holds a candidate against every demand (rule 6): the first that fails, in the fixed order, is the reason.
pub(super) fn fit<'a>(wishes: &Wishes<'_>, candidate: &'a Candidate<'a>) -> Result<Fit<'a>, Reason> {
    let mut best = [None; Language::ALL.len()];
    for ((language, wish), best) in Language::ALL.into_iter().zip(wishes).zip(&mut best) {
        let Some(wish) = wish else { continue };
        let installed = candidate.environment.installed(language);
        if installed.is_empty() {
            return Err(Reason::LanguageMissing);
        }
        let satisfying = installed.iter().filter_map(|installation| Best::of(wish, installation));
        *best = Some(satisfying.min().ok_or(Reason::VersionUnsatisfied)?);
    }
    Ok(Fit { candidate, best })
}
