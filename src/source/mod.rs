//! The room `source`: Git in, commits and their files out. What the files mean is `desired`'s.
//!
//! A remote is mirrored bare and asked again and again; a repository of this machine is read in place; a working tree is read
//! as if it had been committed. All three are read through [`Snapshot`], by id.

mod commit;
mod error;
mod local;
mod mirror;
mod objects;
mod repack;
mod transport;
mod tree;
mod url;
mod watch;
mod working_tree;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::desired::snapshot::Snapshot;
use crate::model::CommitId;

pub use commit::{CommitInfo, CommitSignature};
pub use error::SourceError;
pub use transport::{RemoteOptions, TransportError};
pub use url::{AddressError, HttpUrl, RefName, RepositoryUrl, SshUrl, Subdirectory};
pub use watch::{Watch, Woken, next_poll};

use local::LocalRepository;
use mirror::Mirror;
use objects::Objects;
use tree::CommitSnapshot;
use watch::Watched;
use working_tree::WorkingTree;

/// How many branches a message names when the one asked for is not there.
const NEAR: usize = 5;

/// Everything that says where commits come from.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// `--repo`.
    pub repository: RepositoryUrl,
    /// `--ref`.
    pub reference: RefName,
    /// `--path`.
    pub path: Subdirectory,
    /// `--working-tree`: uncommitted files count.
    pub working_tree: bool,
    /// Where mirrors of remotes are kept, below the state directory. One directory serves every remote.
    pub mirrors: PathBuf,
    /// How a remote is asked.
    pub remote: RemoteOptions,
}

/// Which repository and directory an instance follows. Another one is another source, and needs the operator's consent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceIdentity {
    /// The address, spelled in one way and without credentials.
    pub repository: String,
    /// The directory in it; empty for the root.
    pub path: String,
}

impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " (path {})", self.path) }
    }
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// The commit the ref leads to now. For a working tree, the id its files would have as a tree.
    pub commit: CommitId,
    /// What it led to at the look before; over a restart, for remotes.
    pub previous: Option<CommitId>,
}

impl Looked {
    /// Whether it leads elsewhere than before.
    pub fn changed(&self) -> bool {
        self.previous != Some(self.commit)
    }
}

/// A repository that is followed.
#[derive(Debug, Clone)]
pub struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SourceConfig,
    identity: SourceIdentity,
    kind: Kind,
    last: Mutex<Option<CommitId>>,
}

#[derive(Debug)]
enum Kind {
    Remote(Mirror),
    Local(LocalRepository),
    Files(WorkingTree),
}

impl Source {
    /// Gets ready to follow a repository. Reads this machine's files and asks no remote, so it succeeds while one is down.
    pub fn open(mut config: SourceConfig) -> Result<Self, SourceError> {
        if let RepositoryUrl::Local(path) = &mut config.repository {
            *path = path.canonicalize().map_err(SourceError::file("find the repository", path))?;
        }
        let kind = match &config.repository {
            RepositoryUrl::Local(path) if config.working_tree => Kind::Files(WorkingTree::open(path, &config.path)?),
            RepositoryUrl::Local(path) => Kind::Local(LocalRepository::open(path)?),
            remote if config.working_tree => {
                return Err(SourceError::NoWorkingTree { repository: remote.to_string() });
            }
            remote => Kind::Remote(Mirror::open(&config.mirrors, remote, config.remote.clone())?),
        };
        let identity = SourceIdentity { repository: config.repository.normalised(), path: config.path.to_string() };
        let last = match &kind {
            Kind::Remote(mirror) => mirror.current(&config.reference),
            Kind::Local(_) | Kind::Files(_) => None,
        };
        Ok(Self(Arc::new(Inner { config, identity, kind, last: Mutex::new(last) })))
    }

    /// Which repository and directory this is.
    pub fn identity(&self) -> &SourceIdentity {
        &self.0.identity
    }

    /// The ref that is followed.
    pub fn reference(&self) -> &RefName {
        &self.0.config.reference
    }

    /// Whether there are commits at all: a working tree has none, so neither a history nor signatures.
    pub fn has_history(&self) -> bool {
        !matches!(self.0.kind, Kind::Files(_))
    }

    /// What the last look that succeeded found. A remote's is known again after a restart, even while the remote is down.
    pub fn current(&self) -> Option<CommitId> {
        *self.0.last()
    }

    /// Sees where the ref leads now, and brings what is missing. If nothing moved, a remote is asked once and nothing fetched.
    /// After an error [`current`](Self::current) stays what it was. Dropping the future ends a fetch that is under way.
    pub async fn look(&self) -> Result<Looked, SourceError> {
        self.run(|inner, cancelled| {
            let commit = match &inner.kind {
                Kind::Remote(mirror) => mirror.look(&inner.config.reference, cancelled)?,
                Kind::Local(local) => local.resolve(&inner.config.reference)?,
                Kind::Files(files) => files.look()?,
            };
            let previous = inner.last().replace(commit);
            Ok(Looked { commit, previous })
        })
        .await
    }

    /// Sees where another ref leads, without following it: for comparing two commits.
    pub async fn resolve(&self, reference: RefName) -> Result<CommitId, SourceError> {
        self.run(move |inner, cancelled| match &inner.kind {
            Kind::Remote(mirror) => mirror.bring(&reference, cancelled),
            Kind::Local(local) => local.resolve(&reference),
            Kind::Files(_) => Err(inner.no_history()),
        })
        .await
    }

    /// A commit's files below `--path`. Reads a few objects, so it is quick; it blocks as any file access does.
    pub fn snapshot(&self, commit: CommitId) -> Result<Arc<dyn Snapshot + Send + Sync>, SourceError> {
        let inner = &self.0;
        if let Kind::Files(files) = &inner.kind {
            return Ok(files.state(commit)?);
        }
        let (objects, repository) = (inner.objects()?, inner.config.repository.to_string());
        Ok(Arc::new(CommitSnapshot::open(objects, &repository, commit, &inner.config.path)?))
    }

    /// What a commit says about itself. A working tree's state says nothing.
    pub fn commit_info(&self, commit: CommitId) -> Result<CommitInfo, SourceError> {
        let objects = self.0.objects()?;
        let info = objects.with(|git| commit::read(git, commit))?;
        info.map_err(|error| SourceError::Damaged {
            repository: self.0.config.repository.to_string(),
            commit,
            source: tree::unreadable_commit(objects, commit, &error),
        })
    }

    /// Whether `commit` is `ancestor` or came after it. No for an ancestor nobody has any more: then history was rewritten.
    pub async fn is_descendant(&self, ancestor: CommitId, commit: CommitId) -> Result<bool, SourceError> {
        self.run(move |inner, _| {
            let objects = inner.objects()?;
            let result = objects.with(|git| {
                if ancestor == commit {
                    return Ok(true);
                }
                let (old, new) = (tree::oid(ancestor.as_bytes())?, tree::oid(commit.as_bytes())?);
                Ok(git.find_commit(old).is_ok() && git.graph_descendant_of(new, old)?)
            })?;
            result.map_err(SourceError::git("follow the history", objects.path()))
        })
        .await
    }

    /// Starts to watch for changes, and to look every `interval` in any case.
    pub fn watch(&self, interval: Duration) -> Watch {
        let watched = match &self.0.kind {
            Kind::Remote(_) => Watched::Nothing,
            // A commit by its id leads nowhere else.
            Kind::Local(_) if matches!(self.0.config.reference, RefName::Commit(_)) => Watched::Nothing,
            Kind::Local(local) => Watched::Refs {
                git_directory: local.git_directory().to_owned(),
                common_directory: local.common_directory().to_owned(),
            },
            Kind::Files(files) => Watched::Files(files.directory()),
        };
        Watch::start(&watched, interval)
    }

    /// Does blocking work on a thread made for it. If the caller stops waiting, the work gives up soon.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &CancellationToken) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (inner, cancelled) = (Arc::clone(&self.0), CancellationToken::new());
        let _cancel_with_us = cancelled.clone().drop_guard();
        tokio::task::spawn_blocking(move || work(&inner, &cancelled)).await.map_err(SourceError::Panicked)?
    }
}

impl Inner {
    fn objects(&self) -> Result<&Arc<Objects>, SourceError> {
        match &self.kind {
            Kind::Remote(mirror) => Ok(mirror.objects()),
            Kind::Local(local) => Ok(local.objects()),
            Kind::Files(_) => Err(self.no_history()),
        }
    }

    fn no_history(&self) -> SourceError {
        SourceError::NoHistory { repository: self.config.repository.to_string() }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<CommitId>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
