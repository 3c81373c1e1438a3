//! What lies below an item's directory: its files, what is refused, and deeper items (plan.md, "The repository is not
//! trusted"). Which of them are the item's: `contents`.

use std::collections::HashMap;
use std::sync::Arc;

use super::manifest::{self, Verdict};
use super::snapshot::{EntryKind, Snapshot, Unreadable};
use crate::model::{BlobId, Code, Severity, TreeId};

/// A symbolic link that does not lead to a file of its item.
pub const SYMLINK: Code = Code::new("E0601");
/// A commit of another repository inside an item.
pub const SUBMODULE: Code = Code::new("E0602");
/// A pointer to a file that Git LFS keeps elsewhere.
pub const LARGE_FILE_POINTER: Code = Code::new("E0603");
/// A name that no file may have.
pub const NAME: Code = Code::new("E0604");
/// A file over the limit.
pub const FILE_SIZE: Code = Code::new("E0605");
/// An item over the limit.
pub const ITEM_SIZE: Code = Code::new("E0606");
/// Too many files, or directories too deep.
pub const FILE_COUNT: Code = Code::new("E0607");
/// An object that cannot be read.
pub const UNREADABLE: Code = Code::new("E0609");
/// Two names that are one on some systems.
pub const CASE: Code = Code::new("W0602");

/// The largest file, in bytes.
pub const MOST_FILE_BYTES: u64 = 64 << 20;
/// The largest item, in bytes.
pub const MOST_ITEM_BYTES: u64 = 512 << 20;
/// The most files of an item.
pub const MOST_FILES: u64 = 20_000;
/// The deepest directory, counted from the root of what is read.
pub const MOST_DEPTH: usize = 64;
/// Sizes between which a file may be an LFS pointer, in bytes (Git LFS, specification: less than 1024).
const POINTER_BYTES: std::ops::RangeInclusive<u64> = 100..=1024;
/// The longest target of a symbolic link, in bytes, as on Linux.
const MOST_LINK_BYTES: u64 = 4096;
/// How an LFS pointer starts.
const POINTER_START: &[u8] = b"version https://git-lfs.github.com/spec/";

/// One directory of an item, with everything below it. It depends on the tree alone, so it is kept as long as the tree is.
#[derive(Debug)]
pub struct Listing {
    /// The directory.
    pub tree: TreeId,
    /// Whether it holds the manifest of an item of its own.
    pub(super) is_item: bool,
    pub(super) files: Vec<ListedFile>,
    pub(super) links: Vec<(Arc<str>, String)>,
    pub(super) folders: Vec<(Arc<str>, Arc<Listing>)>,
    pub(super) refusals: Vec<Refusal>,
}

#[derive(Debug)]
pub(super) struct ListedFile {
    pub(super) name: Arc<str>,
    pub(super) blob: BlobId,
    pub(super) size: u64,
    pub(super) executable: bool,
}

/// A name in a directory that cannot be part of an item, or not without a warning.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) name: String,
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Why a name can be no file's, if so.
pub fn bad_name(name: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(name) else { return Some("is not UTF-8") };
    match text {
        "" => Some("is empty"),
        "." | ".." => Some("leads to another directory"),
        _ if text.eq_ignore_ascii_case(".git") => Some("belongs to Git itself"),
        _ if text.contains(['/', '\\']) => Some("holds a slash or a backslash"),
        _ if text.chars().any(char::is_control) => Some("holds a control character"),
        _ => None,
    }
}

/// A name for people: control characters escaped, other bytes replaced.
pub fn shown_name(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for letter in String::from_utf8_lossy(name).chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// A path below a directory; the root is "".
pub fn join(directory: &str, name: &str) -> String {
    match (directory, name) {
        ("", only) | (only, "") => only.to_owned(),
        (directory, name) => format!("{directory}/{name}"),
    }
}

/// Lists directories, each tree once: a tree that repeats another a thousand times costs no more.
pub struct Lister<'a> {
    snapshot: &'a dyn Snapshot,
    seen: HashMap<TreeId, Arc<Listing>>,
}

impl<'a> Lister<'a> {
    /// Starts on an item.
    pub fn new(snapshot: &'a dyn Snapshot) -> Self {
        Self { snapshot, seen: HashMap::new() }
    }

    /// Lists the directory of an item. `old` are former listings of the same directory; what did not change is taken over.
    pub fn list(&mut self, tree: TreeId, old: &[&Arc<Listing>], depth: usize) -> Result<Arc<Listing>, Unreadable> {
        self.directory(tree, old, depth, true)
    }

    fn directory(
        &mut self,
        tree: TreeId,
        old: &[&Arc<Listing>],
        depth: usize,
        top: bool,
    ) -> Result<Arc<Listing>, Unreadable> {
        if let Some(same) = old.iter().find(|listing| listing.tree == tree) {
            return Ok(Arc::clone(same));
        }
        if let Some(same) = self.seen.get(&tree) {
            return Ok(Arc::clone(same));
        }
        let mut listing = Listing {
            tree,
            is_item: top,
            files: Vec::new(),
            links: Vec::new(),
            folders: Vec::new(),
            refusals: Vec::new(),
        };
        for entry in self.snapshot.directory(tree)? {
            match (bad_name(&entry.name), std::str::from_utf8(&entry.name)) {
                (None, Ok(name)) => self.entry(&mut listing, name.into(), entry.kind, old, depth)?,
                (problem, _) => listing.refuse_name(&entry.name, problem.unwrap_or("is not UTF-8")),
            }
        }
        listing.folders.sort_by(|left, right| left.0.cmp(&right.0));
        listing.warn_of_equal_names();
        let listing = Arc::new(listing);
        // The top is an item without a look at its manifest, which must not be taken for the same tree further below.
        if !top {
            self.seen.insert(tree, Arc::clone(&listing));
        }
        Ok(listing)
    }

    /// Adds one entry. A directory that cannot be read ends everything: which items lie below it is not known, so
    /// going on would delete them.
    fn entry(
        &mut self,
        listing: &mut Listing,
        name: Arc<str>,
        kind: EntryKind,
        old: &[&Arc<Listing>],
        depth: usize,
    ) -> Result<(), Unreadable> {
        match kind {
            EntryKind::Directory(tree) => self.folder(listing, name, tree, old, depth)?,
            EntryKind::File { blob, executable } => self.file(listing, name, blob, executable),
            EntryKind::Symlink(blob) => match self.snapshot.blob(blob, MOST_LINK_BYTES) {
                Ok(target) => listing.links.push((name, String::from_utf8_lossy(&target).into_owned())),
                Err(error) => listing.refuse_object(&name, &error),
            },
            EntryKind::Submodule => listing.refuse(
                &name,
                SUBMODULE,
                "expected a file or a directory, found a submodule, whose files are in another repository".to_owned(),
                "commit the files themselves; submodules are never fetched",
            ),
        }
        Ok(())
    }

    fn folder(
        &mut self,
        listing: &mut Listing,
        name: Arc<str>,
        tree: TreeId,
        old: &[&Arc<Listing>],
        depth: usize,
    ) -> Result<(), Unreadable> {
        if depth >= MOST_DEPTH {
            let message = format!("expected at most {MOST_DEPTH} directories inside each other, found more");
            listing.refuse(&name, FILE_COUNT, message, "move the files up");
            return Ok(());
        }
        let below = |listing: &&Arc<Listing>| {
            let at = listing.folders.binary_search_by(|(found, _)| found.as_ref().cmp(&name)).ok()?;
            listing.folders.get(at).map(|(_, folder)| Arc::clone(folder))
        };
        let older: Vec<Arc<Listing>> = old.iter().filter_map(below).collect();
        let older: Vec<&Arc<Listing>> = older.iter().collect();
        let folder = self.directory(tree, &older, depth + 1, false)?;
        listing.folders.push((name, folder));
        Ok(())
    }

    fn file(&mut self, listing: &mut Listing, name: Arc<str>, blob: BlobId, executable: bool) {
        let size = match self.snapshot.size(blob) {
            Ok(size) => size,
            Err(error) => return listing.refuse_object(&name, &error),
        };
        let bytes = if POINTER_BYTES.contains(&size) { self.snapshot.blob(blob, size).ok() } else { None };
        if bytes.is_some_and(|bytes| bytes.starts_with(POINTER_START)) {
            let message = "expected a file, found the pointer of Git LFS to one that is kept elsewhere".to_owned();
            let help = "commit the file itself (`git lfs untrack` and add it again), or fetch it when the content runs";
            return listing.refuse(&name, LARGE_FILE_POINTER, message, help);
        }
        if &*name == "manifest.json" && !listing.is_item {
            // What cannot be read is one that broke: it owns its directory all the same.
            let read = self.snapshot.blob(blob, manifest::text::MAX_BYTES);
            listing.is_item = read.map_or(true, |bytes| matches!(manifest::verdict_of_bytes(bytes), Verdict::Item));
        }
        listing.files.push(ListedFile { name, blob, size, executable });
    }
}

impl Listing {
    fn refuse(&mut self, name: &str, code: Code, message: String, help: &'static str) {
        self.refusals.push(Refusal { name: name.to_owned(), severity: Severity::Error, code, message, help });
    }

    fn refuse_name(&mut self, name: &[u8], problem: &str) {
        let message = format!("expected a name that every system can hold, found one that {problem}");
        self.refuse(&shown_name(name), NAME, message, "rename the file");
    }

    fn refuse_object(&mut self, name: &str, error: &Unreadable) {
        self.refuse(name, UNREADABLE, format!("expected to read it, found that {error}"), "the item stays as it was");
    }

    fn warn_of_equal_names(&mut self) {
        let names = self.files.iter().map(|file| &file.name).chain(self.folders.iter().map(|(name, _)| name));
        let mut folded: Vec<(String, &Arc<str>)> = names.map(|name| (name.to_lowercase(), name)).collect();
        folded.sort();
        let equal: Vec<Refusal> = folded
            .windows(2)
            .filter_map(|pair| {
                let [(left, one), (right, other)] = pair else { return None };
                (left == right).then(|| Refusal {
                    name: other.to_string(),
                    severity: Severity::Warning,
                    code: CASE,
                    message: format!("expected names that differ in more than case, found {one} and {other}"),
                    help: "rename one: on macOS and Windows only one of them can be checked out",
                })
            })
            .collect();
        self.refusals.extend(equal);
    }
}
