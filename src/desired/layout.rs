//! What lies below an item's directory: its files, what is refused, and deeper items (plan.md, "The repository is not
//! trusted"). What the files say is read elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use super::manifest::{self, Verdict};
use super::snapshot::{EntryKind, Snapshot, Unreadable};
use crate::model::{BlobId, Code, Diagnostic, FileEntry, Limits, Place, Severity, TreeId};

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
    is_item: bool,
    files: Vec<ListedFile>,
    links: Vec<(Arc<str>, String)>,
    folders: Vec<(Arc<str>, Arc<Listing>)>,
    refusals: Vec<Refusal>,
}

#[derive(Debug)]
struct ListedFile {
    name: Arc<str>,
    blob: BlobId,
    size: u64,
    executable: bool,
}

/// A name in a directory that cannot be part of an item, or not without a warning.
#[derive(Debug)]
struct Refusal {
    name: String,
    severity: Severity,
    code: Code,
    message: String,
    help: &'static str,
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
    let text = String::from_utf8_lossy(name);
    text.chars().fold(String::with_capacity(text.len()), |mut shown, letter| {
        if letter.is_control() {
            shown.extend(letter.escape_default())
        } else {
            shown.push(letter)
        }
        shown
    })
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

/// The files of an item, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Contents {
    /// Sorted by path.
    pub files: Vec<FileEntry>,
    /// The directories of deeper items, from the item's directory, and their trees.
    pub nested: Vec<(String, TreeId)>,
    /// What is refused, with places from the root of what is read.
    pub problems: Vec<Diagnostic>,
}

/// Collects the files of an item from its listing.
struct Collector<'a> {
    directory: &'a str,
    is_item: &'a dyn Fn(&str) -> bool,
    most_file_bytes: u64,
    most_files: usize,
    visited: usize,
    bytes: u64,
    links: Vec<(String, String)>,
    contents: Contents,
}

/// The files of an item that lies in `directory`. `is_item` says whether a deeper directory with a manifest is an item.
pub fn contents(listing: &Listing, directory: &str, limits: &Limits, is_item: &dyn Fn(&str) -> bool) -> Contents {
    let mut collector = Collector {
        directory,
        is_item,
        most_file_bytes: limits.file_size.map_or(MOST_FILE_BYTES, |limit| limit.min(MOST_FILE_BYTES)),
        most_files: usize::try_from(limits.file_count.map_or(MOST_FILES, |limit| limit.min(MOST_FILES)))
            .unwrap_or(usize::MAX),
        visited: 0,
        bytes: 0,
        links: Vec::new(),
        contents: Contents::default(),
    };
    collector.folder(listing, "");
    collector.totals();
    let mut contents = collector.finish();
    contents.files.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    contents
}

impl Collector<'_> {
    fn problem(&mut self, severity: Severity, code: Code, path: &str, message: String, help: &str) {
        let place = Place::file(join(self.directory, path));
        self.contents.problems.push(Diagnostic::new(severity, code, Some(place), message).with_help(help));
    }

    fn is_full(&self) -> bool {
        self.contents.files.len() > self.most_files || self.visited > 2 * self.most_files
    }

    fn folder(&mut self, listing: &Listing, path: &str) {
        self.visited += 1;
        if self.is_full() {
            return;
        }
        for file in &listing.files {
            let path = join(path, &file.name);
            if file.size > self.most_file_bytes {
                let message = format!(
                    "expected a file of at most {}, found {}",
                    crate::model::Memory(self.most_file_bytes),
                    crate::model::Memory(file.size)
                );
                let help = "keep large data outside the repository and fetch it when the content runs";
                self.problem(Severity::Error, FILE_SIZE, &path, message, help);
            }
            self.bytes = self.bytes.saturating_add(file.size);
            self.contents.files.push(FileEntry { path: path.into(), blob: file.blob, executable: file.executable });
        }
        for refusal in &listing.refusals {
            self.problem(
                refusal.severity,
                refusal.code.clone(),
                &join(path, &refusal.name),
                refusal.message.clone(),
                refusal.help,
            );
        }
        self.links.extend(listing.links.iter().map(|(name, target)| (join(path, name), target.clone())));
        for (name, folder) in &listing.folders {
            let path = join(path, name);
            if folder.is_item && (self.is_item)(&join(self.directory, &path)) {
                self.contents.nested.push((path, folder.tree));
            } else {
                self.folder(folder, &path);
            }
        }
    }

    fn totals(&mut self) {
        if self.is_full() {
            let message = format!("expected at most {} files in an item, found more", self.most_files);
            self.problem(
                Severity::Error,
                FILE_COUNT,
                "",
                message,
                "keep data and installed packages out of the repository",
            );
        }
        if self.bytes > MOST_ITEM_BYTES {
            let message = format!(
                "expected an item of at most {}, found {}",
                crate::model::Memory(MOST_ITEM_BYTES),
                crate::model::Memory(self.bytes)
            );
            let help = "keep large data outside the repository and fetch it when the content runs";
            self.problem(Severity::Error, ITEM_SIZE, "", message, help);
        }
    }

    /// A link to a file of the item becomes a copy of it: bundles then hold no links at all, and none can lead outside.
    fn finish(mut self) -> Contents {
        let links = std::mem::take(&mut self.links);
        if links.is_empty() {
            return self.contents;
        }
        let targets: HashMap<Arc<str>, FileEntry> =
            self.contents.files.iter().map(|file| (Arc::clone(&file.path), file.clone())).collect();
        for (path, target) in links {
            let inside = target_path(&path, &target);
            match inside.as_deref().and_then(|inside| targets.get(inside)) {
                Some(file) => self.contents.files.push(FileEntry { path: path.into(), ..file.clone() }),
                None => {
                    let shown = super::source_text::quoted(&target);
                    let reason =
                        if inside.is_some() { "which is no file of the item" } else { "which leaves the item" };
                    let message = format!("expected a link to a file of the same item, found one to {shown}, {reason}");
                    self.problem(
                        Severity::Error,
                        SYMLINK,
                        &path,
                        message,
                        "commit the file itself in place of the link",
                    );
                }
            }
        }
        self.contents
    }
}

/// Where a link leads, below the item's directory; `None` if it leaves it.
fn target_path(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') || target.contains(['\\', '\0']) {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::memory_snapshot::{MemorySnapshot, MemorySnapshotBuilder};

    fn read(builder: &MemorySnapshotBuilder, limits: &Limits) -> (Vec<String>, Vec<String>, Vec<String>) {
        let snapshot = builder.build();
        let listing = Lister::new(&snapshot).list(snapshot.root(), &[], 0).unwrap();
        let found = contents(&listing, "content/a", limits, &|_| true);
        let problem = |one: Diagnostic| format!("{} {}: {}", one.place.unwrap(), one.code, one.message);
        (
            found.files.iter().map(|file| file.path.to_string()).collect(),
            found.nested.into_iter().map(|(path, _)| path).collect(),
            found.problems.into_iter().map(problem).collect(),
        )
    }

    #[test]
    fn deeper_items_are_left_to_themselves() {
        let item = r#"{"version": 1, "metadata": {"appmode": "shiny"}}"#;
        let builder = MemorySnapshot::builder()
            .file("manifest.json", item)
            .file("app.R", "")
            .file("deep/er/manifest.json", item)
            .file("deep/er/app.R", "")
            .file("deep/x", "")
            .file("broken/manifest.json", "{")
            .file("www/manifest.json", r#"{"name": "a", "start_url": "/"}"#);
        let (files, nested, problems) = read(&builder, &Limits::default());
        assert_eq!(files, ["app.R", "deep/x", "manifest.json", "www/manifest.json"]);
        assert_eq!(nested, ["broken", "deep/er"]);
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn what_is_refused_is_refused_with_a_reason() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
        let builder = MemorySnapshot::builder()
            .file("data.bin", pointer)
            .file("big.csv", vec![b'x'; 2000])
            .file("a\\b", "")
            .file("tab\there", "")
            .file(b"latin-\xe9".as_slice(), "")
            .file("sub/.GIT/config", "")
            .file("Readme.md", "")
            .file("README.md", "")
            .submodule("vendor")
            .symlink("sub/inside", "../Readme.md")
            .symlink("outside", "../../other/secret")
            .symlink("absolute", "/etc/passwd")
            .symlink("folder", "sub")
            .file("sub/x", "");
        let limits = Limits { file_size: Some(1500), ..Limits::default() };
        let (files, _, problems) = read(&builder, &limits);
        assert_eq!(files, ["README.md", "Readme.md", "big.csv", "sub/inside", "sub/x"]);
        insta::assert_snapshot!(problems.join("\n"));
    }

    #[test]
    fn trees_that_repeat_themselves_end_soon() {
        // Three directories of ten times the next: a thousand paths from four trees.
        let mut builder = MemorySnapshot::builder();
        let mut paths = vec![String::new()];
        for _ in 0..3 {
            paths = paths.iter().flat_map(|path| (0..10).map(move |n| format!("{path}d{n}/"))).collect();
        }
        for path in &paths {
            builder = builder.file(format!("{path}f"), "");
        }
        let limits = Limits { file_count: Some(100), ..Limits::default() };
        let (files, _, problems) = read(&builder, &limits);
        assert!(files.len() <= 101, "{}", files.len());
        assert_eq!(problems, ["content/a E0607: expected at most 100 files in an item, found more"]);
    }

    #[test]
    fn links_are_followed_by_their_text_alone() {
        assert_eq!(target_path("a/b/link", "../c").as_deref(), Some("a/c"));
        assert_eq!(target_path("link", "./x//y").as_deref(), Some("x/y"));
        assert_eq!(target_path("a/link", "../../c"), None);
        assert_eq!(target_path("a/link", "/c"), None);
    }
}
