//! Whose data directory it is: the marker, the lock, the directories in it, and what a killed process left half done.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::config::{LocalConfig, Purpose};
use super::files::{
    clear_leftovers, make_directory, names_in, read_json, remove_tree, storage, sync_directory, write_json,
};
use super::layout::Layout;
use crate::executor::ExecutorError;

/// The layout of the data directory that this version reads and writes.
const FORMAT: u32 = 1;

/// How long a lock is waited for. A daemon that is killed while it starts a session leaves, for an instant, a process
/// that has copies of its open files and is not the session yet.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What the marker says.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    /// Whose data directory it is.
    instance: String,
    /// Raised when the layout changes.
    format: u32,
}

/// Checks that the data directory is this instance's, and makes it where there is none. The file that comes back keeps
/// other processes out for as long as it is open.
pub(super) fn open(layout: &Layout, config: &LocalConfig) -> Result<Option<File>, ExecutorError> {
    let known = check_marker(layout, config)?;
    if config.purpose == Purpose::Observe {
        return Ok(None);
    }
    // Content that is another user passes through; what it must not read is closed further below.
    let mode = if nix::unistd::geteuid().is_root() { 0o755 } else { 0o700 };
    make_directory(layout.root(), mode)?;
    if !known {
        let marker = Marker { instance: config.instance.to_string(), format: FORMAT };
        write_json(&layout.marker(), &marker, 0o644)?;
    }
    let lock = take_lock(layout)?;
    check_writable(layout)?;
    for (directory, mode) in layout.directories() {
        make_directory(&directory, mode)?;
    }
    sync_directory(layout.root())?;
    clear(layout)?;
    Ok(Some(lock))
}

/// Whether there is a marker, and it is ours.
fn check_marker(layout: &Layout, config: &LocalConfig) -> Result<bool, ExecutorError> {
    let refused = |problem: String| Err(ExecutorError::Volume { place: layout.root().display().to_string(), problem });
    // Listed before the marker is looked for: a wharf that starts at this very moment writes the marker first.
    let names = names_in(layout.root())?;
    let Some(marker) = read_json::<Marker>(&layout.marker())? else {
        // A new file system is not empty, and a first start that was killed leaves the marker's temporary file.
        let harmless = ["lost+found", ".wharf.tmp"];
        let other = names.into_iter().find(|name| !harmless.contains(&name.as_str()));
        return match other {
            None => Ok(false),
            Some(name) => refused(format!(
                "holds {name:?} but no .wharf.json, so it is not a data directory of Wharf; point --data-dir at an empty directory"
            )),
        };
    };
    if marker.instance != config.instance.as_str() {
        return refused(format!(
            "belongs to the instance {found:?}, and this is {own:?}; give this instance a --data-dir of its own, or be {found:?} with --instance",
            found = marker.instance,
            own = config.instance.as_str(),
        ));
    }
    if marker.format != FORMAT {
        return refused(format!(
            "has layout {found}, and this version of Wharf knows {FORMAT}; use the version that made it, or another --data-dir",
            found = marker.format,
        ));
    }
    Ok(true)
}

fn take_lock(layout: &Layout) -> Result<File, ExecutorError> {
    let path = layout.marker();
    let file = OpenOptions::new().read(true).open(&path).map_err(|cause| storage("opening", &path, &cause))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(ExecutorError::Volume {
                    place: layout.root().display().to_string(),
                    problem:
                        "is in use by another wharf process; end that one first, or give this one another --data-dir"
                            .to_owned(),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(storage("locking", &path, &cause)),
        }
    }
}

/// Says at the start, and not in the middle of a plan, that nothing can be written.
fn check_writable(layout: &Layout) -> Result<(), ExecutorError> {
    let probe = layout.root().join(".probe.tmp");
    File::create(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|cause| storage("writing to", layout.root(), &cause))
}

/// Removes temporary files and directories.
fn clear(layout: &Layout) -> Result<(), ExecutorError> {
    clear_leftovers(layout.root())?;
    for (directory, _) in layout.directories() {
        clear_leftovers(&directory)?;
    }
    for shared in [layout.apps(), layout.results()] {
        for slug in names_in(&shared)? {
            clear_leftovers(&shared.join(slug))?;
        }
    }
    for slug in names_in(&layout.results())? {
        clear_half_results(&layout.results().join(slug))?;
    }
    Ok(())
}

/// Removes results that a session was copying when it was killed: `.<result>.<process id>`. One whose session lives is
/// still being copied.
fn clear_half_results(directory: &Path) -> Result<(), ExecutorError> {
    for name in names_in(directory)?.into_iter().filter(|name| name.starts_with('.')) {
        let process = name.rsplit('.').next().and_then(|number| number.parse().ok());
        if process.is_some_and(|process| crate::session::start_ticks(process).is_none()) {
            remove_tree(&directory.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(root: &Path, instance: &str) -> LocalConfig {
        LocalConfig::new(root.to_owned(), root.join("state"), instance.parse().unwrap())
    }

    fn refused(root: &Path, config: &LocalConfig) -> String {
        let error = open(&Layout::new(root), config).unwrap_err().to_string();
        error.replace(&root.display().to_string(), "DIR")
    }

    #[test]
    fn a_new_directory_becomes_ours_and_stays_ours() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("a/data");
        let config = config(&root, "blue");
        let lock = open(&Layout::new(&root), &config).unwrap();
        let marker: Marker = read_json(&root.join(".wharf.json")).unwrap().unwrap();
        assert_eq!(marker.instance, "blue");
        insta::assert_snapshot!(refused(&root, &config));
        drop(lock);
        open(&Layout::new(&root), &config).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path();
        drop(open(&Layout::new(root), &config(root, "blue")).unwrap());
        insta::assert_snapshot!(refused(root, &config(root, "green")));
        fs::remove_file(root.join(".wharf.json")).unwrap();
        insta::assert_snapshot!(refused(root, &config(root, "blue")));
    }

    #[test]
    fn looking_makes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("data");
        let config = LocalConfig { purpose: Purpose::Observe, ..config(&root, "blue") };
        assert!(open(&Layout::new(&root), &config).unwrap().is_none());
        assert!(!root.exists());
    }

    #[test]
    fn what_was_half_written_goes() {
        let parent = tempfile::tempdir().unwrap();
        let (root, layout) = (parent.path(), Layout::new(parent.path()));
        drop(open(&layout, &config(root, "blue")).unwrap());
        for half in [
            "jobs/run-a.tmp",
            "apps/hello/0123.x.tmp",
            "results/hello/0123.x.tmp",
            "results/hello/.0123-first.999999999",
            "python/0123.x.tmp",
        ] {
            fs::create_dir_all(root.join(half)).unwrap();
        }
        drop(open(&layout, &config(root, "blue")).unwrap());
        for directory in ["jobs", "apps/hello", "results/hello", "python"] {
            assert!(names_in(&root.join(directory)).unwrap().iter().all(|name| name == ".stopped"), "{directory}");
        }
    }
}
