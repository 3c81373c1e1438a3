//! Gives apply the files of the commit in force. What is written where is the executor's business.

use std::collections::HashMap;
use std::sync::Arc;

use super::commits::SharedSnapshot;
use crate::apply::Bundles;
use crate::desired::Desired;
use crate::executor::{BundleFile, BundleReader};
use crate::model::{BlobId, Item};
use crate::plan::{BundleSpec, bundle_id};

/// The largest file that is read, bytes (plan.md, "The repository is not trusted").
const FILE_LIMIT: u64 = 64 << 20;

/// The items of the commit in force and where their bytes are.
pub struct CommitBundles {
    items: HashMap<String, Arc<Item>>,
    snapshot: SharedSnapshot,
}

impl CommitBundles {
    /// The items of a desired state.
    pub fn new(desired: &Desired, needed: impl Iterator<Item = BundleSpec>, snapshot: SharedSnapshot) -> Self {
        let items = needed.filter_map(|spec| {
            let item = desired.items.get(&spec.item)?;
            Some((spec.item.to_string(), item.clone()))
        });
        Self { items: items.collect(), snapshot }
    }
}

impl Bundles for CommitBundles {
    fn reader(&self, bundle: &BundleSpec) -> Result<Arc<dyn BundleReader>, String> {
        // The commit in force may hold other files of that item than a form that is kept from before.
        let item = self.items.get(bundle.item.as_str()).filter(|item| bundle_id(item) == bundle.id);
        let item = item.ok_or_else(|| {
            format!(
                "the files of {} at its last good revision are not in the commit in force, and not on the data volume",
                bundle.item
            )
        })?;
        let files = item.files.iter().filter(|file| file.path.as_ref() != "content.yaml");
        let files =
            files.map(|file| BundleFile { path: file.path.clone(), executable: file.executable, contents: file.blob });
        Ok(Arc::new(ItemReader { files: files.collect(), snapshot: self.snapshot.clone() }))
    }
}

struct ItemReader {
    files: Vec<BundleFile>,
    snapshot: SharedSnapshot,
}

impl BundleReader for ItemReader {
    fn files(&self) -> &[BundleFile] {
        &self.files
    }

    fn read(&self, contents: &BlobId) -> Result<Vec<u8>, String> {
        self.snapshot.blob(*contents, FILE_LIMIT).map_err(|error| error.to_string())
    }
}
