//! How much may be deleted or moved at once, and what lets more through (plan.md, "Safety").

use std::collections::BTreeSet;

use super::memory::{Approved, Memory};
use super::operation::Blocked;
use crate::model::{Budget, Digest};

/// Managed things from which on a percentage counts; below it one of three would be a third.
const PERCENT_FROM: usize = 20;

/// The id of a set: what `wharf approve` takes.
pub fn approval_id(things: &BTreeSet<Approved>) -> String {
    Digest::of_value(things).prefix(12)
}

/// Whether these deletions are too many. `managed` counts all items and environments recorded.
pub(super) fn deletions(
    things: BTreeSet<Approved>,
    managed: usize,
    budget: Budget,
    memory: &Memory,
) -> Option<Blocked> {
    let count = things.len();
    let over_count = u32::try_from(count).is_ok_and(|count| count > budget.max_deletions);
    let over_percent = over_percent(count, managed, budget.max_deletions_percent);
    if !(over_count || over_percent) || is_approved(&things, memory) {
        return None;
    }
    let reason = if over_count {
        format!("{count} deletions, and deletions.max_count allows {}", budget.max_deletions)
    } else {
        let percent = budget.max_deletions_percent;
        format!("{count} of {managed} would be deleted, and deletions.max_percent allows {percent} %")
    };
    Some(blocked("deletions", things, reason))
}

/// Whether these moves are too many. `managed` counts the items recorded.
pub(super) fn moves(things: BTreeSet<Approved>, managed: usize, budget: Budget, memory: &Memory) -> Option<Blocked> {
    let count = things.len();
    if !over_percent(count, managed, budget.max_moves_percent) || is_approved(&things, memory) {
        return None;
    }
    let percent = budget.max_moves_percent;
    let reason = format!(
        "{count} of {managed} items would move to another image or interpreter although their files did not change, \
         and moves.max_percent allows {percent} %"
    );
    Some(blocked("moves", things, reason))
}

fn over_percent(count: usize, managed: usize, percent: u8) -> bool {
    managed >= PERCENT_FROM && count * 100 > managed * usize::from(percent)
}

/// An approval is valid for any part of what was approved.
fn is_approved(things: &BTreeSet<Approved>, memory: &Memory) -> bool {
    memory.approvals.iter().any(|approved| things.is_subset(approved))
}

fn blocked(budget: &str, things: BTreeSet<Approved>, reason: String) -> Blocked {
    Blocked { budget: budget.to_owned(), approval: approval_id(&things), things: things.into_iter().collect(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(count: usize) -> BTreeSet<Approved> {
        let thing = |number| Approved { kind: "item".into(), name: format!("a{number}"), uid: format!("u{number}") };
        (0..count).map(thing).collect()
    }

    #[test]
    fn a_percentage_counts_from_twenty_things_up() {
        let budget = Budget::default();
        let memory = Memory::default();
        assert!(deletions(things(10), 19, budget, &memory).is_none());
        assert!(deletions(things(4), 20, budget, &memory).is_none());
        assert!(deletions(things(5), 20, budget, &memory).is_some());
        assert!(deletions(things(11), 1000, budget, &memory).is_some());
        assert!(moves(things(19), 19, budget, &memory).is_none());
    }

    #[test]
    fn an_approval_covers_any_part_and_nothing_more() {
        let memory = Memory { approvals: vec![things(12)], ..Memory::default() };
        assert!(deletions(things(12), 100, Budget::default(), &memory).is_none());
        assert!(deletions(things(11), 100, Budget::default(), &memory).is_none());
        assert!(deletions(things(13), 100, Budget::default(), &memory).is_some());
    }
}
