//! What a commit looks like to the rooms that read it: trees and blobs by id. No Git, no file system: `source` implements it.

use crate::model::{BlobId, TreeId};

/// What stands behind a name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A directory.
    Directory(TreeId),
    /// A regular file.
    File {
        /// Its content.
        blob: BlobId,
        /// Whether its executable bit is set.
        executable: bool,
    },
    /// A symbolic link; its content is the target.
    Symlink(BlobId),
    /// A gitlink: a commit of another repository.
    Submodule,
}

/// One name in a directory, as Git stores it: any bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The name, which may be hostile.
    pub name: Vec<u8>,
    /// What stands behind it.
    pub kind: EntryKind,
}

/// An object that could not be read. Nothing is ever deleted because of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The repository does not hold it.
    #[error("{what} is missing from the repository; fetch it again, or check the repository with `git fsck`")]
    Missing {
        /// The object, for people.
        what: String,
    },
    /// It is there and cannot be understood.
    #[error("{what} is damaged ({problem}); check the repository with `git fsck`")]
    Corrupt {
        /// The object, for people.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It is larger than the caller wants to read.
    #[error("it has {size} bytes, and at most {limit} are read")]
    TooLarge {
        /// Bytes found.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
}

/// One commit's files, by id and never checked out. Equal ids mean equal content, which is what every cache here rests on.
pub trait Snapshot: Sync {
    /// The directory that is read: the commit's tree, or the one below `--path`.
    fn root(&self) -> TreeId;

    /// The names in a directory, in any order.
    fn directory(&self, tree: TreeId) -> Result<Vec<Entry>, Unreadable>;

    /// A file's content, if it has at most `limit` bytes.
    fn blob(&self, blob: BlobId, limit: u64) -> Result<Vec<u8>, Unreadable>;

    /// A file's size in bytes, without reading it.
    fn size(&self, blob: BlobId) -> Result<u64, Unreadable>;
}
