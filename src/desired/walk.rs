//! From the root of a commit to its items. What did not change since a former walk is taken over, directory by directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::ReadError;
use super::content_paths::ContentPaths;
use super::contents;
use super::item::{Found, Site};
use super::layout::{self, Lister, Listing, MOST_DEPTH, UNREADABLE, bad_name, join, shown_name};
use super::manifest::text::{MAX_BYTES, ManifestText};
use super::manifest::{self, Verdict};
use super::settings_rules::SettingsRules;
use super::snapshot::{Entry, EntryKind, Snapshot};
use super::source_text::Fault;
use super::unmanaged;
use crate::model::{BlobId, Code, Diagnostic, Digest, Place, Policy, Settings, TreeId};

/// A manifest that is no regular file.
pub const NOT_A_FILE: Code = Code::new("E0610");
/// A submodule among the items.
pub const SUBMODULE: Code = Code::new("W0603");
/// A manifest outside of `content.paths`.
pub const OUTSIDE: Code = Code::new("N0601");

/// The most names that are read anew in one walk: many times the largest repository known, and an end to trees that
/// repeat themselves.
const MOST_ENTRIES: usize = 2_000_000;
/// From this many directories on, several are read at the same time.
const WORTH_THREADS: usize = 16;
/// How many are read at the same time.
const THREADS: usize = 4;

/// What is the same for all items of a commit.
pub struct Context<'a> {
    /// The commit.
    pub snapshot: &'a dyn Snapshot,
    /// The policy in force.
    pub policy: &'a Policy,
    /// Its defaults, shared by the items that say nothing.
    pub defaults: Arc<Settings>,
    /// Its rules on settings.
    pub rules: SettingsRules,
    /// Where items are.
    pub paths: ContentPaths,
    /// The digest of everything above but the commit: a result stays good while it and the tree are the same.
    pub digest: Digest,
    read: AtomicUsize,
}

impl<'a> Context<'a> {
    /// The context of a commit under a policy.
    pub fn new(snapshot: &'a dyn Snapshot, policy: &'a Policy, has_content_directory: bool) -> Self {
        Self {
            snapshot,
            policy,
            defaults: Arc::new(policy.defaults.clone()),
            rules: SettingsRules::of(policy),
            paths: ContentPaths::of(policy, has_content_directory),
            digest: Digest::of_value(&(policy, has_content_directory)),
            read: AtomicUsize::new(0),
        }
    }
}

/// A directory that was walked: everything found in it and below.
#[derive(Debug)]
pub struct Node {
    tree: TreeId,
    context: Digest,
    quiet: bool,
    /// The items.
    pub found: Vec<Arc<Found>>,
    /// Problems that belong to no item.
    pub problems: Vec<Arc<Diagnostic>>,
    listing: Option<Arc<Listing>>,
    children: Vec<(Arc<str>, Arc<Node>)>,
}

impl Node {
    fn child(&self, name: &str) -> Option<&Arc<Self>> {
        let at = self.children.binary_search_by(|(found, _)| found.as_ref().cmp(name)).ok()?;
        self.children.get(at).map(|(_, node)| node)
    }

    /// Takes over what the directories below found, and keeps them for the next walk.
    fn adopt(&mut self, mut children: Vec<(Arc<str>, Arc<Self>)>) {
        self.found.reserve(children.iter().map(|(_, node)| node.found.len()).sum());
        for (_, child) in &children {
            self.found.extend(child.found.iter().cloned());
            self.problems.extend(child.problems.iter().cloned());
        }
        children.sort_by(|left, right| left.0.cmp(&right.0));
        self.children = children;
    }
}

/// A directory that has to be walked, and former walks of the same path.
struct Visit<'a> {
    path: &'a str,
    tree: TreeId,
    old: Vec<&'a Arc<Node>>,
    depth: usize,
    /// Whether a directory above was warned about: one warning is enough.
    quiet: bool,
    /// Whether this thread may start others.
    may_split: bool,
}

/// Walks a commit. `old` are former walks, newest first.
pub fn walk(context: &Context<'_>, old: &[Arc<Node>]) -> Result<Arc<Node>, ReadError> {
    let tree = context.snapshot.root();
    let old = old.iter().collect();
    visit(context, &Visit { path: "", tree, old, depth: 0, quiet: false, may_split: true })
}

fn visit(context: &Context<'_>, visit: &Visit<'_>) -> Result<Arc<Node>, ReadError> {
    let same =
        |node: &&&Arc<Node>| node.tree == visit.tree && node.context == context.digest && node.quiet == visit.quiet;
    if let Some(node) = visit.old.iter().find(same) {
        return Ok(Arc::clone(node));
    }
    let unreadable = |source| ReadError::Unreadable { directory: visit.path.to_owned(), source };
    let entries = context.snapshot.directory(visit.tree).map_err(unreadable)?;
    if context.read.fetch_add(1 + entries.len(), Ordering::Relaxed) >= MOST_ENTRIES {
        return Err(ReadError::TooMuch { directory: visit.path.to_owned(), limit: MOST_ENTRIES });
    }
    let mut node = Node {
        tree: visit.tree,
        context: context.digest,
        quiet: visit.quiet,
        found: Vec::new(),
        problems: Vec::new(),
        listing: None,
        children: Vec::new(),
    };
    match manifest_in(context, visit.path, &entries, &mut node.problems) {
        Some(manifest) => item(context, visit, manifest, &mut node)?,
        None => container(context, visit, &entries, &mut node)?,
    }
    Ok(Arc::new(node))
}

/// The manifest of an item.
struct Opened {
    blob: BlobId,
    read: Result<(ManifestText, Value), Fault>,
}

/// The manifest of the item in a directory; `None` where there is no item.
fn manifest_in(
    context: &Context<'_>,
    directory: &str,
    entries: &[Entry],
    problems: &mut Vec<Arc<Diagnostic>>,
) -> Option<Opened> {
    let entry = entries.iter().find(|entry| entry.name == b"manifest.json")?;
    let is_item = context.paths.is_item(directory);
    // Outside of content.paths only the root is worth a look: there people expect their manifest to be read.
    if !is_item && !directory.is_empty() {
        return None;
    }
    let opened = open(context, directory, entry.kind)?;
    let other = opened.read.as_ref().is_ok_and(|(_, value)| matches!(manifest::verdict(value), Verdict::Other));
    let place = || Place::file(join(directory, "manifest.json"));
    match (other, is_item) {
        (false, true) => return Some(opened),
        (false, false) => {
            let message = "this manifest is outside of content.paths, so it makes no item";
            let help = "move the content below content/, or set content.paths in wharf.yaml";
            problems.push(Arc::new(Diagnostic::note(OUTSIDE, place(), message).with_help(help)));
        }
        (true, true) => {
            let message = "this manifest.json has no metadata.appmode and looks like something else; it makes no item";
            let help = "add metadata.appmode if it was meant to be content";
            problems.push(Arc::new(Diagnostic::note(manifest::OTHER_KIND, place(), message).with_help(help)));
        }
        (true, false) => {}
    }
    None
}

/// Reads what is called manifest.json. Only a directory of that name is certainly no manifest.
fn open(context: &Context<'_>, directory: &str, kind: EntryKind) -> Option<Opened> {
    let file: Arc<str> = join(directory, "manifest.json").into();
    let wrong = |found: &str| {
        let message = format!("expected a regular file, found {found}");
        let place = Place::file(Arc::clone(&file));
        Err(Diagnostic::error(NOT_A_FILE, place, message).with_help("commit the manifest itself").into())
    };
    let (blob, read) = match kind {
        EntryKind::Directory(_) => return None,
        EntryKind::File { blob, .. } => {
            let read = context.snapshot.blob(blob, MAX_BYTES).map_err(|error| {
                let message = format!("expected to read the manifest, found that {error}");
                let problem = Diagnostic::error(UNREADABLE, Place::file(Arc::clone(&file)), message);
                Fault::from(problem.with_help("the item stays as it was"))
            });
            (blob, read.and_then(|bytes| ManifestText::read(&file, bytes)))
        }
        EntryKind::Symlink(blob) => (blob, wrong("a symbolic link")),
        EntryKind::Submodule => (BlobId::from_bytes([0; 20]), wrong("a submodule")),
    };
    Some(Opened { blob, read })
}

/// An item, and the items in deeper directories of it.
fn item(context: &Context<'_>, visit: &Visit<'_>, manifest: Opened, node: &mut Node) -> Result<(), ReadError> {
    let old: Vec<&Arc<Listing>> = visit.old.iter().filter_map(|node| node.listing.as_ref()).collect();
    let listed = Lister::new(context.snapshot).list(visit.tree, &old, visit.depth);
    let unreadable = |source| ReadError::Unreadable { directory: visit.path.to_owned(), source };
    let listing = listed.map_err(unreadable)?;
    let is_item = |directory: &str| context.paths.is_item(directory);
    let mut contents = contents::contents(&listing, visit.path, &context.policy.limits, &is_item);
    let nested = std::mem::take(&mut contents.nested);
    node.listing = Some(listing);
    let Opened { blob, read } = manifest;
    let site = Site { directory: visit.path, tree: visit.tree, manifest_blob: blob, manifest: read, contents };
    node.found.push(Arc::new(Found::read(context, site)));
    let mut children = Vec::with_capacity(nested.len());
    for (name, tree) in nested {
        let path = join(visit.path, &name);
        let old = visit.old.iter().filter_map(|node| node.child(&name)).collect();
        let depth = visit.depth + name.split('/').count();
        let deeper = Visit { path: &path, tree, old, depth, quiet: visit.quiet, may_split: false };
        children.push((Arc::from(name), self::visit(context, &deeper)?));
    }
    node.adopt(children);
    Ok(())
}

/// A directory that is no item: its directories are walked, and a warning is due if it looks like one.
fn container(context: &Context<'_>, visit: &Visit<'_>, entries: &[Entry], node: &mut Node) -> Result<(), ReadError> {
    let warning = if visit.quiet || !context.paths.is_item(visit.path) {
        None
    } else {
        unmanaged::warning(context.snapshot, visit.path, entries)
    };
    let quiet = visit.quiet || warning.is_some();
    node.problems.extend(warning.map(Arc::new));
    let mut deeper: Vec<Below> = Vec::new();
    let mut former: Vec<Beside<'_>> = visit.old.iter().map(|node| Beside { node, at: 0 }).collect();
    for entry in entries {
        if let Some(below) = known(context, &mut former, entry, quiet) {
            deeper.push(below);
            continue;
        }
        let name = std::str::from_utf8(&entry.name).ok().filter(|_| bad_name(&entry.name).is_none());
        let path = || join(visit.path, &shown_name(&entry.name));
        match (entry.kind, name) {
            (EntryKind::Directory(_), Some(_)) if visit.depth >= MOST_DEPTH => {
                let message = format!("expected at most {MOST_DEPTH} directories inside each other, found more");
                let error = Diagnostic::error(layout::FILE_COUNT, Place::file(path()), message);
                node.problems.push(Arc::new(error.with_help("move it up; nothing in it is read")));
            }
            (EntryKind::Directory(tree), Some(name)) => {
                let path = join(visit.path, name);
                if context.paths.may_hold(&path) {
                    deeper.push(Below { name: name.into(), path, tree, walked: None });
                }
            }
            (EntryKind::Directory(_), None) if context.paths.is_item(visit.path) => {
                let reason = bad_name(&entry.name).unwrap_or_default();
                let message = format!("expected the name of an item, found a directory whose name {reason}");
                let error = Diagnostic::error(layout::NAME, Place::file(path()), message);
                node.problems.push(Arc::new(error.with_help("rename the directory; nothing in it is read")));
            }
            (EntryKind::Submodule, _) if context.paths.may_hold(&path()) => {
                let message = "expected content, found a submodule, whose files are in another repository";
                let warning = Diagnostic::warning(SUBMODULE, Place::file(path()), message);
                node.problems
                    .push(Arc::new(warning.with_help("commit the files themselves; submodules are never fetched")));
            }
            _ => {}
        }
    }
    walk_all(context, visit, quiet, &mut deeper);
    let walked = deeper.into_iter().filter_map(|below| Some((below.name, below.walked?)));
    node.adopt(walked.map(|(name, node)| Ok((name, node?))).collect::<Result<_, ReadError>>()?);
    Ok(())
}

/// A directory in one that is walked.
struct Below {
    name: Arc<str>,
    /// From the root; not needed where the result is known.
    path: String,
    tree: TreeId,
    walked: Option<Result<Arc<Node>, ReadError>>,
}

/// A former walk of the directory that is walked, and the place in it. Both are nearly in the same order, so that the
/// next name mostly stands at the next place.
struct Beside<'a> {
    node: &'a Node,
    at: usize,
}

impl<'a> Beside<'a> {
    fn find(&mut self, name: &str) -> Option<&'a (Arc<str>, Arc<Node>)> {
        let children = &self.node.children;
        if children.get(self.at).is_none_or(|(found, _)| **found != *name) {
            self.at = children.binary_search_by(|(found, _)| found.as_ref().cmp(name)).ok()?;
        }
        self.at += 1;
        children.get(self.at - 1)
    }
}

/// A directory that a former walk knows as it is now. This is what ten thousand unchanged items cost: no copy, no path.
fn known(context: &Context<'_>, former: &mut [Beside<'_>], entry: &Entry, quiet: bool) -> Option<Below> {
    let EntryKind::Directory(tree) = entry.kind else { return None };
    let name = std::str::from_utf8(&entry.name).ok()?;
    let same = |node: &Node| node.tree == tree && node.context == context.digest && node.quiet == quiet;
    let (name, node) = former.iter_mut().filter_map(|beside| beside.find(name)).find(|(_, node)| same(node))?;
    Some(Below { name: Arc::clone(name), path: String::new(), tree, walked: Some(Ok(Arc::clone(node))) })
}

/// Walks the directories that are not known yet. If they are many, threads share them.
fn walk_all(context: &Context<'_>, above: &Visit<'_>, quiet: bool, directories: &mut [Below]) {
    let left: Vec<usize> =
        directories.iter().enumerate().filter(|(_, below)| below.walked.is_none()).map(|(at, _)| at).collect();
    let split = above.may_split && left.len() >= WORTH_THREADS;
    let all = &*directories;
    let one = |at: usize| {
        let below = all.get(at)?;
        let next = Visit {
            path: &below.path,
            tree: below.tree,
            old: above.old.iter().filter_map(|node| node.child(&below.name)).collect(),
            depth: above.depth + 1,
            quiet,
            may_split: above.may_split && !split,
        };
        Some((at, visit(context, &next)))
    };
    let results = if split { on_threads(&left, &one) } else { left.iter().filter_map(|at| one(*at)).collect() };
    for (at, result) in results {
        if let Some(below) = directories.get_mut(at) {
            below.walked = Some(result);
        }
    }
}

/// Runs a function over a list on a few threads, each taking the next that nobody has taken.
fn on_threads<R: Send>(list: &[usize], one: &(impl Fn(usize) -> Option<R> + Sync)) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let taken = std::iter::from_fn(|| list.get(next.fetch_add(1, Ordering::Relaxed)));
        taken.filter_map(|at| one(*at)).collect::<Vec<R>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.flat_map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
