//! A bare mirror of a remote: brings one ref's whole history here, and remembers the last good commit across restarts.
//! How the remote is reached is `transport`'s; what a commit contains is read in `tree`.
//!
//! A mirror is a cache. Whatever is wrong with it - a pack cut short by a full disk, a lock left by a killed process - it is
//! made again beside the old one and swapped in by a rename, and the old one stays until the new one is whole.
//!
//! History is never cut short (`depth`): whether a branch was forced back can only be seen in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use git2::{AutotagOption, Direction, ErrorClass, FetchOptions, Oid, Remote, Repository};
use tokio_util::sync::CancellationToken;

use super::error::SourceError;
use super::local::peeled;
use super::objects::{Objects, Owner};
use super::repack::repack;
use super::transport::{Endpoint, RemoteOptions, TransportError};
use super::tree::{bytes, has_commit, oid};
use super::url::{RefName, RepositoryUrl};
use crate::model::{CommitId, Digest};

/// How long another process may use the mirror before we stop waiting: longer than it may take for one look.
const LONGEST_WAIT: Duration = Duration::from_mins(16);
/// How often a mirror in use is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// The mirror of one remote.
#[derive(Debug)]
pub(super) struct Mirror {
    endpoint: Arc<Endpoint>,
    directory: PathBuf,
    objects: Arc<Objects>,
    /// One fetch at a time in this process; the lock file keeps other processes out.
    writing: Mutex<Repairs>,
}

/// What was already repaired, so that a remote that is itself damaged is not cloned again at every look.
#[derive(Debug, Default)]
struct Repairs {
    last: Option<CommitId>,
}

/// Why an update failed, told apart by what helps.
enum Trouble {
    /// A new mirror may help.
    Mirror(git2::Error),
    /// Only the other side can help.
    Elsewhere(SourceError),
}

/// A ref of the remote, as it is advertised.
struct Target {
    /// The left side of the refspec.
    name: String,
    /// The commit behind it, where the remote says so itself.
    commit: Oid,
}

impl Mirror {
    /// The mirror of `url` below `parent`. Nothing is asked yet; what was brought before can be read at once.
    pub(super) fn open(parent: &Path, url: &RepositoryUrl, options: RemoteOptions) -> Result<Self, SourceError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.map_err(SourceError::file("create the directory", parent))?;
        let name = Digest::of(url.normalised()).prefix(20);
        let directory = parent.join(format!("{name}.git"));
        let endpoint = Endpoint::new(url.clone(), options).map_err(SourceError::git("set up the transport", parent))?;
        let objects = Arc::new(Objects::new(directory.clone(), Owner::Wharf));
        let mirror = Self { endpoint, directory, objects, writing: Mutex::default() };
        // Whoever holds the lock is alive and tidies up itself.
        if let Some(_held) = mirror.try_hold()? {
            mirror.tidy()?;
        }
        Ok(mirror)
    }

    pub(super) const fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// The commit that `reference` led to at the last look that succeeded, if it can still be read.
    pub(super) fn current(&self, reference: &RefName) -> Option<CommitId> {
        let git = Repository::open_bare(&self.directory).ok()?;
        let commit = CommitId::from_bytes(bytes(git.refname_to_id(&stored("current", reference)).ok()?));
        has_commit(&git, commit).then_some(commit)
    }

    /// Asks the remote where `reference` leads, brings what is missing, and remembers it as current.
    pub(super) fn look(&self, reference: &RefName, cancelled: &CancellationToken) -> Result<CommitId, SourceError> {
        let commit = self.bring(reference, cancelled)?;
        let failed = |error| SourceError::git("remember the commit", &self.directory)(error);
        let git = Repository::open_bare(&self.directory).map_err(failed)?;
        let (name, id) = (stored("current", reference), oid(commit.as_bytes()).map_err(failed)?);
        if git.refname_to_id(&name).ok() != Some(id) {
            git.reference(&name, id, true, "").map_err(failed)?;
        }
        Ok(commit)
    }

    /// Asks the remote where `reference` leads and brings what is missing. Gives up soon after `cancelled` says so.
    pub(super) fn bring(&self, reference: &RefName, cancelled: &CancellationToken) -> Result<CommitId, SourceError> {
        let mut repairs = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _held = self.hold(cancelled)?;
        self.tidy()?;
        if let RefName::Commit(commit) = reference
            && !self.objects.is_suspect()
            && Repository::open_bare(&self.directory).is_ok_and(|git| has_commit(&git, *commit))
        {
            return Ok(*commit);
        }
        self.endpoint.begin(cancelled);
        if !self.directory.exists() {
            return self.rebuild(reference);
        }
        match self.update(&self.directory, reference) {
            Ok(commit) if self.objects.is_suspect() && repairs.last != Some(commit) => {
                tracing::warn!(mirror = %self.directory.display(), "an object could not be read, cloning again");
                repairs.last = Some(commit);
                self.rebuild(reference)
            }
            Ok(commit) => {
                if let Err(error) = repack(&self.objects) {
                    // The commit is here, which is what counts; the next look tries again.
                    tracing::warn!(mirror = %self.directory.display(), %error, "the packs could not be joined");
                }
                Ok(commit)
            }
            Err(Trouble::Elsewhere(error)) => Err(error),
            Err(Trouble::Mirror(problem)) => {
                tracing::warn!(mirror = %self.directory.display(), %problem, "the mirror is damaged, cloning again");
                self.rebuild(reference)
            }
        }
    }

    /// Clones beside the mirror and puts the clone in its place.
    fn rebuild(&self, reference: &RefName) -> Result<CommitId, SourceError> {
        let (new, old) = (self.beside("new"), self.beside("old"));
        remove(&new)?;
        let made = Repository::init_bare(&new).map(drop);
        made.map_err(SourceError::git("make a mirror", &new))?;
        let commit = self.update(&new, reference).map_err(|trouble| match trouble {
            Trouble::Elsewhere(error) => error,
            Trouble::Mirror(error) if matches!(error.class(), ErrorClass::Os | ErrorClass::Filesystem) => {
                SourceError::git("clone", &new)(error)
            }
            // Nothing was here before, so what is wrong came from there.
            Trouble::Mirror(source) => SourceError::Protocol { repository: self.name(), source },
        });
        if commit.is_err() {
            remove(&new)?;
        }
        let commit = commit?;
        self.carry_over(&new);
        self.objects.exchange(|| {
            if self.directory.exists() {
                fs::rename(&self.directory, &old).map_err(SourceError::file("rename", &self.directory))?;
            }
            fs::rename(&new, &self.directory).map_err(SourceError::file("rename", &new))
        })?;
        self.objects.repaired();
        remove(&old)?;
        Ok(commit)
    }

    /// Copies what the old mirror remembered of other refs, as far as the new one has the commits.
    fn carry_over(&self, new: &Path) {
        let (Ok(from), Ok(to)) = (Repository::open_bare(&self.directory), Repository::open_bare(new)) else { return };
        let Ok(references) = from.references_glob("refs/wharf/current/*") else { return };
        for reference in references.flatten() {
            let (Ok(name), Some(id)) = (reference.name(), reference.target()) else { continue };
            if has_commit(&to, CommitId::from_bytes(bytes(id))) {
                // Without it a restart while the remote is down starts from nothing; no reason to stop now.
                let _ = to.reference(name, id, true, "");
            }
        }
    }

    /// Connects, compares and, only if something is missing, fetches.
    fn update(&self, directory: &Path, reference: &RefName) -> Result<CommitId, Trouble> {
        let git = Repository::open_bare(directory).map_err(Trouble::Mirror)?;
        let mut remote = git.remote_anonymous(&self.endpoint.address()).map_err(Trouble::Mirror)?;
        let heads = self.list(&mut remote)?;
        if heads.is_empty() {
            return Err(Trouble::Elsewhere(SourceError::Empty { repository: self.name() }));
        }
        if let RefName::Commit(commit) = reference {
            return self.bring_commit(&git, &mut remote, &heads, *commit);
        }
        let target = self.choose(&heads, reference).map_err(Trouble::Elsewhere)?;
        let commit = CommitId::from_bytes(bytes(target.commit));
        if has_commit(&git, commit) {
            return Ok(commit);
        }
        self.fetch(&mut remote, &[format!("+{}:{}", target.name, stored("fetched", reference))])?;
        let object = git.find_object(target.commit, None).map_err(Trouble::Mirror)?;
        let commit = peeled(&object, reference).map_err(Trouble::Elsewhere)?;
        if has_commit(&git, commit) {
            return Ok(commit);
        }
        Err(Trouble::Mirror(git2::Error::from_str("the commit that was fetched cannot be read")))
    }

    /// Brings one commit: by a ref that leads to it, else by its id, else with everything the remote gives out.
    fn bring_commit(
        &self,
        git: &Repository,
        remote: &mut Remote<'_>,
        heads: &[(String, Oid)],
        commit: CommitId,
    ) -> Result<CommitId, Trouble> {
        let wanted = oid(commit.as_bytes()).map_err(Trouble::Mirror)?;
        if has_commit(git, commit) {
            return Ok(commit);
        }
        let stored = stored("fetched", &RefName::Commit(commit));
        let head = heads.iter().find(|(name, id)| *id == wanted && !name.ends_with("^{}"));
        let source = head.map_or_else(|| commit.to_string(), |(name, _)| name.clone());
        // A server may refuse to give out a commit by its id. If it is down instead, the next step says so.
        if self.fetch(remote, &[format!("+{source}:{stored}")]).is_err() || !has_commit(git, commit) {
            // The same look goes on; only the refusal is forgotten.
            drop(self.endpoint.take_failure());
            self.list(remote)?;
            let everything = ["+refs/heads/*:refs/wharf/branches/*", "+refs/tags/*:refs/wharf/tags/*"];
            self.fetch(remote, &everything.map(str::to_owned))?;
        }
        if has_commit(git, commit) {
            return Ok(commit);
        }
        match git.find_object(wanted, None) {
            Ok(object) => peeled(&object, &RefName::Commit(commit)).map_err(Trouble::Elsewhere),
            Err(_) => Err(Trouble::Elsewhere(SourceError::CommitGone { repository: self.name(), commit })),
        }
    }

    /// The refs the remote has now. Over HTTP this is one request.
    fn list(&self, remote: &mut Remote<'_>) -> Result<Vec<(String, Oid)>, Trouble> {
        remote.connect(Direction::Fetch).map_err(|error| self.elsewhere(error))?;
        let heads = remote.list().map_err(|error| self.elsewhere(error))?;
        Ok(heads.iter().map(|head| (head.name().to_owned(), head.oid())).collect())
    }

    fn choose(&self, heads: &[(String, Oid)], reference: &RefName) -> Result<Target, SourceError> {
        let find = |name: &str| heads.iter().find(|(found, _)| found == name).map(|(_, id)| *id);
        for name in reference.candidates() {
            if let Some(id) = find(&name) {
                let commit = find(&format!("{name}^{{}}")).unwrap_or(id);
                return Ok(Target { name, commit });
            }
        }
        let branches = heads.iter().filter_map(|(name, _)| name.strip_prefix("refs/heads/"));
        let near = branches.take(super::NEAR).map(str::to_owned).collect();
        Err(SourceError::RefGone { repository: self.name(), reference: reference.clone(), near })
    }

    fn fetch(&self, remote: &mut Remote<'_>, refspecs: &[String]) -> Result<(), Trouble> {
        let mut options = FetchOptions::new();
        options.download_tags(AutotagOption::None).update_fetchhead(false);
        remote.fetch(refspecs, Some(&mut options), None).map_err(|error| {
            let ours = !matches!(error.class(), ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssh);
            match self.endpoint.take_failure() {
                Some(source) => Trouble::Elsewhere(SourceError::Remote { repository: self.name(), source }),
                None if ours => Trouble::Mirror(error),
                None => self.elsewhere(error),
            }
        })
    }

    /// A failure of the other side: the transport's own words if it has any, else what libgit2 made of the answer.
    fn elsewhere(&self, source: git2::Error) -> Trouble {
        let repository = self.name();
        Trouble::Elsewhere(match self.endpoint.take_failure() {
            Some(source) => SourceError::Remote { repository, source },
            None => SourceError::Protocol { repository, source },
        })
    }

    fn name(&self) -> String {
        self.endpoint.url().to_string()
    }

    fn beside(&self, what: &str) -> PathBuf {
        self.directory.with_extension(format!("git.{what}"))
    }

    /// Waits for the lock file. The system releases it with the process that holds it, so it is never stale.
    fn hold(&self, cancelled: &CancellationToken) -> Result<File, SourceError> {
        let start = Instant::now();
        loop {
            if let Some(file) = self.try_hold()? {
                return Ok(file);
            }
            if cancelled.is_cancelled() {
                return Err(SourceError::Remote { repository: self.name(), source: TransportError::Cancelled });
            }
            if start.elapsed() > LONGEST_WAIT {
                return Err(SourceError::Busy { path: self.directory.clone(), waited: LONGEST_WAIT });
            }
            std::thread::sleep(RETRY);
        }
    }

    fn try_hold(&self) -> Result<Option<File>, SourceError> {
        let path = self.beside("lock");
        let file = File::create(&path).map_err(SourceError::file("create the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(SourceError::file("lock", &path)(error)),
        }
    }

    /// Finishes or undoes what a killed process left. Only under the lock: then nobody is still writing.
    fn tidy(&self) -> Result<(), SourceError> {
        let (new, old) = (self.beside("new"), self.beside("old"));
        if !self.directory.exists() && old.exists() {
            fs::rename(&old, &self.directory).map_err(SourceError::file("rename", &old))?;
        }
        remove(&new)?;
        remove(&old)?;
        for place in ["", "refs", "objects/pack", "objects/info"] {
            remove_leftovers(&self.directory.join(place), place == "refs")?;
        }
        Ok(())
    }
}

/// Removes Git's locks and half-written packs from a directory.
fn remove_leftovers(directory: &Path, deep: bool) -> Result<(), SourceError> {
    let failed = |error| SourceError::file("clean up", directory)(error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        if is_directory && deep {
            remove_leftovers(&path, true)?;
        } else if !is_directory
            && (path.extension().is_some_and(|extension| extension == "lock")
                || name.to_string_lossy().starts_with("pack_git2_"))
        {
            tracing::warn!(file = %path.display(), "removing what an interrupted fetch left");
            fs::remove_file(&path).map_err(SourceError::file("remove", &path))?;
        }
    }
    Ok(())
}

fn remove(directory: &Path) -> Result<(), SourceError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SourceError::file("remove", directory)(error)),
        _ => Ok(()),
    }
}

/// The mirror's own ref for one of the operator's. Hashed: `a` and `a/b` cannot both be refs, and both may be asked for.
fn stored(kind: &str, reference: &RefName) -> String {
    let key = Digest::of(reference.to_string()).prefix(16);
    format!("refs/wharf/{kind}/{key}")
}
