//! Where commits come from, as the reconciler sees it: the Git source, or a script in tests. Reading Git is `source`'s work.

use std::sync::Arc;

use async_trait::async_trait;

use crate::desired::snapshot::Snapshot;
use crate::model::CommitId;
use crate::plan::SourceIdentity;

/// Why there is no commit to read. The last good one stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommitsError {
    /// What happened and what to do, in one line.
    pub message: String,
}

/// A snapshot that can be kept and sent to another thread.
pub type SharedSnapshot = Arc<dyn Snapshot + Send + Sync>;

/// Where commits come from.
#[async_trait]
pub trait Commits: Send + Sync {
    /// The commit the ref names now; everything of it can be read afterwards.
    async fn look(&self) -> Result<CommitId, CommitsError>;

    /// What a commit holds.
    async fn snapshot(&self, commit: CommitId) -> Result<SharedSnapshot, CommitsError>;

    /// Whether `commit` has `ancestor` in its history.
    async fn descends(&self, ancestor: CommitId, commit: CommitId) -> Result<bool, CommitsError>;

    /// The repository, path and ref, without credentials.
    fn identity(&self) -> SourceIdentity;

    /// Whether what is read are uncommitted files, which have no history.
    fn is_working_tree(&self) -> bool {
        false
    }
}
