//! A snapshot that counts what is read from it: the cost of a reading, without a clock. And one without an end.

use std::sync::atomic::{AtomicUsize, Ordering};

use wharf::desired::memory_snapshot::MemorySnapshot;
use wharf::desired::snapshot::{Entry, EntryKind, Snapshot, Unreadable};
use wharf::model::{BlobId, TreeId};

/// Counts reads of directories and of contents.
pub struct Counting {
    inner: MemorySnapshot,
    directories: AtomicUsize,
    blobs: AtomicUsize,
    sizes: AtomicUsize,
}

/// What was read: directories, contents, sizes.
#[derive(Debug, PartialEq, Eq)]
pub struct Cost {
    pub directories: usize,
    pub blobs: usize,
    pub sizes: usize,
}

impl Counting {
    pub fn new(inner: MemorySnapshot) -> Self {
        Self { inner, directories: AtomicUsize::new(0), blobs: AtomicUsize::new(0), sizes: AtomicUsize::new(0) }
    }

    pub fn cost(&self) -> Cost {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Cost { directories: count(&self.directories), blobs: count(&self.blobs), sizes: count(&self.sizes) }
    }
}

impl Snapshot for Counting {
    fn root(&self) -> TreeId {
        self.inner.root()
    }

    fn directory(&self, tree: TreeId) -> Result<Vec<Entry>, Unreadable> {
        self.directories.fetch_add(1, Ordering::Relaxed);
        self.inner.directory(tree)
    }

    fn blob(&self, blob: BlobId, limit: u64) -> Result<Vec<u8>, Unreadable> {
        self.blobs.fetch_add(1, Ordering::Relaxed);
        self.inner.blob(blob, limit)
    }

    fn size(&self, blob: BlobId) -> Result<u64, Unreadable> {
        self.sizes.fetch_add(1, Ordering::Relaxed);
        self.inner.size(blob)
    }
}

/// Directories inside each other, each holding the next one many times: few objects, endless paths.
pub struct Repeating {
    pub width: u8,
    pub depth: u8,
}

impl Snapshot for Repeating {
    fn root(&self) -> TreeId {
        TreeId::from_bytes([self.depth; 20])
    }

    fn directory(&self, tree: TreeId) -> Result<Vec<Entry>, Unreadable> {
        let level = tree.as_bytes()[0];
        if level == 0 {
            let file = EntryKind::File { blob: BlobId::from_bytes([0; 20]), executable: false };
            return Ok((0..200).map(|n| Entry { name: format!("f{n}").into_bytes(), kind: file }).collect());
        }
        let deeper = EntryKind::Directory(TreeId::from_bytes([level - 1; 20]));
        Ok((b'a'..).take(usize::from(self.width)).map(|name| Entry { name: vec![name], kind: deeper }).collect())
    }

    fn blob(&self, blob: BlobId, _: u64) -> Result<Vec<u8>, Unreadable> {
        Err(Unreadable::Missing { what: blob.to_string() })
    }

    fn size(&self, blob: BlobId) -> Result<u64, Unreadable> {
        Err(Unreadable::Missing { what: blob.to_string() })
    }
}
