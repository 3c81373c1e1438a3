//! Writes a made-up config repository straight into one pack, and changes one file of it. What the files say: `items`.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use git2::build::TreeUpdateBuilder;
use git2::{Buf, FileMode, Oid, Repository, Signature, Time, Tree};

use super::{environments, items};

/// The branch that is written.
pub const BRANCH: &str = "refs/heads/main";

/// Objects in memory come before those on disk.
const MEMORY_FIRST: i32 = 1000;

/// Why a repository could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// libgit2 refused.
    #[error("Git could not write the made-up repository")]
    Git(#[from] git2::Error),
    /// The pack could not be written.
    #[error("the pack of the made-up repository could not be written")]
    Pack(#[from] io::Error),
    /// There is no such item, or it holds nothing to change.
    #[error("item {0} has no source file to change; the repository was generated with fewer items")]
    NothingToChange(usize),
}

/// What was written.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "what was generated, for whoever prints it")]
pub struct Generated {
    /// The first commit. The same sizes and seed give the same id.
    pub commit: Oid,
    /// Files in it.
    pub files: usize,
    /// Their bytes before compression.
    pub bytes: usize,
    /// Bytes of the pack.
    pub pack: usize,
}

/// Directories by name, with the files in them: what a Git tree is made of.
#[derive(Default)]
struct Directory {
    files: BTreeMap<String, Oid>,
    directories: BTreeMap<String, Directory>,
}

/// Writes a bare repository with so many items and environments to an empty directory, as one commit on [`BRANCH`].
/// Everything is kept in memory and leaves as one pack, since a hundred thousand loose objects take minutes.
pub fn generate(directory: &Path, items: usize, environments: usize, seed: u64) -> Result<Generated, GenerateError> {
    let repository = Repository::init_bare(directory)?;
    repository.set_head(BRANCH)?;
    let objects = repository.odb()?;
    let memory = objects.add_new_mempack_backend(MEMORY_FIRST)?;
    let mut root = Directory::default();
    let (mut files, mut bytes) = (0, 0);
    let mut add = |path: &str, text: &str| -> Result<(), GenerateError> {
        root.insert(path, repository.blob(text.as_bytes())?);
        files += 1;
        bytes += text.len();
        Ok(())
    };
    add("wharf.yaml", "matching:\n  r: major-minor\n  python: major-minor\n")?;
    for (path, text) in environments::files(environments, seed) {
        add(&path, &text)?;
    }
    for index in 0..items {
        let home = items::directory(index);
        for (path, text) in items::files(index, seed) {
            add(&format!("{home}/{path}"), &text)?;
        }
    }
    let tree = root.write(&repository)?;
    let commit = commit(&repository, &repository.find_tree(tree)?, None, "Open the harbour")?;
    let mut pack = Buf::new();
    memory.dump(&repository, &mut pack)?;
    let mut writer = objects.packwriter()?;
    writer.write_all(&pack)?;
    writer.commit()?;
    Ok(Generated { commit, files, bytes, pack: pack.len() })
}

/// Changes the main source file of item `index` and commits that. The repository must hold that many items.
pub fn commit_one_file(repository: &Repository, index: usize) -> Result<Oid, GenerateError> {
    let parent = repository.find_reference(BRANCH)?.peel_to_commit()?;
    let tree = parent.tree()?;
    let home = items::directory(index);
    let item = tree.get_path(Path::new(&home)).ok().and_then(|entry| entry.to_object(repository).ok());
    let item = item.and_then(|object| object.into_tree().ok()).ok_or(GenerateError::NothingToChange(index))?;
    let source = ["app.py", "app.R", "report.qmd", "report.Rmd", "report.ipynb", "index.html"];
    let found = source.iter().find_map(|name| item.get_name(name).map(|entry| (*name, entry.id())));
    let (name, blob) = found.ok_or(GenerateError::NothingToChange(index))?;
    let mut text = repository.find_blob(blob)?.content().to_vec();
    text.extend_from_slice(format!("# changed after {}\n", parent.id()).as_bytes());
    let path = format!("{home}/{name}");
    let changed = TreeUpdateBuilder::new()
        .upsert(path.as_str(), repository.blob(&text)?, FileMode::Blob)
        .create_updated(repository, &tree)?;
    commit(repository, &repository.find_tree(changed)?, Some(&parent), &format!("Change {path}"))
}

/// Commits a tree to the branch. The time is a fixed one, an hour after the parent's, so that ids repeat.
fn commit(
    repository: &Repository,
    tree: &Tree<'_>,
    parent: Option<&git2::Commit<'_>>,
    message: &str,
) -> Result<Oid, GenerateError> {
    let seconds = parent.map_or(1_750_000_000, |commit| commit.time().seconds() + 3600);
    let harbour = Signature::new("Harbour office", "office@harbour.example", &Time::new(seconds, 0))?;
    let parents: Vec<&git2::Commit<'_>> = parent.into_iter().collect();
    Ok(repository.commit(Some(BRANCH), &harbour, &harbour, message, tree, &parents)?)
}

impl Directory {
    /// Puts a file where its path says.
    fn insert(&mut self, path: &str, blob: Oid) {
        match path.split_once('/') {
            Some((first, rest)) => self.directories.entry(first.to_owned()).or_default().insert(rest, blob),
            None => {
                self.files.insert(path.to_owned(), blob);
            }
        }
    }

    /// Writes the trees from the leaves up.
    fn write(&self, repository: &Repository) -> Result<Oid, GenerateError> {
        let mut builder = repository.treebuilder(None)?;
        for (name, blob) in &self.files {
            builder.insert(name.as_str(), *blob, FileMode::Blob.into())?;
        }
        for (name, directory) in &self.directories {
            builder.insert(name.as_str(), directory.write(repository)?, FileMode::Tree.into())?;
        }
        Ok(builder.write()?)
    }
}
