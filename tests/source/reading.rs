//! Reads snapshots as a person would list them.

use wharf::desired::snapshot::{EntryKind, Snapshot, Unreadable};
use wharf::model::TreeId;

/// Every path with what stands there, sorted: `app/`, `app/run.sh*`, `link@`, `sub!`. Bytes that are no UTF-8 are escaped.
pub fn paths(snapshot: &dyn Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    collect(snapshot, snapshot.root(), "", &mut found);
    found.sort();
    found
}

fn collect(snapshot: &dyn Snapshot, tree: TreeId, above: &str, found: &mut Vec<String>) {
    for entry in snapshot.directory(tree).unwrap() {
        let path = format!("{above}{}", entry.name.escape_ascii());
        match entry.kind {
            EntryKind::Directory(inner) => {
                found.push(format!("{path}/"));
                collect(snapshot, inner, &format!("{path}/"), found);
            }
            EntryKind::File { executable, .. } => found.push(format!("{path}{}", if executable { "*" } else { "" })),
            EntryKind::Symlink(_) => found.push(format!("{path}@")),
            EntryKind::Submodule => found.push(format!("{path}!")),
        }
    }
}

/// What stands at a path.
pub fn find(snapshot: &dyn Snapshot, path: &str) -> Option<EntryKind> {
    let mut kind = EntryKind::Directory(snapshot.root());
    for name in path.split('/') {
        let EntryKind::Directory(tree) = kind else { return None };
        kind = snapshot.directory(tree).unwrap().into_iter().find(|entry| entry.name == name.as_bytes())?.kind;
    }
    Some(kind)
}

/// A file's content, or a link's target.
pub fn try_read(snapshot: &dyn Snapshot, path: &str) -> Result<String, Unreadable> {
    match find(snapshot, path) {
        Some(EntryKind::File { blob, .. } | EntryKind::Symlink(blob)) => {
            snapshot.blob(blob, 1 << 20).map(|bytes| String::from_utf8(bytes).unwrap())
        }
        other => panic!("{path} is {other:?}"),
    }
}

pub fn read(snapshot: &dyn Snapshot, path: &str) -> String {
    try_read(snapshot, path).unwrap()
}
