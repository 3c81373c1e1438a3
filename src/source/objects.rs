//! Open handles on one object database, shared by threads. What is read with them is said in `tree`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use git2::{ErrorCode, Repository};

use super::error::SourceError;

/// Whose repository it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Our own mirror: no owner check, a volume may be mounted from another user.
    Wharf,
    /// A path somebody gave: Git's owner check stays on.
    User,
}

/// A pool of handles. libgit2's cannot be used by two threads at once, and opening one costs more than many reads.
pub(super) struct Objects {
    path: PathBuf,
    owner: Owner,
    idle: Mutex<Vec<Repository>>,
    /// Read while a handle is in use, written while files are exchanged under the handles.
    in_use: RwLock<()>,
    /// An object was missing or broken since the last repair.
    suspect: AtomicBool,
}

impl Objects {
    pub(super) const fn new(path: PathBuf, owner: Owner) -> Self {
        let (in_use, suspect) = (RwLock::new(()), AtomicBool::new(false));
        Self { path, owner, idle: Mutex::new(Vec::new()), in_use, suspect }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Does something with a handle. It goes back to the pool unless the work panicked. Must not be called by the work itself.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Repository) -> T) -> Result<T, SourceError> {
        let _in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        let idle = self.idle().pop();
        let repository = match idle {
            Some(repository) => repository,
            None => self.open()?,
        };
        let result = work(&repository);
        self.idle().push(repository);
        Ok(result)
    }

    /// Exchanges files while nobody reads, and has every handle opened anew afterwards.
    pub(super) fn exchange<T>(&self, change: impl FnOnce() -> T) -> T {
        let _alone = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        self.idle().clear();
        change()
    }

    /// Whatever could not be read before, all of it is new now.
    pub(super) fn repaired(&self) {
        self.suspect.store(false, Ordering::Release);
    }

    /// Notes that an object could not be read.
    pub(super) fn suspect(&self) {
        self.suspect.store(true, Ordering::Release);
    }

    /// Whether an object could not be read since the last repair.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Repository>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Repository, SourceError> {
        if self.owner == Owner::Wharf {
            return Repository::open_bare(&self.path).map_err(SourceError::git("open the mirror", &self.path));
        }
        open_users(&self.path)
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("path", &self.path).field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Opens a repository that a person named: exactly there, and only if Git's owner check agrees.
pub(super) fn open_users(path: &Path) -> Result<Repository, SourceError> {
    Repository::open(path).map_err(|error| match error.code() {
        ErrorCode::Owner => SourceError::NotOurs { path: path.to_owned() },
        ErrorCode::NotFound => SourceError::NotARepository { path: path.to_owned(), hint: hint_for(path) },
        _ => SourceError::git("open the repository", path)(error),
    })
}

/// What somebody probably meant who named a directory that is no repository.
fn hint_for(path: &Path) -> String {
    if !path.exists() {
        return ", which does not exist".to_owned();
    }
    let around = Repository::discover(path).ok().and_then(|inner| inner.workdir().map(Path::to_owned));
    match around.as_deref().and_then(|root| Some((root, path.strip_prefix(root).ok()?))) {
        Some((root, below)) => format!("; it is inside one: use --repo {} --path {}", root.display(), below.display()),
        None => "; to read the files of a plain directory, add --working-tree".to_owned(),
    }
}
