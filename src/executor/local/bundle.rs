//! Writes an item's files: under a temporary name, synced, renamed, never changed. Which files those are is decided elsewhere.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::files::{make_directory, remove_tree, rename, storage, sync_directory};
use super::layout::Layout;
use super::process::unique;
use crate::executor::{BundleFile, BundleReader, ExecutorError};
use crate::plan::BundleSpec;

/// Up to this many files are synced one by one; more are synced with the whole file system at one stroke, which is
/// cheaper from some dozens up and touches what others write as well.
const SYNCED_ONE_BY_ONE: usize = 32;

/// Writes a bundle, unless it is there already.
pub(super) fn write(layout: &Layout, spec: &BundleSpec, reader: &dyn BundleReader) -> Result<(), ExecutorError> {
    let target = layout.bundle(&spec.slug, &spec.id);
    let item = layout.apps().join(spec.slug.as_str());
    if target.is_dir() {
        // Whoever renamed it may have been interrupted before the rest.
        return finish(&target, &item);
    }
    if !item.is_dir() {
        make_directory(&item, 0o755)?;
        sync_directory(&layout.apps())?;
    }
    let temporary = item.join(format!("{}.{}.tmp", spec.id, unique()));
    let written = fill(&temporary, reader).and_then(|()| rename(&temporary, &target));
    if let Err(error) = written {
        // What could be written of it is in the way of whatever frees the disk.
        let _ = remove_tree(&temporary);
        return Err(error);
    }
    finish(&target, &item)
}

/// What is left to do once a bundle has its name. A directory needs its write bit to be renamed, so it loses it last.
fn finish(target: &Path, item: &Path) -> Result<(), ExecutorError> {
    fs::set_permissions(target, fs::Permissions::from_mode(0o555))
        .map_err(|cause| storage("protecting", target, &cause))?;
    sync_directory(item)
}

fn fill(root: &Path, reader: &dyn BundleReader) -> Result<(), ExecutorError> {
    let make =
        |path: &Path| DirBuilder::new().mode(0o755).create(path).map_err(|cause| storage("making", path, &cause));
    make(root)?;
    let files = reader.files();
    let sync_each = files.len() <= SYNCED_ONE_BY_ONE;
    let mut directories = BTreeSet::new();
    for file in files {
        let path = checked(&file.path)?;
        for parent in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if parent != Path::new("") && directories.insert(parent.to_owned()) {
                make(&root.join(parent))?;
            }
        }
        write_file(&root.join(path), file, reader, sync_each)?;
    }
    // The deepest first; each is complete now.
    for directory in directories.iter().rev() {
        let path = root.join(directory);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555))
            .map_err(|cause| storage("protecting", &path, &cause))?;
        if sync_each {
            sync_directory(&path)?;
        }
    }
    if sync_each { sync_directory(root) } else { sync_file_system(root) }
}

fn write_file(path: &Path, file: &BundleFile, reader: &dyn BundleReader, sync: bool) -> Result<(), ExecutorError> {
    let bytes = reader.read(&file.contents).map_err(|problem| ExecutorError::Storage {
        doing: "reading",
        place: format!("{} ({})", file.path, file.contents),
        problem,
    })?;
    let mode = if file.executable { 0o555 } else { 0o444 };
    let written = File::options().write(true).create_new(true).mode(mode).open(path).and_then(|mut open| {
        open.write_all(&bytes)?;
        // The mode above went through the process's mask.
        open.set_permissions(fs::Permissions::from_mode(mode))?;
        if sync { open.sync_all() } else { Ok(()) }
    });
    written.map_err(|cause| storage("writing", path, &cause))
}

fn sync_file_system(path: &Path) -> Result<(), ExecutorError> {
    let synced = File::open(path).and_then(|directory| Ok(nix::unistd::syncfs(directory)?));
    synced.map_err(|cause| storage("syncing", path, &cause))
}

/// A path below the bundle. Whoever reads the repository has checked it; a second look costs nothing.
fn checked(path: &str) -> Result<PathBuf, ExecutorError> {
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    let normal = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    // `components` leaves out `.` and empty parts, which a clean path does not have.
    let same = parts.iter().collect::<PathBuf>().as_os_str() == path;
    if normal && same && !path.is_empty() && !path.contains('\0') {
        return Ok(PathBuf::from(path));
    }
    Err(ExecutorError::Storage {
        doing: "writing",
        place: format!("{path:?}"),
        problem: "expected a path below the item's directory without empty parts, '.' or '..'; nothing was written"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_item_are_written() {
        for good in ["app.py", "data/deep/x.csv", "..data", "a b/ü"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a/.", "a\0b"] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}
