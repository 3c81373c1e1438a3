//! What only shows across files: one image defined twice, one GUID twice, redirects that lead nowhere or in circles.

use std::collections::{BTreeMap, BTreeSet};

use super::{BrokenEntry, Entry, EnvironmentFile, codes};
use crate::model::{Diagnostic, Guid, ImageRef, Place};

/// All environments of a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Environments {
    /// The sound ones.
    pub entries: BTreeMap<ImageRef, Entry>,
    /// Those with an error: their records keep their last good state.
    pub broken: BTreeMap<ImageRef, BrokenEntry>,
    /// False when a file, or the name of an entry, could not be read: then no environment may be deleted.
    pub complete: bool,
    /// The problems of all files, and those between them.
    pub diagnostics: Vec<Diagnostic>,
}

impl Environments {
    /// Leaves an environment out because of a problem; it is named as broken, and its record stays as it is.
    pub fn leave_out(&mut self, name: &ImageRef, problem: Diagnostic) {
        if let Some(entry) = self.entries.remove(name) {
            self.broken.insert(name.clone(), entry.broken_by(problem.clone()));
        }
        self.diagnostics.push(problem);
    }
}

/// Joins what the files say.
///
/// When two entries define one image, both are left out: to take the first would let the name of a file decide which
/// one runs, and a person has to choose. The record keeps its last good state until somebody has.
pub fn join<'a>(files: impl IntoIterator<Item = &'a EnvironmentFile>) -> Environments {
    let mut all =
        Environments { entries: BTreeMap::new(), broken: BTreeMap::new(), complete: true, diagnostics: Vec::new() };
    let mut places: BTreeMap<&ImageRef, &Place> = BTreeMap::new();
    for file in files {
        all.complete &= file.readable;
        all.diagnostics.extend(file.diagnostics.iter().cloned());
        for broken in &file.broken {
            let Some(name) = &broken.name else {
                all.complete = false;
                continue;
            };
            places.entry(name).or_insert(&broken.place);
            all.entries.remove(name);
            all.broken.entry(name.clone()).or_insert_with(|| broken.clone());
        }
        for entry in &file.entries {
            let name = &entry.environment.name;
            if let Some(first) = places.get(name) {
                same_image(&mut all, entry, first);
            } else {
                places.insert(name, &entry.place);
                all.entries.insert(name.clone(), entry.clone());
            }
        }
    }
    same_guids(&mut all);
    redirects(&mut all);
    all
}

fn same_image(all: &mut Environments, entry: &Entry, first: &Place) {
    let name = &entry.environment.name;
    let message = format!("expected one entry for the image {name}, found another one at {first}");
    let help = "remove one of the two; until then neither is used, and the environment stays as it was";
    let problem = entry.error(&codes::SAME_IMAGE, message, help).with_related(first.clone(), "first defined here");
    all.leave_out(name, problem.clone());
    all.broken.entry(name.clone()).or_insert_with(|| entry.broken_by(problem));
}

fn same_guids(all: &mut Environments) {
    let mut owners: BTreeMap<Guid, Vec<ImageRef>> = BTreeMap::new();
    for entry in all.entries.values() {
        if let Some(guid) = entry.environment.guid {
            owners.entry(guid).or_default().push(entry.environment.name.clone());
        }
    }
    for (guid, names) in owners.into_iter().filter(|(_, names)| names.len() > 1) {
        let entries: Vec<Entry> = names.iter().filter_map(|name| all.entries.get(name).cloned()).collect();
        for entry in &entries {
            let other = entries.iter().find(|other| other.environment.name != entry.environment.name);
            let Some(other) = other else { continue };
            let message = format!("expected the guid {guid} once, found it again for {}", other.environment.name);
            let help = "remove it from the copy; a GUID is then derived from the image's name";
            let problem = entry.error(&codes::SAME_GUID, message, help);
            let problem = problem.with_related(other.place.clone(), "the same guid stands here");
            all.leave_out(&entry.environment.name, problem);
        }
    }
}

fn redirects(all: &mut Environments) {
    // A broken entry exists all the same: it is an error of its own, not one of those that redirect to it.
    let known: BTreeSet<ImageRef> = all.entries.keys().chain(all.broken.keys()).cloned().collect();
    let next: BTreeMap<ImageRef, ImageRef> = all
        .entries
        .iter()
        .filter_map(|(name, entry)| Some((name.clone(), entry.environment.redirect.as_ref()?.to.clone())))
        .collect();
    let circles = circles(&next);
    for (name, to) in &next {
        let Some(entry) = all.entries.get(name) else { continue };
        let problem = if !known.contains(to) {
            let message = format!("expected the redirect to lead to an image that a file defines, found {to}");
            entry.error(&codes::NO_SUCCESSOR, message, "define that image, or correct `redirect.to`")
        } else if let Some(steps) = circles.get(name) {
            let steps = if *steps == 1 { "one step".to_owned() } else { format!("{steps} steps") };
            let message = format!("expected the redirect to end somewhere, found that it leads back here in {steps}");
            entry.error(&codes::CYCLE, message, "remove the redirect of the image that should be used")
        } else {
            continue;
        };
        all.leave_out(name, problem);
    }
}

/// The images whose redirects lead back to them, and in how many steps. Every image is walked over once.
fn circles(next: &BTreeMap<ImageRef, ImageRef>) -> BTreeMap<&ImageRef, usize> {
    let mut circles = BTreeMap::new();
    let mut walked: BTreeSet<&ImageRef> = BTreeSet::new();
    for start in next.keys() {
        let mut way: Vec<&ImageRef> = Vec::new();
        let mut positions: BTreeMap<&ImageRef, usize> = BTreeMap::new();
        let mut at = start;
        while walked.insert(at) {
            positions.insert(at, way.len());
            way.push(at);
            let Some(to) = next.get(at) else { break };
            at = to;
        }
        // Where the walk ended on an image of its own way, that image and all after it go round.
        let round = positions.get(at).and_then(|first| way.get(*first..)).filter(|_| next.contains_key(at));
        for name in round.unwrap_or_default() {
            circles.insert(*name, round.map_or(0, <[_]>::len));
        }
    }
    circles
}
