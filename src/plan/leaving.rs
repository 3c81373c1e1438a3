//! Items and environments that leave the desired state, and those that only changed their name. Budgets: `budget.rs`.

use std::collections::BTreeMap;

use super::chain::Chain;
use super::goal::{Goal, ItemGoal};
use super::item::ItemPlan;
use super::observed::{Observed, ObservedItem, Ownership, Phase, Record, Uid};
use super::operation::{Action, Payload, Precondition, Subject, Wait};
use super::wanted::WantedItem;
use crate::model::{Digest, ItemName, TreeId};

/// An item that is recorded and not wanted any more.
pub(super) struct Leaving<'a> {
    pub name: &'a ItemName,
    pub record: &'a Record<WantedItem>,
    /// The item it became, when it only moved.
    pub renamed_to: Option<&'a ItemName>,
}

/// The items that leave, in the order of their names. Records of somebody else are not ours to delete.
pub(super) fn leaving<'a>(goal: &Goal<'a>, observed: Observed<'a>) -> Vec<Leaving<'a>> {
    let gone = observed
        .registry
        .contents
        .iter()
        .filter(|(name, record)| !goal.items.contains_key(*name) && record.ownership == Ownership::Ours);
    let gone: Vec<_> = gone.collect();
    if gone.is_empty() {
        return Vec::new();
    }
    let mut heirs = Heirs::of(goal, observed);
    gone.into_iter().map(|(name, record)| Leaving { name, record, renamed_to: heirs.take(&record.form) }).collect()
}

/// Wanted items by what a renamed one is recognised by. Each is the heir of one item at most.
struct Heirs<'a> {
    by_id: BTreeMap<&'a str, &'a ItemName>,
    /// Those that are not recorded yet come last, and are taken first.
    by_tree: BTreeMap<TreeId, Vec<&'a ItemName>>,
}

impl<'a> Heirs<'a> {
    fn of(goal: &Goal<'a>, observed: Observed<'a>) -> Self {
        let mut heirs = Self { by_id: BTreeMap::new(), by_tree: BTreeMap::new() };
        let recorded = |name: &ItemName| observed.registry.contents.contains_key(name);
        for wants_recorded in [true, false] {
            for (name, goal) in goal.items.iter().filter(|(name, _)| recorded(name) == wants_recorded) {
                let ItemGoal::Wanted(wanted) = goal else { continue };
                if let Some(id) = &wanted.item.id {
                    heirs.by_id.insert(id, name);
                }
                heirs.by_tree.entry(wanted.item.tree).or_default().push(name);
            }
        }
        heirs
    }

    fn take(&mut self, form: &WantedItem) -> Option<&'a ItemName> {
        let by_id = form.id.as_deref().and_then(|id| self.by_id.remove(id));
        by_id.or_else(|| self.by_tree.get_mut(&form.tree)?.pop())
    }
}

/// Everything of an item is taken away: its address, its processes, its record. A renamed one goes when its heir
/// answers.
pub(super) fn remove(leaving: &Leaving<'_>, view: &ObservedItem) -> ItemPlan {
    let mut chain = Chain::new(leaving.name);
    let form = &leaving.record.form;
    let (why, after) = match leaving.renamed_to {
        Some(heir) => (format!("renamed to {heir}"), Some(Wait::Done { subject: Subject::service(&heir.slug()) })),
        None => ("it left the repository".to_owned(), None),
    };
    if let Some(service) = view.service.as_ref().filter(|service| service.ownership == Ownership::Ours) {
        let precondition = Precondition::Present { uid: service.uid.clone(), digest: service.digest };
        let subject = Subject::service(&form.slug);
        let before = serde_json::to_value(&service.target).ok();
        chain.push(Action::Delete, subject, &why, before, precondition, Payload::Nothing);
        chain.last_waits(after.clone());
    }
    for job in view.jobs.values().filter(|job| job.phase.is_active() && job.phase != Phase::Stopping) {
        chain.end_job(job, &why, after.clone());
    }
    let precondition = present(&leaving.record.uid, leaving.record.stored);
    let subject = Subject::Content(leaving.name.clone());
    let before = serde_json::to_value(form).ok();
    chain.push(Action::Delete, subject, &why, before, precondition, Payload::Nothing);
    chain.last_waits(after);
    chain.finish()
}

fn present(uid: &Uid, digest: Digest) -> Precondition {
    Precondition::Present { uid: uid.clone(), digest }
}
