//! The Git source as the reconciler sees it. Reading Git is `source`'s work.

use std::time::Duration;

use async_trait::async_trait;

use super::commits::{Commits, CommitsError, SharedSnapshot};
use super::daemon::Wakes;
use crate::model::CommitId;
use crate::plan::SourceIdentity;
use crate::source::{Source, SourceError, Watch};

/// Commits from a Git repository.
pub struct GitCommits {
    source: Source,
    reference: String,
    working_tree: bool,
}

impl GitCommits {
    /// Follows `reference` of a source.
    pub const fn new(source: Source, reference: String, working_tree: bool) -> Self {
        Self { source, reference, working_tree }
    }
}

fn error(error: &SourceError) -> CommitsError {
    CommitsError { message: super::chain(error) }
}

#[async_trait]
impl Commits for GitCommits {
    async fn look(&self) -> Result<CommitId, CommitsError> {
        self.source.look().await.map(|looked| looked.commit).map_err(|it| error(&it))
    }

    async fn snapshot(&self, commit: CommitId) -> Result<SharedSnapshot, CommitsError> {
        self.source.snapshot(commit).map_err(|it| error(&it))
    }

    async fn descends(&self, ancestor: CommitId, commit: CommitId) -> Result<bool, CommitsError> {
        self.source.is_descendant(ancestor, commit).await.map_err(|it| error(&it))
    }

    fn identity(&self) -> SourceIdentity {
        let identity = self.source.identity();
        SourceIdentity {
            repository: identity.repository.clone(),
            path: identity.path.clone(),
            reference: self.reference.clone(),
        }
    }

    fn is_working_tree(&self) -> bool {
        self.working_tree
    }
}

/// Wakes when the repository changes or its interval is over, later after failures.
pub struct GitWakes(Watch);

impl GitWakes {
    /// Watches a source.
    pub fn new(source: &Source, interval: Duration) -> Self {
        Self(source.watch(interval))
    }
}

#[async_trait]
impl Wakes for GitWakes {
    async fn woken(&self, failures: u32) {
        use std::hash::{BuildHasher, RandomState};
        // Jitter spreads the polls of many instances; it needs no better randomness than a hasher's keys.
        let random = RandomState::new().hash_one(failures);
        self.0.woken(failures, random).await;
    }
}
