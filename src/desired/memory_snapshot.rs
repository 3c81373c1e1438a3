//! A snapshot made of paths and bytes, for tests and simulations. Its ids are hashes of the content, as Git's are.

use std::collections::{BTreeMap, HashMap};

use super::snapshot::{Entry, EntryKind, Snapshot, Unreadable};
use crate::model::{BlobId, Digest, TreeId};

/// What a path holds.
#[derive(Debug, Clone)]
enum Planted {
    File { bytes: Vec<u8>, executable: bool },
    Symlink(Vec<u8>),
    Submodule,
    Folder(BTreeMap<Vec<u8>, Planted>),
}

/// Collects paths before they become a [`MemorySnapshot`].
#[derive(Debug, Clone, Default)]
pub struct MemorySnapshotBuilder {
    root: BTreeMap<Vec<u8>, Planted>,
}

impl MemorySnapshotBuilder {
    /// A regular file. Directories on the way are made.
    #[must_use]
    pub fn file(self, path: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        self.plant(path.as_ref(), Planted::File { bytes: bytes.as_ref().to_vec(), executable: false })
    }

    /// A file with the executable bit.
    #[must_use]
    pub fn program(self, path: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        self.plant(path.as_ref(), Planted::File { bytes: bytes.as_ref().to_vec(), executable: true })
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.plant(path.as_ref(), Planted::Symlink(target.as_ref().to_vec()))
    }

    /// A gitlink.
    #[must_use]
    pub fn submodule(self, path: impl AsRef<[u8]>) -> Self {
        self.plant(path.as_ref(), Planted::Submodule)
    }

    /// Takes away a file or a whole directory.
    #[must_use]
    pub fn without(mut self, path: impl AsRef<[u8]>) -> Self {
        let mut parts: Vec<&[u8]> = path.as_ref().split(|byte| *byte == b'/').collect();
        let last = parts.pop().unwrap_or_default();
        let mut folder = &mut self.root;
        for part in parts {
            match folder.get_mut(part) {
                Some(Planted::Folder(deeper)) => folder = deeper,
                _ => return self,
            }
        }
        folder.remove(last);
        self
    }

    /// Puts something at a path; a file that stands where a directory is needed gives way.
    fn plant(mut self, path: &[u8], planted: Planted) -> Self {
        let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let last = parts.pop().unwrap_or_default();
        let mut folder = &mut self.root;
        for part in parts {
            let slot = folder.entry(part.to_vec()).or_insert_with(|| Planted::Folder(BTreeMap::new()));
            if !matches!(slot, Planted::Folder(_)) {
                *slot = Planted::Folder(BTreeMap::new());
            }
            match slot {
                Planted::Folder(deeper) => folder = deeper,
                _ => return self,
            }
        }
        folder.insert(last.to_vec(), planted);
        self
    }

    /// The snapshot of what was collected.
    pub fn build(&self) -> MemorySnapshot {
        let mut snapshot =
            MemorySnapshot { root: TreeId::from_bytes([0; 20]), trees: HashMap::new(), blobs: HashMap::new() };
        snapshot.root = snapshot.add_folder(&self.root);
        snapshot
    }
}

/// A commit that lives in memory.
#[derive(Debug, Clone)]
pub struct MemorySnapshot {
    root: TreeId,
    trees: HashMap<TreeId, Vec<Entry>>,
    blobs: HashMap<BlobId, Vec<u8>>,
}

impl MemorySnapshot {
    /// The start of a snapshot.
    pub fn builder() -> MemorySnapshotBuilder {
        MemorySnapshotBuilder::default()
    }

    /// A snapshot of regular files.
    pub fn of<P: AsRef<[u8]>, B: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, B)>) -> Self {
        files.into_iter().fold(Self::builder(), |builder, (path, bytes)| builder.file(path, bytes)).build()
    }

    /// Forgets a blob, as a damaged repository does.
    pub fn lose_blob(&mut self, blob: BlobId) {
        self.blobs.remove(&blob);
    }

    /// Forgets a directory, as a damaged repository does.
    pub fn lose_tree(&mut self, tree: TreeId) {
        self.trees.remove(&tree);
    }

    /// The id a content has.
    pub fn blob_id(bytes: &[u8]) -> BlobId {
        BlobId::from_bytes(short(&Digest::of([b"blob\0".as_slice(), bytes].concat())))
    }

    fn add_folder(&mut self, folder: &BTreeMap<Vec<u8>, Planted>) -> TreeId {
        let mut entries = Vec::with_capacity(folder.len());
        let mut listing = b"tree\0".to_vec();
        for (name, planted) in folder {
            let (letter, id, kind) = self.add(planted);
            listing.push(letter);
            listing.extend_from_slice(&id);
            listing.extend_from_slice(name);
            listing.push(0);
            entries.push(Entry { name: name.clone(), kind });
        }
        let tree = TreeId::from_bytes(short(&Digest::of(listing)));
        self.trees.insert(tree, entries);
        tree
    }

    /// A letter for the kind, the id and the entry of one thing, its content added.
    fn add(&mut self, planted: &Planted) -> (u8, [u8; 20], EntryKind) {
        match planted {
            Planted::File { bytes, executable } => {
                let blob = self.add_blob(bytes);
                let letter = if *executable { b'x' } else { b'f' };
                (letter, *blob.as_bytes(), EntryKind::File { blob, executable: *executable })
            }
            Planted::Symlink(target) => {
                let blob = self.add_blob(target);
                (b'l', *blob.as_bytes(), EntryKind::Symlink(blob))
            }
            Planted::Submodule => (b's', [0; 20], EntryKind::Submodule),
            Planted::Folder(deeper) => {
                let tree = self.add_folder(deeper);
                (b'd', *tree.as_bytes(), EntryKind::Directory(tree))
            }
        }
    }

    fn add_blob(&mut self, bytes: &[u8]) -> BlobId {
        let blob = Self::blob_id(bytes);
        self.blobs.entry(blob).or_insert_with(|| bytes.to_vec());
        blob
    }
}

/// The first twenty bytes of a digest: as long as Git's ids.
fn short(digest: &Digest) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&digest.as_bytes()[..20]);
    bytes
}

impl Snapshot for MemorySnapshot {
    fn root(&self) -> TreeId {
        self.root
    }

    fn directory(&self, tree: TreeId) -> Result<Vec<Entry>, Unreadable> {
        self.trees.get(&tree).cloned().ok_or_else(|| Unreadable::Missing { what: format!("tree {tree}") })
    }

    fn blob(&self, blob: BlobId, limit: u64) -> Result<Vec<u8>, Unreadable> {
        let size = self.size(blob)?;
        if size > limit {
            return Err(Unreadable::TooLarge { size, limit });
        }
        self.blobs.get(&blob).cloned().ok_or_else(|| Unreadable::Missing { what: format!("blob {blob}") })
    }

    fn size(&self, blob: BlobId) -> Result<u64, Unreadable> {
        let bytes = self.blobs.get(&blob).ok_or_else(|| Unreadable::Missing { what: format!("blob {blob}") })?;
        Ok(bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_directories_have_equal_ids_wherever_they_stand() {
        let snapshot = MemorySnapshot::of([("a/x/f", "1"), ("b/x/f", "1"), ("c/x/f", "2")]);
        let inner = |name: &str| {
            let entries = snapshot.directory(snapshot.root()).unwrap();
            entries.into_iter().find(|entry| entry.name == name.as_bytes()).map(|entry| entry.kind)
        };
        assert_eq!(inner("a"), inner("b"));
        assert_ne!(inner("a"), inner("c"));
        assert_eq!(snapshot.blob(MemorySnapshot::blob_id(b"2"), 1).unwrap(), b"2");
        assert!(matches!(snapshot.blob(MemorySnapshot::blob_id(b"2"), 0), Err(Unreadable::TooLarge { .. })));
    }
}
