//! The room `desired`: the bytes of one commit become environments, items, a policy and diagnostics. Pure; what they run on is `select`'s.
//!
//! A commit is read through [`snapshot::Snapshot`], by id. Every problem belongs to one environment, one item or the
//! policy: what is broken is named and keeps its last good state, everything else goes on.

pub mod cache;
pub mod ceiling;
pub mod checksums;
pub mod commit;
pub mod content_paths;
pub mod content_yaml;
pub mod contents;
pub mod crosscheck;
pub mod demands;
pub mod environment_files;
pub mod environments;
pub mod glob;
pub mod item;
pub mod json;
pub mod layout;
pub mod manifest;
pub mod memory_snapshot;
pub mod package_files;
pub mod policy;
pub mod reading;
pub mod settings_rules;
pub mod snapshot;
pub mod source_text;
pub mod tree;
pub mod unmanaged;
pub mod walk;
pub mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{BlobId, Diagnostic, Diagnostics, Digest, Environment, ImageRef, Item, ItemName, Place, Policy};
pub use cache::Cache;
pub use ceiling::Ceiling;
pub use checksums::check_sums;
pub use commit::read;
use snapshot::Unreadable;

/// An execution environment that a commit defines.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredEnvironment {
    /// What the file says.
    pub environment: Environment,
    /// The file, and the entry in it.
    pub place: Place,
    /// The file's content.
    pub blob: BlobId,
    /// The digest of the environment: equal digests need no write.
    pub digest: Digest,
}

/// An environment whose entry has an error. Its record keeps its last good state.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokenEnvironment {
    /// The file, and the entry in it.
    pub place: Place,
    /// The first error found.
    pub first: Diagnostic,
}

/// An item that has an error. It keeps its last good revision and is shown as stalled.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokenItem {
    /// Its directory from the root of what is read; empty for the root itself.
    pub directory: Arc<str>,
    /// The first error found.
    pub first: Diagnostic,
}

/// Everything a commit asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// What `wharf.yaml` asks, narrowed by what the operator allows.
    pub policy: Arc<Policy>,
    /// The environments that could be read.
    pub environments: BTreeMap<ImageRef, Arc<DesiredEnvironment>>,
    /// Entries that name an image and have an error.
    pub broken_environments: BTreeMap<ImageRef, BrokenEnvironment>,
    /// False while a file could not be read so far that its entries are known: then no environment may be deleted.
    pub environments_complete: bool,
    /// The items that could be read.
    pub items: BTreeMap<ItemName, Arc<Item>>,
    /// The others.
    pub broken_items: BTreeMap<ItemName, BrokenItem>,
    /// Every problem, sorted.
    pub diagnostics: Diagnostics,
    /// False when the policy is broken or asks for something this version does not enforce: the commit is not applied.
    pub applicable: bool,
}

/// A commit that cannot be taken as a desired state at all. Nothing is changed because of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The directory that is read holds nothing.
    #[error(
        "expected environments/ or content in the commit, found an empty directory; check --path and --ref, nothing was changed"
    )]
    Empty,
    /// The operator's ceiling makes no sense.
    #[error("the operator's configuration cannot be used; nothing was changed")]
    Ceiling(#[from] ceiling::CeilingError),
    /// Trees that repeat themselves without end, or nearly so.
    #[error(
        "expected at most {limit} files and directories in the commit, found more at {directory:?}; nothing was changed"
    )]
    TooMuch {
        /// Where reading stopped, from the root of what is read.
        directory: String,
        /// How many are read at most.
        limit: usize,
    },
    /// A directory on the way to the items or environments cannot be read.
    #[error("cannot read the directory {directory:?} of the commit; nothing was changed")]
    Unreadable {
        /// The directory, from the root of what is read.
        directory: String,
        /// What is wrong with it.
        #[source]
        source: Unreadable,
    },
}
