//! A commit's trees and blobs, read by id from an object database. There is no checkout, so no hook, filter, attribute or
//! submodule of the repository ever runs.

use std::sync::Arc;

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository};

use super::error::SourceError;
use super::objects::Objects;
use super::url::Subdirectory;
use crate::desired::snapshot::{Entry, EntryKind, Snapshot, Unreadable};
use crate::model::{BlobId, CommitId, TreeId};

/// The largest directory that is read, in bytes of Git's tree object: about half a million names.
const LARGEST_TREE: u64 = 16 << 20;

/// One commit, or a directory in it.
#[derive(Debug)]
pub(super) struct CommitSnapshot {
    objects: Arc<Objects>,
    root: TreeId,
}

impl CommitSnapshot {
    /// The commit's tree, or the directory `path` in it.
    pub(super) fn open(
        objects: &Arc<Objects>,
        repository: &str,
        commit: CommitId,
        path: &Subdirectory,
    ) -> Result<Self, SourceError> {
        let damaged = |source| SourceError::Damaged { repository: repository.to_owned(), commit, source };
        let root = objects.with(|git| {
            let tree = git.find_commit(oid(commit.as_bytes())?)?.tree_id();
            Ok(TreeId::from_bytes(bytes(tree)))
        })?;
        let root = root.map_err(|error| unreadable_commit(objects, commit, &error)).map_err(damaged)?;
        let mut snapshot = Self { objects: Arc::clone(objects), root };
        for name in path.names() {
            let gone = |problem: String| SourceError::PathGone { commit, path: path.clone(), problem };
            let entries = snapshot.directory(snapshot.root).map_err(damaged)?;
            let entry = entries.into_iter().find(|entry| entry.name == name.as_bytes());
            let Some(entry) = entry else { return Err(gone(format!("it has no {name:?}"))) };
            let EntryKind::Directory(tree) = entry.kind else {
                return Err(gone(format!("{name:?} is {}", describe(entry.kind))));
            };
            snapshot.root = tree;
        }
        // Says now what would otherwise fail later, where it is harder to understand.
        snapshot.directory(snapshot.root).map_err(damaged)?;
        Ok(snapshot)
    }

    /// Reads one object, if it is of this kind and not larger than `limit` bytes.
    fn read(&self, id: &[u8; 20], kind: ObjectType, limit: u64) -> Result<Vec<u8>, Unreadable> {
        self.checked(id, kind, |odb, id, size| {
            if size > limit {
                return Ok(Err(Unreadable::TooLarge { size, limit }));
            }
            Ok(Ok(odb.read(id)?.data().to_vec()))
        })?
    }

    /// Looks at an object's kind and size, which Git knows without reading it, and goes on.
    fn checked<T>(
        &self,
        id: &[u8; 20],
        kind: ObjectType,
        work: impl FnOnce(&Odb<'_>, Oid, u64) -> Result<T, git2::Error>,
    ) -> Result<T, Unreadable> {
        let what = || format!("{} {}", kind.str(), hexadecimal(id));
        let result = self.objects.with(|git| {
            let id = oid(id)?;
            let odb = git.odb()?;
            let (size, found) = odb.read_header(id)?;
            if found != kind {
                return Err(git2::Error::from_str(&format!("expected a {}, found a {}", kind.str(), found.str())));
            }
            work(&odb, id, size as u64)
        });
        match result {
            Ok(result) => result.map_err(|error| unreadable(&self.objects, what, &error)),
            Err(error) => Err(Unreadable::Corrupt { what: what(), problem: error.to_string() }),
        }
    }
}

impl Snapshot for CommitSnapshot {
    fn root(&self) -> TreeId {
        self.root
    }

    fn directory(&self, tree: TreeId) -> Result<Vec<Entry>, Unreadable> {
        let data = self.read(tree.as_bytes(), ObjectType::Tree, LARGEST_TREE)?;
        entries(&data).map_err(|problem| {
            self.objects.suspect();
            Unreadable::Corrupt { what: format!("tree {tree}"), problem: problem.to_owned() }
        })
    }

    fn blob(&self, blob: BlobId, limit: u64) -> Result<Vec<u8>, Unreadable> {
        self.read(blob.as_bytes(), ObjectType::Blob, limit)
    }

    fn size(&self, blob: BlobId) -> Result<u64, Unreadable> {
        self.checked(blob.as_bytes(), ObjectType::Blob, |_, _, size| Ok(size))
    }
}

/// Reads a tree object: `MODE NAME NUL ID`, again and again. Refuses what `git fsck` calls an error: a reader who took the
/// first of two equal names would see another directory than one who took the last.
fn entries(data: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let mut entries = Vec::with_capacity(data.len() / 32);
    let mut rest = data;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or("an entry has no mode")?;
        let (mode, after) = rest.split_at(space);
        let end = after.iter().position(|byte| *byte == 0).ok_or("an entry's name has no end")?;
        let name = after.get(1..end).unwrap_or_default();
        let (id, next) = after.get(end + 1..).and_then(<[u8]>::split_first_chunk::<20>).ok_or("an entry has no id")?;
        if name.is_empty() || name.contains(&b'/') {
            return Err("an entry's name is empty or contains a slash");
        }
        entries.push(Entry { name: name.to_vec(), kind: kind(mode, *id)? });
        rest = next;
    }
    let mut names: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
        return Err("two entries have the same name");
    }
    Ok(entries)
}

/// What an octal mode says. Git writes five of them; group-writable files come from very old ones.
fn kind(mode: &[u8], id: [u8; 20]) -> Result<EntryKind, &'static str> {
    let file = |executable| EntryKind::File { blob: BlobId::from_bytes(id), executable };
    match mode {
        b"40000" | b"040000" => Ok(EntryKind::Directory(TreeId::from_bytes(id))),
        b"100644" | b"100664" => Ok(file(false)),
        b"100755" => Ok(file(true)),
        b"120000" => Ok(EntryKind::Symlink(BlobId::from_bytes(id))),
        b"160000" => Ok(EntryKind::Submodule),
        _ => Err("an entry's mode is none that Git writes"),
    }
}

const fn describe(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Directory(_) => "a directory",
        EntryKind::File { .. } => "a file",
        EntryKind::Symlink(_) => "a symbolic link, which is not followed",
        EntryKind::Submodule => "a submodule, which is not fetched",
    }
}

/// The same for a commit. One that is missing is no sign of damage: somebody may ask for what history no longer holds.
pub(super) fn unreadable_commit(objects: &Objects, commit: CommitId, error: &git2::Error) -> Unreadable {
    let what = format!("commit {commit}");
    match error.code() {
        ErrorCode::NotFound => Unreadable::Missing { what },
        _ => unreadable(objects, || what, error),
    }
}

/// Tells a missing object from a broken one, and remembers that the mirror may need repair.
fn unreadable(objects: &Objects, what: impl FnOnce() -> String, error: &git2::Error) -> Unreadable {
    objects.suspect();
    match error.code() {
        ErrorCode::NotFound => Unreadable::Missing { what: what() },
        _ => Unreadable::Corrupt { what: what(), problem: error.message().to_owned() },
    }
}

/// libgit2's form of an id.
pub(super) fn oid(id: &[u8; 20]) -> Result<Oid, git2::Error> {
    Oid::from_bytes(id)
}

/// The twenty bytes of libgit2's id. Repositories with longer ids cannot be opened, so nothing is cut off.
pub(super) fn bytes(id: Oid) -> [u8; 20] {
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    bytes
}

fn hexadecimal(id: &[u8; 20]) -> String {
    BlobId::from_bytes(*id).to_string()
}

/// Whether a commit and its tree can be read, which tells a whole mirror from one that lost a pack.
pub(super) fn has_commit(git: &Repository, commit: CommitId) -> bool {
    oid(commit.as_bytes()).and_then(|id| git.find_commit(id)?.tree().map(|_| ())).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree(lines: &[(&str, &[u8])]) -> Vec<u8> {
        lines.iter().flat_map(|(mode, name)| [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat()).collect()
    }

    #[test]
    fn kinds_and_names_are_those_of_git() {
        let data = tree(&[
            ("40000", b"d"),
            ("100644", b"f"),
            ("100755", b"x"),
            ("120000", b"l"),
            ("160000", b"s"),
            ("100644", b"\xff"),
        ]);
        let read = entries(&data).unwrap();
        let kinds: Vec<_> = read.iter().map(|entry| describe(entry.kind)).collect();
        assert_eq!(kinds[..3], ["a directory", "a file", "a file"]);
        assert!(matches!(read[2].kind, EntryKind::File { executable: true, .. }));
        assert!(matches!(read[3].kind, EntryKind::Symlink(_)) && read[4].kind == EntryKind::Submodule);
        assert_eq!(read[5].name, b"\xff");
    }

    #[test]
    fn a_tree_that_fsck_would_refuse_is_damaged() {
        let broken: [Vec<u8>; 7] = [
            tree(&[("100644", b"a"), ("40000", b"a")]),
            tree(&[("100644", b"a/b")]),
            tree(&[("100644", b"")]),
            tree(&[("0", b"a")]),
            tree(&[("100644", b"a")])[..12].to_vec(),
            b"100644 a".to_vec(),
            b"100644".to_vec(),
        ];
        for data in broken {
            assert!(entries(&data).is_err(), "{data:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_stop_the_reader(data: Vec<u8>) {
            let _ = entries(&data);
        }
    }
}
