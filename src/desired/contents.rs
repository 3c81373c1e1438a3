//! The files of one item, collected from its listing: limits, links that become copies, deeper items left out.
//! Listing directories: `layout`.

use std::collections::HashMap;
use std::sync::Arc;

use super::layout::{
    FILE_COUNT, FILE_SIZE, ITEM_SIZE, Listing, MOST_FILE_BYTES, MOST_FILES, MOST_ITEM_BYTES, SYMLINK, join,
};
use crate::model::{Code, Diagnostic, FileEntry, Limits, Memory, Place, Severity, TreeId};

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
        self.contents.files.len() + self.links.len() > self.most_files || self.visited > 2 * self.most_files
    }

    fn folder(&mut self, listing: &Listing, path: &str) {
        // What is refused counts as well: a tree that repeats itself repeats that too.
        self.visited += 1 + listing.refusals.len();
        if self.is_full() {
            return;
        }
        for file in &listing.files {
            let path = join(path, &file.name);
            if file.size > self.most_file_bytes {
                let message =
                    format!("expected a file of at most {}, found {}", Memory(self.most_file_bytes), Memory(file.size));
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
            let message =
                format!("expected an item of at most {}, found {}", Memory(MOST_ITEM_BYTES), Memory(self.bytes));
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
            if let Some(file) = inside.as_deref().and_then(|inside| targets.get(inside)) {
                self.contents.files.push(FileEntry { path: path.into(), ..file.clone() });
                continue;
            }
            let shown = super::source_text::quoted(&target);
            let reason = if inside.is_some() { "which is no file of the item" } else { "which leaves the item" };
            let message = format!("expected a link to a file of the same item, found one to {shown}, {reason}");
            self.problem(Severity::Error, SYMLINK, &path, message, "commit the file itself in place of the link");
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
    use crate::desired::layout::Lister;
    use crate::desired::memory_snapshot::{MemorySnapshot, MemorySnapshotBuilder};
    use crate::desired::snapshot::Snapshot;

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
