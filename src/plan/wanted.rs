//! What one item should be, in full: the form that is recorded, hashed and kept. Making it from a commit: `resolve.rs`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::job::{ContentSpec, ServiceSpec, Target};
use super::names::{BundleId, Revision};
use crate::model::{Appmode, Digest, ItemName, Kind, Selected, Slug, TreeId};

/// What is shown about an item and shapes no process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of formats.md, which explains each")]
pub struct Presentation {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
}

/// When a document is rendered again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timetable {
    /// A cron expression that was read successfully.
    pub cron: String,
    /// An IANA timezone that is known.
    pub timezone: String,
}

/// What one item should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WantedItem {
    /// Its name.
    pub name: ItemName,
    /// Its short name.
    pub slug: Slug,
    /// Its identity towards Connect's API.
    pub guid: String,
    /// The identity `content.yaml` gives, kept over renames.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What it is.
    pub appmode: Appmode,
    /// Its directory's tree: a moved item with an equal tree is recognised as renamed.
    pub tree: TreeId,
    /// Everything that shapes its processes, as a name.
    pub revision: Revision,
    /// Its files.
    pub bundle: BundleId,
    /// The environment it runs in; `None` for static items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub selected: Option<Selected>,
    /// The digest of its demands when it was selected: a sticky selection stays while they are equal.
    pub demands: Digest,
    /// What its jobs have in common; `None` for static items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<Arc<ContentSpec>>,
    /// How many processes are kept alive; 0 for what is not interactive.
    pub processes: u32,
    /// The document shown first, for static items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub index: Option<String>,
    /// When a document is rendered again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timetable: Option<Timetable>,
    /// Whether nothing of it is to be touched.
    pub suspend: bool,
    /// For people.
    pub presentation: Presentation,
}

/// A [`WantedItem`] and its digests, computed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What the item should be.
    pub item: Arc<WantedItem>,
    /// The digest of its canonical JSON.
    pub digest: Digest,
    /// Where it stands in Git.
    pub origin: super::observed::Origin,
    /// The digest of its address as it should be; `None` for documents, whose address follows their results.
    pub service: Option<Digest>,
}

impl Wanted {
    /// An item with the digests that every pass compares by.
    pub fn new(item: Arc<WantedItem>, origin: super::observed::Origin) -> Self {
        let digest = Digest::of_value(&item);
        Self::with_digest(item, digest, origin)
    }

    /// The same for a form whose digest is known.
    pub fn with_digest(item: Arc<WantedItem>, digest: Digest, origin: super::observed::Origin) -> Self {
        let target = match item.appmode.kind() {
            Kind::Static => Some(Target::Bundle { id: item.bundle.clone(), index: item.index.clone() }),
            Kind::Interactive => Some(Target::Processes),
            Kind::Rendered => None,
        };
        let service = target.map(|target| item.service(target).digest());
        Self { item, digest, origin, service }
    }
}

impl WantedItem {
    /// Its stable address, answering with a target.
    pub fn service(&self, target: Target) -> ServiceSpec {
        ServiceSpec { item: self.name.clone(), slug: self.slug.clone(), revision: self.revision.clone(), target }
    }
}
