//! Files written whole or not at all, trees removed, and what the system says about it put into words. Knows no layout.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::ExecutorError;

/// JSON files are no larger; more is somebody's mistake or mischief.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Runs something that cannot fail, and may take a while, where waiting is allowed.
pub(super) async fn quietly(work: impl FnOnce() + Send + 'static) {
    if let Err(cause) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%cause, "work in the background ended unexpectedly; please report this");
    }
}

/// A storage error, with what to do where that is known.
pub(super) fn storage(doing: &'static str, place: &Path, cause: &io::Error) -> ExecutorError {
    let help = match cause.kind() {
        ErrorKind::StorageFull => "; free some space, or give --data-dir a larger file system",
        ErrorKind::ReadOnlyFilesystem => "; mount it writable, or choose another --data-dir",
        ErrorKind::PermissionDenied => "; check who owns it, and as whom wharf runs",
        ErrorKind::QuotaExceeded => "; raise the quota, or choose another --data-dir",
        _ => "",
    };
    ExecutorError::Storage { doing, place: place.display().to_string(), problem: format!("{cause}{help}") }
}

/// Runs something that waits for the disk where waiting is allowed.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, ExecutorError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ExecutorError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => Err(ExecutorError::Storage {
            doing: "working in",
            place: "the data directory".to_owned(),
            problem: format!(
                "the work ended unexpectedly ({cause}); please report this with the lines logged before it"
            ),
        }),
    }
}

/// Makes a directory of exactly this mode, and those above it, unless it is there.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), ExecutorError> {
    if path.is_dir() {
        return Ok(());
    }
    let created = DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    created.map_err(|cause| storage("making", path, &cause))
}

/// Makes new names in a directory last beyond a power cut.
pub(super) fn sync_directory(path: &Path) -> Result<(), ExecutorError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|cause| storage("syncing", path, &cause))
}

/// Renames, so that afterwards either name is whole.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), ExecutorError> {
    fs::rename(from, to).map_err(|cause| storage("renaming to", to, &cause))
}

/// Writes a new file and waits until it is on the disk.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a JSON file so that a reader sees the former content or the new one, also after a crash.
pub(super) fn write_json(path: &Path, value: &impl Serialize, mode: u32) -> Result<(), ExecutorError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|cause| storage("writing", path, &cause.into()))?;
    let temporary = path.with_extension("tmp");
    let written = write_new(&temporary, &bytes, mode).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|cause| storage("writing", path, &cause))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Reads a JSON file of bounded size; `None` if it is not there.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ExecutorError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_JSON_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(storage("reading", path, &cause)),
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|cause| ExecutorError::Storage {
        doing: "reading",
        place: path.display().to_string(),
        problem: format!("it is not what this version of Wharf writes ({cause}); move it away to go on without it"),
    })
}

/// The names in a directory, sorted; none where there is no directory. Names that are no text are not ours.
pub(super) fn names_in(path: &Path) -> Result<Vec<String>, ExecutorError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(cause) => return Err(storage("reading", path, &cause)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|cause| storage("reading", path, &cause))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Removes a tree that may not be there: first its name at one stroke, then what is in it.
pub(super) fn remove_tree(path: &Path) -> Result<(), ExecutorError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => rename_away(path).and_then(|trash| remove_directory(&trash)),
        Ok(_) => fs::remove_file(path),
        Err(cause) => Err(cause),
    };
    match removed {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(storage("removing", path, &cause)),
        _ => Ok(()),
    }
}

/// Gives a tree a name that [`is_leftover`] recognises, so that a crash while removing it leaves no half of a thing.
fn rename_away(path: &Path) -> io::Result<std::path::PathBuf> {
    if path.file_name().and_then(|name| name.to_str()).is_some_and(is_leftover) {
        return Ok(path.to_owned());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", super::process::unique()));
    let trash = path.with_file_name(name);
    fs::rename(path, &trash)?;
    Ok(trash)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        // What may not be written may not be emptied either, except by root.
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            make_writable(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

/// Only reached as a user without privileges, so that a link swapped in meanwhile gains nobody anything.
fn make_writable(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Whether a name is that of something half written or half removed.
pub(super) fn is_leftover(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "tmp")
}

/// Removes what a killed process left half done in a directory.
pub(super) fn clear_leftovers(path: &Path) -> Result<(), ExecutorError> {
    for name in names_in(path)?.into_iter().filter(|name| is_leftover(name)) {
        remove_tree(&path.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_goes_with_its_read_only_parts() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("bundle");
        fs::create_dir_all(tree.join("deep")).unwrap();
        fs::write(tree.join("deep/file"), "x").unwrap();
        fs::set_permissions(tree.join("deep"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o555)).unwrap();
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert_eq!(names_in(directory.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn leftovers_go_and_the_rest_stays() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("run-a.tmp")).unwrap();
        fs::create_dir(directory.path().join("run-b")).unwrap();
        clear_leftovers(directory.path()).unwrap();
        assert_eq!(names_in(directory.path()).unwrap(), ["run-b"]);
    }
}
