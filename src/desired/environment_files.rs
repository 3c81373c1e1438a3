//! The files below `environments/`: which they are, and what they say together. What one file says: `environments`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::environments::{self, EnvironmentFile, Environments};
use super::layout::{self, MOST_DEPTH, UNREADABLE, bad_name, join, shown_name};
use super::snapshot::{EntryKind, Snapshot};
use super::{BrokenEnvironment, DesiredEnvironment, ReadError, json};
use crate::model::{BlobId, Code, Diagnostic, Digest, ImageRef, Place, TreeId};

/// A link or a submodule where an environment file should be.
pub const NOT_A_FILE: Code = Code::new("E0612");

/// The directory of environment files.
pub const DIRECTORY: &str = "environments";
/// The most directories below it.
const MOST_DIRECTORIES: usize = 10_000;

/// One file that was read, with its content's id.
pub type ReadFile = (BlobId, Arc<EnvironmentFile>);

/// The files of one commit, by path.
#[derive(Debug, Default)]
pub struct EnvironmentFiles {
    /// The directory; `None` where there is none.
    pub tree: Option<TreeId>,
    /// What each says.
    pub files: BTreeMap<Arc<str>, ReadFile>,
    /// False when something could not be read that may hold environments.
    pub complete: bool,
    /// Problems that belong to no file.
    pub problems: Vec<Diagnostic>,
}

/// Reads the files of a directory. `old` are former readings, whose files are taken over where they are the same.
pub fn read(
    snapshot: &dyn Snapshot,
    tree: Option<TreeId>,
    old: &[Arc<EnvironmentFiles>],
) -> Result<Arc<EnvironmentFiles>, ReadError> {
    if let Some(same) = old.iter().find(|files| files.tree == tree) {
        return Ok(Arc::clone(same));
    }
    let found = EnvironmentFiles { tree, complete: true, ..EnvironmentFiles::default() };
    let mut reader = Reader { snapshot, old, found, directories: 0 };
    if let Some(tree) = tree {
        reader.directory(DIRECTORY, tree, 0)?;
    }
    Ok(Arc::new(reader.found))
}

struct Reader<'a> {
    snapshot: &'a dyn Snapshot,
    old: &'a [Arc<EnvironmentFiles>],
    found: EnvironmentFiles,
    directories: usize,
}

impl Reader<'_> {
    fn directory(&mut self, path: &str, tree: TreeId, depth: usize) -> Result<(), ReadError> {
        self.directories += 1;
        if self.directories > MOST_DIRECTORIES || depth > MOST_DEPTH {
            return Err(ReadError::TooMuch { directory: path.to_owned(), limit: MOST_DIRECTORIES });
        }
        let unreadable = |source| ReadError::Unreadable { directory: path.to_owned(), source };
        for entry in self.snapshot.directory(tree).map_err(unreadable)? {
            let shown = join(path, &shown_name(&entry.name));
            if let Some(reason) = bad_name(&entry.name) {
                self.refuse(
                    layout::NAME,
                    &shown,
                    format!("expected another name, found one that {reason}"),
                    "rename it",
                );
                continue;
            }
            match entry.kind {
                EntryKind::Directory(tree) => self.directory(&shown, tree, depth + 1)?,
                EntryKind::File { blob, .. } if is_environment_file(&shown) => self.file(&shown, blob),
                EntryKind::File { .. } => {}
                EntryKind::Symlink(_) => {
                    let message = "expected a file or a directory, found a symbolic link".to_owned();
                    self.refuse(NOT_A_FILE, &shown, message, "commit the file itself; links are not followed here");
                }
                EntryKind::Submodule => {
                    let message = "expected a file or a directory, found a submodule".to_owned();
                    self.refuse(
                        NOT_A_FILE,
                        &shown,
                        message,
                        "commit the files themselves; submodules are never fetched",
                    );
                }
            }
        }
        Ok(())
    }

    /// What is refused may hide environments that exist, so nothing may be deleted.
    fn refuse(&mut self, code: Code, path: &str, message: String, help: &str) {
        self.found.complete = false;
        self.found.problems.push(Diagnostic::error(code, Place::file(path), message).with_help(help));
    }

    fn file(&mut self, path: &str, blob: BlobId) {
        let same = |files: &Arc<EnvironmentFiles>| files.files.get(path).filter(|(found, _)| *found == blob).cloned();
        let known = self.old.iter().find_map(same);
        let read = known.unwrap_or_else(|| (blob, Arc::new(self.read(path, blob))));
        self.found.complete &= read.1.readable;
        self.found.files.insert(path.into(), read);
    }

    fn read(&self, path: &str, blob: BlobId) -> EnvironmentFile {
        match self.snapshot.blob(blob, json::MAX_BYTES as u64) {
            Ok(bytes) => environments::read_environment_file(path, &bytes),
            Err(error) => {
                let message = format!("expected environments, found that {error}");
                let error = Diagnostic::error(UNREADABLE, Place::file(path), message)
                    .with_help("no environment is deleted until the file can be read");
                let (entries, broken) = (Vec::new(), Vec::new());
                EnvironmentFile { entries, broken, readable: false, diagnostics: vec![error] }
            }
        }
    }
}

fn is_environment_file(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    ["yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// The environments of a commit, as `Desired` holds them.
#[derive(Debug, Default)]
pub struct Joined {
    /// The sound ones.
    pub environments: BTreeMap<ImageRef, Arc<DesiredEnvironment>>,
    /// Those with an error.
    pub broken: BTreeMap<ImageRef, BrokenEnvironment>,
    /// Whether every environment of the commit is known.
    pub complete: bool,
    /// Every problem.
    pub problems: Vec<Diagnostic>,
}

/// Joins the files, and lets `restrict` leave out what the policy or the operator does not allow.
pub fn join_files(files: &EnvironmentFiles, restrict: impl FnOnce(&mut Environments)) -> Joined {
    let mut all = environments::join(files.files.values().map(|(_, file)| file.as_ref()));
    restrict(&mut all);
    let desired = |entry: environments::Entry| {
        let blob = files.files.get(&entry.place.file).map_or(BlobId::from_bytes([0; 20]), |(blob, _)| *blob);
        let digest = Digest::of_value(&entry.environment);
        Arc::new(DesiredEnvironment { environment: entry.environment, place: entry.place, blob, digest })
    };
    let broken = |entry: environments::BrokenEntry| BrokenEnvironment { place: entry.place, first: entry.first };
    Joined {
        environments: all.entries.into_iter().map(|(name, entry)| (name, desired(entry))).collect(),
        broken: all.broken.into_iter().map(|(name, entry)| (name, broken(entry))).collect(),
        complete: all.complete && files.complete,
        problems: files.problems.iter().cloned().chain(all.diagnostics).collect(),
    }
}
