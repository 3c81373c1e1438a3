//! Which installations satisfy a demand, and which is best (selection.md, 3). Knows nothing of environments.

use std::cmp::{Ordering, Reverse};

use super::Match;
use crate::model::{Constraint, Demand, Demands, Language, Policy, Strategy, Version};

/// What is asked of one language, ready to be held against many installations.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish<'a> {
    /// Every version; newest first.
    Any,
    /// Those inside; newest first.
    Inside(&'a Constraint),
    /// A version of one to three numbers, by a strategy.
    Version(&'a [u64], Strategy),
}

/// The wish for each language, in the order of [`Language::ALL`]; `None` where it is not demanded.
pub(super) type Wishes<'a> = [Option<Wish<'a>>; Language::ALL.len()];

/// What an item's demands wish for under a policy.
pub(super) fn wishes<'a>(demands: &'a Demands, policy: &Policy) -> Wishes<'a> {
    Language::ALL.map(|language| demands.languages.get(&language).map(|demand| Wish::of(language, demand, policy)))
}

/// How near a version is to what was asked, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    /// Every given number is equal, or no number was asked for.
    Equal,
    /// A later patch of the series.
    PatchAbove,
    /// An earlier patch of the series.
    PatchBelow,
    /// A later series.
    Higher,
    /// An earlier series.
    Lower,
}

/// The place of an installation among those that satisfy a wish: the least is the best, equal ranks are equal
/// versions. Holds no path, because paths never rank environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    nearness: Nearness,
    /// The numbers, every bit turned over where the newest comes first.
    numbers: [u64; 3],
    before_release: bool,
    /// Of pre-releases only: releases that differ in their suffix alone are equally good.
    suffix: Reverse<&'a str>,
}

impl<'a> Rank<'a> {
    fn new(nearness: Nearness, version: &'a Version) -> Self {
        let numbers = match nearness {
            Nearness::PatchAbove | Nearness::Higher => version.numbers(),
            Nearness::Equal | Nearness::PatchBelow | Nearness::Lower => version.numbers().map(|number| !number),
        };
        let before_release = version.is_before_release();
        Self { nearness, numbers, before_release, suffix: Reverse(if before_release { version.suffix() } else { "" }) }
    }
}

/// The series is major and minor, or the major number alone when no more was asked for.
fn nearness(requested: &[u64], version: [u64; 3]) -> Nearness {
    let series = if requested.len() < 2 { 1 } else { 2 };
    match version.iter().take(series).cmp(requested.iter().take(series)) {
        Ordering::Greater => Nearness::Higher,
        Ordering::Less => Nearness::Lower,
        Ordering::Equal => match requested.get(2).map(|patch| version[2].cmp(patch)) {
            // Inside the series everything is equal when no patch was asked for.
            None | Some(Ordering::Equal) => Nearness::Equal,
            Some(Ordering::Greater) => Nearness::PatchAbove,
            Some(Ordering::Less) => Nearness::PatchBelow,
        },
    }
}

impl<'a> Wish<'a> {
    /// What a demand wishes for. With a constraint the version is not used, not even for order.
    fn of(language: Language, demand: &'a Demand, policy: &Policy) -> Self {
        match (&demand.requires, &demand.version) {
            (Some(constraint), _) => Self::Inside(constraint),
            (None, Some(version)) => Self::Version(version.numbers(), policy.strategy(language)),
            (None, None) => Self::Any,
        }
    }

    /// Where a version stands among those that satisfy; `None` if it does not satisfy.
    pub(super) fn rank<'v>(&self, version: &'v Version) -> Option<Rank<'v>> {
        let nearness = match self {
            Self::Any => Nearness::Equal,
            Self::Inside(constraint) if constraint.contains(version) => Nearness::Equal,
            Self::Inside(_) => return None,
            Self::Version(requested, strategy) => {
                let nearness = nearness(requested, version.numbers());
                let furthest = match strategy {
                    Strategy::Exact => Nearness::Equal,
                    Strategy::MajorMinor => Nearness::PatchBelow,
                    Strategy::Nearest => Nearness::Lower,
                };
                if nearness > furthest {
                    return None;
                }
                nearness
            }
        };
        Some(Rank::new(nearness, version))
    }

    /// In people's words, how a version of this rank meets the wish.
    pub(super) fn how(&self, rank: Rank<'_>) -> Match {
        match (self, rank.nearness) {
            (Self::Any, _) => Match::Newest,
            (Self::Inside(_), _) => Match::Constraint,
            (_, Nearness::Equal) => Match::Equal,
            (_, Nearness::PatchAbove | Nearness::PatchBelow) => Match::SameSeries,
            (_, Nearness::Higher | Nearness::Lower) => Match::Nearest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RequestedVersion;

    /// The versions that satisfy, best first.
    fn sorted(requested: &str, strategy: Strategy, versions: &str) -> String {
        let requested: RequestedVersion = requested.parse().unwrap();
        best_first(Wish::Version(requested.numbers(), strategy), versions)
    }

    fn best_first(wish: Wish<'_>, versions: &str) -> String {
        let versions: Vec<Version> = versions.split_whitespace().map(|text| text.parse().unwrap()).collect();
        let mut ranked: Vec<_> = versions.iter().filter_map(|version| Some((wish.rank(version)?, version))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.iter().map(|(_, version)| version.to_string()).collect::<Vec<_>>().join(" ")
    }

    const ALL: &str = "2.7.18 3.9.1 3.11.2 3.11.4 3.11.5 3.11.9 3.12.0 3.13.1 4.0.0";

    #[test]
    fn strategies_in_the_order_of_the_table() {
        for (requested, strategy, expected) in [
            ("3.11.4", Strategy::Exact, "3.11.4"),
            ("3.11.3", Strategy::Exact, ""),
            ("3.11", Strategy::Exact, "3.11.9 3.11.5 3.11.4 3.11.2"),
            ("4", Strategy::Exact, "4.0.0"),
            ("3.11.4", Strategy::MajorMinor, "3.11.4 3.11.5 3.11.9 3.11.2"),
            ("3.11.6", Strategy::MajorMinor, "3.11.9 3.11.5 3.11.4 3.11.2"),
            ("3.11.99", Strategy::MajorMinor, "3.11.9 3.11.5 3.11.4 3.11.2"),
            ("3.11", Strategy::MajorMinor, "3.11.9 3.11.5 3.11.4 3.11.2"),
            ("3", Strategy::MajorMinor, "3.13.1 3.12.0 3.11.9 3.11.5 3.11.4 3.11.2 3.9.1"),
            ("3.10", Strategy::MajorMinor, ""),
            ("3.11.4", Strategy::Nearest, "3.11.4 3.11.5 3.11.9 3.11.2 3.12.0 3.13.1 4.0.0 3.9.1 2.7.18"),
            ("3.11", Strategy::Nearest, "3.11.9 3.11.5 3.11.4 3.11.2 3.12.0 3.13.1 4.0.0 3.9.1 2.7.18"),
            ("3", Strategy::Nearest, "3.13.1 3.12.0 3.11.9 3.11.5 3.11.4 3.11.2 3.9.1 4.0.0 2.7.18"),
            ("3.10.7", Strategy::Nearest, "3.11.2 3.11.4 3.11.5 3.11.9 3.12.0 3.13.1 4.0.0 3.9.1 2.7.18"),
            ("3.11.4+", Strategy::Exact, "3.11.4"),
        ] {
            assert_eq!(sorted(requested, strategy, ALL), expected, "{requested} {strategy}");
        }
    }

    #[test]
    fn a_constraint_and_no_wish_take_the_newest_first() {
        let constraint = Constraint::parse(Language::Python, ">=3.11,<3.13").unwrap();
        assert_eq!(best_first(Wish::Inside(&constraint), ALL), "3.12.0 3.11.9 3.11.5 3.11.4 3.11.2");
        assert_eq!(best_first(Wish::Any, "3.9.1 4.0.0 3.11.2"), "4.0.0 3.11.2 3.9.1");
    }

    #[test]
    fn suffixes_count_between_equal_numbers_only() {
        let releases = "3.13.0a9 3.13.0rc1 3.13.0 3.13.0rc2 3.12.9";
        assert_eq!(best_first(Wish::Any, releases), "3.13.0 3.13.0rc2 3.13.0rc1 3.13.0a9 3.12.9");
        // Ascending or descending, a release comes before its pre-releases.
        assert_eq!(sorted("3.12.1", Strategy::Nearest, "3.13.0rc1 3.13.0 3.14.0"), "3.13.0 3.13.0rc1 3.14.0");
        assert_eq!(sorted("3.13.1", Strategy::Nearest, "3.13.0rc1 3.13.0"), "3.13.0 3.13.0rc1");
        let (plain, patched): (Version, Version) = ("4.1.3".parse().unwrap(), "4.1.3 Patched".parse().unwrap());
        assert_eq!(Wish::Any.rank(&plain), Wish::Any.rank(&patched));
    }
}
