//! Where records and memory live: the trait, its errors, and the list of registries. Each registry is one file or folder beside this one.

mod history;
mod memory;
mod precondition;
pub mod sqlite;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{CommitId, Digest, Environment, ImageRef, ItemName};
use crate::plan::{Change, Origin, RegistryView, Uid, WantedItem};

pub use history::{Break, Verification};
pub use memory::MemoryRegistry;
pub use sqlite::SqliteRegistry;

/// What a registry cannot do.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The record is not what the plan was computed from.
    #[error("the record of {name} changed since the plan was made: expected {expected}, found {found}")]
    Moved {
        /// Which record.
        name: String,
        /// What the precondition says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The storage cannot be read or written.
    #[error("{doing} in {place} failed: {problem}")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// Where.
        place: String,
        /// What the storage says.
        problem: String,
    },
    /// The database was written by a newer version, or is no database of ours.
    #[error("{place} holds {found}, this version of wharf reads {expected}")]
    Version {
        /// Where.
        place: String,
        /// What stands there.
        found: String,
        /// What is read.
        expected: String,
    },
}

/// What must be true of a record when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// There is none of that name, or one that cannot be read (see [`crate::plan::Unreadable`]).
    Absent,
    /// It is this one, and `stored` is its digest.
    Present {
        /// Identity.
        uid: Uid,
        /// The digest of what is stored.
        stored: Digest,
    },
}

/// A record to be written.
#[derive(Debug, Clone)]
pub enum NewRecord {
    /// An environment.
    Environment(Arc<Environment>),
    /// An item.
    Content(Arc<WantedItem>),
}

impl NewRecord {
    /// What it is called.
    pub fn name(&self) -> RecordName {
        match self {
            Self::Environment(form) => RecordName::Environment(form.name.clone()),
            Self::Content(form) => RecordName::Content(form.name.clone()),
        }
    }
}

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordName {
    /// An environment's image.
    Environment(ImageRef),
    /// An item.
    Content(ItemName),
}

impl RecordName {
    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::Content(_) => "content",
        }
    }

    /// The name alone.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Environment(name) => name.as_str(),
            Self::Content(name) => name.as_str(),
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.as_str())
    }
}

/// What one operation of an applied plan came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationResult {
    /// `create job run-...`.
    pub operation: String,
    /// Of which item.
    pub item: Option<ItemName>,
    /// Why it was done.
    pub reason: String,
    /// `None` where it went well.
    pub error: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
}

/// One applied plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it was applied.
    pub time: Timestamp,
    /// The commit it came from.
    pub commit: Option<CommitId>,
    /// The plan's id.
    pub plan: String,
    /// Who asked: `run`, `apply by root`.
    pub actor: String,
    /// What came of it.
    pub results: Vec<OperationResult>,
}

/// A history entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its number, from 1.
    pub number: i64,
    /// What happened.
    pub entry: HistoryEntry,
    /// The digest of the previous entry's chain, as text, followed by this entry's canonical JSON.
    pub chain: Digest,
}

/// Where records and memory live. One writer at a time; every method is safe to call again after an error.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Everything, from a cache that is re-read only when the storage changed. At rest it costs no query that reads rows.
    async fn view(&self) -> Result<Arc<RegistryView>, RegistryError>;

    /// Writes a record whole, if it still is what was expected. Gives the record's identity. Writing somebody else's record
    /// makes it ours: that is how one is adopted, and only the plan decides it.
    async fn write(
        &self,
        record: NewRecord,
        origin: Origin,
        expected: Expected,
        now: Timestamp,
    ) -> Result<Uid, RegistryError>;

    /// Deletes a record, if it still is what was expected. Somebody else's is never deleted.
    async fn delete(&self, name: RecordName, expected: Expected) -> Result<(), RegistryError>;

    /// Writes changes of memory in one transaction.
    async fn remember(&self, changes: &[Change], now: Timestamp) -> Result<(), RegistryError>;

    /// Adds to the history, and gives the chain's new head.
    async fn record(&self, entry: HistoryEntry) -> Result<Digest, RegistryError>;

    /// The newest entries of the history, newest first. One that cannot be read is left out; [`Registry::verify`] names it.
    async fn history(&self, limit: u32) -> Result<Vec<Recorded>, RegistryError>;

    /// Follows the whole history from its start and says where it was changed, if it was.
    async fn verify(&self) -> Result<Verification, RegistryError>;
}
