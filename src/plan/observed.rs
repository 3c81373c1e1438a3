//! What is: the registry's records and the executor's jobs, as their rooms report them. No reading of the world here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::job::Target;
use super::memory::Memory;
use super::names::{BundleId, JobName, PackageKey, Revision, Role, Slot};
use super::wanted::WantedItem;
use crate::model::{BlobId, Digest, Environment, ImageRef, ItemName, Slug};

/// Whether an object carries this instance's ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// We made it, or adopted it.
    #[default]
    Ours,
    /// Somebody else's of the same name.
    Foreign,
}

/// Identity of one stored record: it changes when the record is deleted and made again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Uid(pub String);

/// Where a record came from in Git.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Path from the root of what is read.
    pub path: String,
    /// The file's content.
    pub blob: BlobId,
}

/// A record and what the registry knows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<T> {
    /// Its identity.
    pub uid: Uid,
    /// Grows with every write.
    pub version: i64,
    /// Whose it is.
    pub ownership: Ownership,
    /// The digest of `form`'s canonical JSON as it was applied. It differs from the digest of what is stored after an
    /// edit by hand.
    pub applied: Digest,
    /// The digest of what is stored now.
    pub stored: Digest,
    /// Where it came from.
    pub origin: Origin,
    /// What is stored: what was applied, unless the two digests differ.
    pub form: Arc<T>,
}

/// What kind of thing a registry could not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoredKind {
    /// An environment's record.
    Environment,
    /// An item's record.
    Content,
    /// A part of memory. It counts as forgotten.
    Memory,
}

/// Something stored that cannot be read, after an edit by hand. It is drift: writing it anew mends it, and for that it
/// counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What it is.
    pub kind: StoredKind,
    /// The name it is stored under, as it stands there.
    pub name: String,
    /// Its identity, where it is a record.
    pub uid: Option<Uid>,
    /// The digest of what is stored now.
    pub stored: Digest,
    /// Why it cannot be read, and where it stands.
    pub problem: String,
}

/// Everything the registry holds.
#[derive(Debug, Clone, Default)]
pub struct RegistryView {
    /// Environment records.
    pub environments: BTreeMap<ImageRef, Record<Environment>>,
    /// Content records.
    pub contents: BTreeMap<ItemName, Record<WantedItem>>,
    /// Outcomes, former revisions, suspensions, approvals.
    pub memory: Memory,
    /// What is stored and cannot be read; it is in none of the fields above.
    pub unreadable: Vec<Unreadable>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Started; what it does now, in words.
    Starting {
        /// "installing pandas", "waiting for its port", "pulling the image".
        progress: Option<String>,
    },
    /// A run that accepts connections.
    Ready,
    /// A build or render that ended well.
    Succeeded,
    /// Ended badly.
    Failed {
        /// Why, in plain words.
        reason: String,
        /// The last lines of its log.
        tail: Vec<String>,
        /// Whether it is to be counted as a failed try (a reboot or a node drain is not).
        counts: bool,
    },
    /// Asked to end, not gone yet.
    Stopping,
}

impl Phase {
    /// Whether it will change by itself.
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Ready | Self::Stopping)
    }
}

/// One job as its executor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObservedJob {
    /// Its name.
    pub name: JobName,
    /// Identity of this very job.
    pub uid: Uid,
    /// Whose it is.
    pub ownership: Ownership,
    /// Build, run or render.
    pub role: Role,
    /// The item it was started for.
    pub item: ItemName,
    /// Its revision.
    pub revision: Revision,
    /// Its slot.
    pub slot: Slot,
    /// Which try.
    pub attempt: u32,
    /// How far it is.
    pub phase: Phase,
    /// When it was started.
    pub started: Timestamp,
    /// When it became ready.
    pub ready: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Where it listens, when it does (`127.0.0.1:41001`).
    pub address: Option<String>,
    /// Its process on this host, for people.
    pub pid: Option<u32>,
}

/// The stable address of an item as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObservedService {
    /// Identity of this very service.
    pub uid: Uid,
    /// Whose it is.
    pub ownership: Ownership,
    /// The revision that answers.
    pub revision: Revision,
    /// What answers.
    pub target: Target,
    /// The digest of our fields.
    pub digest: Digest,
    /// Where people reach it.
    pub url: Option<String>,
}

/// Everything the executor holds of one item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ObservedItem {
    /// Bundles that are whole, oldest first.
    pub bundles: Vec<BundleId>,
    /// Run and render jobs, by name.
    pub jobs: BTreeMap<JobName, ObservedJob>,
    /// Its address.
    pub service: Option<ObservedService>,
    /// Results that are whole, oldest first.
    pub results: Vec<(Revision, Slot)>,
}

/// Everything the executor holds.
#[derive(Debug, Clone, Default)]
pub struct ExecutorView {
    /// By short name.
    pub items: BTreeMap<Slug, ObservedItem>,
    /// Build jobs, by the environment they make, newest attempt last.
    pub builds: BTreeMap<PackageKey, Vec<ObservedJob>>,
    /// Package environments that are whole.
    pub package_environments: BTreeSet<PackageKey>,
}

/// The world, as the two rooms report it.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// Records and memory.
    pub registry: &'a RegistryView,
    /// Jobs, bundles, services.
    pub executor: &'a ExecutorView,
}
