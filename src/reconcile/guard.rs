//! Whether a commit may be put in force at all: where it comes from, and whether history was rewritten (plan.md, "Safety").

use super::commits::Commits;
use crate::desired::Desired;
use crate::model::CommitId;
use crate::plan::{RegistryView, SourceIdentity};

/// What the operator agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Consent {
    /// A commit that does not descend from the one in force.
    pub rewinds: bool,
    /// Another repository or path than before.
    pub source: bool,
}

/// Why a commit is not put in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This instance belongs to another repository.
    #[error(
        "this instance follows {} (path {:?}), and is now pointed at {} (path {:?}); if that is meant, start it once \
         with --adopt-source",
        .known.repository, .known.path, .found.repository, .found.path
    )]
    OtherSource {
        /// What it followed so far.
        known: SourceIdentity,
        /// What it is pointed at.
        found: SourceIdentity,
    },
    /// The ref was moved back or sideways.
    #[error(
        "{} moved from {} to {}, which is no descendant of it; if the history was rewritten on purpose, allow it once \
         with --allow-rewind",
        .reference, .from.short(), .to.short()
    )]
    Rewind {
        /// The ref.
        reference: String,
        /// The commit in force.
        from: CommitId,
        /// The commit it names now.
        to: CommitId,
    },
    /// Whether history was rewritten cannot be told.
    #[error("whether {} descends from {} cannot be told: {problem}; the last good commit stays in force", .to.short(), .from.short())]
    Unknown {
        /// The commit in force.
        from: CommitId,
        /// The commit the ref names now.
        to: CommitId,
        /// What the source says.
        problem: String,
    },
}

/// Why a commit that holds nothing is not put in force.
pub(super) const VOID: &str = "it holds no item and no environment, and this instance runs some; nothing is deleted on the strength of \
     that: check --path and --ref, and end what runs with wharf down";

/// Whether a commit asks for nothing at all: a wrong path looks like this.
pub(super) fn is_void(desired: &Desired) -> bool {
    desired.items.is_empty()
        && desired.broken_items.is_empty()
        && desired.environments.is_empty()
        && desired.broken_environments.is_empty()
}

/// What speaks against a commit, if anything.
pub(super) async fn refusal(
    commits: &dyn Commits,
    commit: CommitId,
    registry: &RegistryView,
    consent: &Consent,
) -> Option<Refusal> {
    let found = commits.identity();
    let Some(known) = &registry.memory.source else { return None };
    let other = known.repository != found.repository || known.path != found.path;
    if other && !consent.source {
        return Some(Refusal::OtherSource { known: known.clone(), found });
    }
    let from = registry.memory.commit.filter(|from| *from != commit)?;
    // Another ref is the operator's own choice, and uncommitted files have no history.
    if other || consent.rewinds || known.reference != found.reference || commits.is_working_tree() {
        return None;
    }
    match commits.descends(from, commit).await {
        Ok(true) => None,
        Ok(false) => Some(Refusal::Rewind { reference: found.reference, from, to: commit }),
        Err(error) => Some(Refusal::Unknown { from, to: commit, problem: error.message }),
    }
}
