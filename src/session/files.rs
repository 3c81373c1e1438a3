//! Trees of files: the writable copy of a bundle, whom a tree belongs to, whether a program can be started. No links are followed out of a tree.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

use super::error::SessionError;
use super::protocol::ContentUser;

/// Copies a bundle. Links stay links; everything becomes writable for its owner, as the bundle may not be.
///
/// `fs::copy` is `copy_file_range`, which shares the blocks where the file system can (Btrfs, XFS, NFS 4.2) and never
/// shares the file itself, so that content cannot write into its bundle.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<(), SessionError> {
    copy(from, to, true)
}

/// Copies a tree and leaves links out.
pub(super) fn copy_without_links(from: &Path, to: &Path) -> Result<(), SessionError> {
    copy(from, to, false)
}

fn copy(from: &Path, to: &Path, links: bool) -> Result<(), SessionError> {
    fs::create_dir(to).map_err(|cause| SessionError::write(to, cause))?;
    for entry in fs::read_dir(from).map_err(|cause| SessionError::read(from, cause))? {
        let entry = entry.map_err(|cause| SessionError::read(from, cause))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|cause| SessionError::read(&source, cause))?;
        if kind.is_dir() {
            copy(&source, &target, links)?;
        } else if kind.is_symlink() && links {
            let aim = fs::read_link(&source).map_err(|cause| SessionError::read(&source, cause))?;
            symlink(aim, &target).map_err(|cause| SessionError::write(&target, cause))?;
        } else if kind.is_file() {
            copy_file(&source, &target).map_err(|cause| SessionError::write(&target, cause))?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let mode = fs::metadata(to)?.permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode & 0o777 | 0o600))
}

/// Gives a tree to the content's user; without one it stays as it is.
pub(super) fn give_tree(path: &Path, user: Option<ContentUser>) -> Result<(), SessionError> {
    let Some(user) = user else { return Ok(()) };
    give(path, Some(user))?;
    let about = fs::symlink_metadata(path).map_err(|cause| SessionError::read(path, cause))?;
    if about.is_dir() {
        for entry in fs::read_dir(path).map_err(|cause| SessionError::read(path, cause))? {
            let entry = entry.map_err(|cause| SessionError::read(path, cause))?;
            give_tree(&entry.path(), Some(user))?;
        }
    }
    Ok(())
}

/// Gives one file or directory to the content's user.
pub(super) fn give(path: &Path, user: Option<ContentUser>) -> Result<(), SessionError> {
    let Some(user) = user else { return Ok(()) };
    lchown(path, Some(user.uid), Some(user.gid)).map_err(|cause| SessionError::write(path, cause))
}

/// Removes a tree that may not be there.
pub(super) fn remove_tree(path: &Path) -> Result<(), SessionError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(cause),
    };
    removed.map_err(|cause| SessionError::write(path, cause))
}

/// Whether a path is a program, said before it is started because the exec's own message names no file.
pub(super) fn check_program(what: &'static str, path: &Path) -> Result<(), SessionError> {
    let wrong = |trouble| Err(SessionError::Program { what, path: path.to_owned(), trouble });
    match fs::metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
            wrong("cannot be reached: check the permissions of the directories above it")
        }
        Err(_) => wrong("does not exist: install it there, or name the right path"),
        Ok(about) if !about.is_file() => wrong("is not a file: name the program itself"),
        Ok(about) if about.permissions().mode() & 0o111 == 0 => wrong("is not executable: set its executable bit"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_writable_and_separate() {
        let directory = tempfile::tempdir().unwrap();
        let (bundle, copy) = (directory.path().join("bundle"), directory.path().join("copy"));
        fs::create_dir_all(bundle.join("deep")).unwrap();
        fs::write(bundle.join("deep/run.sh"), "one").unwrap();
        fs::set_permissions(bundle.join("deep/run.sh"), fs::Permissions::from_mode(0o555)).unwrap();
        symlink("deep/run.sh", bundle.join("link")).unwrap();
        copy_tree(&bundle, &copy).unwrap();
        assert_eq!(fs::metadata(copy.join("deep/run.sh")).unwrap().permissions().mode() & 0o777, 0o755);
        fs::write(copy.join("link"), "two").unwrap();
        assert_eq!(fs::read_to_string(bundle.join("deep/run.sh")).unwrap(), "one");
        assert_eq!(fs::read_to_string(copy.join("deep/run.sh")).unwrap(), "two");
        remove_tree(&copy).unwrap();
        remove_tree(&copy).unwrap();
    }

    #[test]
    fn what_is_no_program_is_said_plainly() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("supervisor");
        let said = || {
            check_program("the supervisor", &file)
                .map_err(|error| error.to_string().replace(&file.display().to_string(), "F"))
        };
        assert_eq!(said(), Err("the supervisor F does not exist: install it there, or name the right path".to_owned()));
        fs::write(&file, "").unwrap();
        assert_eq!(said(), Err("the supervisor F is not executable: set its executable bit".to_owned()));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(said(), Ok(()));
    }
}
