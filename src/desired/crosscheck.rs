//! What only shows across items: one name for two directories, one `id` for two items. Across environments: `environments::join`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::BrokenItem;
use super::item::Found;
use super::layout::join;
use crate::model::{Code, Diagnostic, Item, ItemName, Place};

/// Two directories with one name.
pub const SAME_NAME: Code = Code::new("E0608");
/// Two items with one `id`.
pub const SAME_ID: Code = Code::new("E0414");

/// The items of a commit.
#[derive(Debug, Default)]
pub struct Items {
    /// The sound ones.
    pub items: BTreeMap<ItemName, Arc<Item>>,
    /// The others.
    pub broken: BTreeMap<ItemName, BrokenItem>,
    /// Problems between items.
    pub problems: Vec<Diagnostic>,
}

/// Names the items. Where two have one name or one `id`, both are broken: which of them a record belongs to is not known,
/// and to take the first would let the order of files decide.
pub fn items(found: &[Arc<Found>]) -> Items {
    let mut named: Vec<(&ItemName, &Arc<Found>)> =
        found.iter().filter_map(|found| Some((found.name.as_ref()?, found))).collect();
    named.sort_by(|left, right| left.0.cmp(right.0));
    let mut all = Items::default();
    let mut sound = Vec::with_capacity(named.len());
    for group in named.chunk_by(|left, right| left.0 == right.0) {
        match group {
            [(name, one)] => match &one.outcome {
                Ok(item) => sound.push(((*name).clone(), Arc::clone(item))),
                Err(first) => all.add_broken(name, &one.directory, (**first).clone()),
            },
            [(name, one), (_, other), ..] => all.same_name(name, one, other),
            [] => {}
        }
    }
    // The list is sorted, so that the map is built in one go.
    all.items = sound.into_iter().collect();
    all.same_ids();
    all
}

impl Items {
    fn add_broken(&mut self, name: &ItemName, directory: &Arc<str>, first: Diagnostic) {
        self.broken.insert(name.clone(), BrokenItem { directory: Arc::clone(directory), first });
    }

    fn same_name(&mut self, name: &ItemName, one: &Found, other: &Found) {
        let place = |found: &Found| Place::file(join(&found.directory, "manifest.json"));
        let message = format!("expected one item called {name}, found another one in {:?}", &*one.directory);
        let problem = Diagnostic::error(SAME_NAME, place(other), message)
            .with_help("rename one of the directories, or set `root_item` in wharf.yaml")
            .with_related(place(one), "the other one");
        self.add_broken(name, &other.directory, problem.clone());
        self.problems.push(problem);
    }

    fn same_ids(&mut self) {
        let mut owners: HashMap<&str, Vec<&Arc<Item>>> = HashMap::new();
        for item in self.items.values() {
            if let Some(id) = &item.settings.id {
                owners.entry(id).or_default().push(item);
            }
        }
        let mut shared: Vec<(String, Vec<Arc<Item>>)> = owners
            .into_iter()
            .filter(|(_, items)| items.len() > 1)
            .map(|(id, items)| (id.to_owned(), items.into_iter().cloned().collect()))
            .collect();
        shared.sort_by(|left, right| left.0.cmp(&right.0));
        for (id, items) in shared {
            for item in &items {
                let Some(other) = items.iter().find(|other| other.name != item.name) else { continue };
                let place = |item: &Item| Place::file(join(&item.directory, "content.yaml"));
                let message = format!("expected the id {id:?} once, found it again for {}", other.name);
                let problem = Diagnostic::error(SAME_ID, place(item), message)
                    .with_help("remove it from the copy; an id belongs to one item, also when it moves")
                    .with_related(place(other), "the same id stands here");
                self.items.remove(&item.name);
                self.add_broken(&item.name, &item.directory, problem.clone());
                self.problems.push(problem);
            }
        }
    }
}
