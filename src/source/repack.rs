//! Keeps a mirror to a few packs. Every fetch adds one, and every read searches all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use git2::Repository;

use super::error::SourceError;
use super::objects::Objects;

/// From how many packs on they become one.
const MOST_PACKS: usize = 50;

/// Puts all objects into one pack if there are too many. All of them, also those no ref leads to any more: what is applied
/// can be read even after its branch was forced elsewhere.
pub(super) fn repack(objects: &Objects) -> Result<(), SourceError> {
    let directory = objects.path().join("objects/pack");
    let old = packs(&directory)?;
    if old.len() <= MOST_PACKS {
        return Ok(());
    }
    let new = write(objects.path(), &directory).map_err(SourceError::git("join the packs", objects.path()))?;
    // Alone: a handle that was opened before still looks for the old files.
    objects.exchange(|| {
        for name in old.iter().filter(|name| **name != new) {
            for extension in ["idx", "pack"] {
                let path = directory.join(format!("{name}.{extension}"));
                fs::remove_file(&path).map_err(SourceError::file("remove", &path))?;
            }
        }
        Ok(())
    })
}

/// Writes every object into one pack and gives back its name.
fn write(mirror: &Path, directory: &Path) -> Result<String, git2::Error> {
    let git = Repository::open_bare(mirror)?;
    let mut builder = git.packbuilder()?;
    let mut inserted = Ok(());
    git.odb()?.foreach(|id| {
        inserted = builder.insert_object(*id, None);
        inserted.is_ok()
    })?;
    inserted?;
    builder.write(directory, 0o444)?;
    Ok(format!("pack-{}", builder.name()?.unwrap_or_default()))
}

/// The names of the packs, without what comes after the dot.
fn packs(directory: &Path) -> Result<BTreeSet<String>, SourceError> {
    let failed = |error| SourceError::file("list the packs", directory)(error);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path: PathBuf = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    Ok(names)
}
