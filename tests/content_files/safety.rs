//! Nothing is deleted on the strength of what could not be read: it is broken, incomplete or an error, never absent.

use wharf::desired::memory_snapshot::MemorySnapshot;
use wharf::desired::snapshot::{EntryKind, Snapshot};
use wharf::desired::{Cache, Ceiling, ReadError, read};
use wharf::model::TreeId;

use super::support::{broken, fresh, lines, manifest, names, with_api};

const ENVIRONMENT: &str =
    "name: ghcr.io/example/py:3.12\npython: {installations: [{version: 3.12.4, path: /opt/python/bin/python3}]}\n";

#[test]
fn a_broken_manifest_still_owns_its_directory() {
    let builder = with_api(MemorySnapshot::builder(), "content/a/inner").file("content/a/app.py", "");
    for text in ["", "{", "<<<<<<< ours\n>>>>>>> theirs\n", "null", "{\"version\": 1}garbage"] {
        let desired = fresh(&builder.clone().file("content/a/manifest.json", text));
        assert_eq!((names(&desired), broken(&desired)), (vec!["a/inner"], vec!["a"]), "{text:?}");
    }
    let desired = fresh(&builder.clone().symlink("content/a/manifest.json", "../../elsewhere"));
    assert_eq!((names(&desired), broken(&desired)), (vec!["a/inner"], vec!["a"]));
    let desired = fresh(&builder.submodule("content/a/manifest.json"));
    assert_eq!((names(&desired), broken(&desired)), (vec!["a/inner"], vec!["a"]));
}

#[test]
fn an_empty_commit_is_an_error() {
    let result = read(&MemorySnapshot::builder().build(), &Ceiling::default(), &Cache::new());
    assert_eq!(result.unwrap_err(), ReadError::Empty);
}

/// The tree of a path.
fn tree_of(snapshot: &MemorySnapshot, path: &str) -> TreeId {
    path.split('/').fold(snapshot.root(), |tree, name| {
        let entries = snapshot.directory(tree).expect("a directory");
        let entry = entries.into_iter().find(|entry| entry.name == name.as_bytes()).expect("an entry");
        match entry.kind {
            EntryKind::Directory(tree) => tree,
            _ => panic!("{name} is no directory"),
        }
    })
}

#[test]
fn a_lost_directory_ends_the_reading() {
    let builder = with_api(MemorySnapshot::builder(), "content/a/b/c")
        .file("environments/deep/a.yaml", ENVIRONMENT)
        .file("content/item/manifest.json", manifest("static", "", ""))
        .file("content/item/index.html", "")
        .file("content/item/deep/er/x", "");
    for path in ["content", "content/a/b", "content/item/deep", "environments", "environments/deep"] {
        let mut snapshot = builder.build();
        snapshot.lose_tree(tree_of(&snapshot, path));
        let result = read(&snapshot, &Ceiling::default(), &Cache::new());
        assert!(matches!(result, Err(ReadError::Unreadable { .. })), "{path}");
    }
}

#[test]
fn a_lost_file_breaks_its_item_alone() {
    let builder =
        with_api(with_api(MemorySnapshot::builder(), "content/a"), "content/b").file("content/a/data", "lost");
    let mut snapshot = builder.build();
    snapshot.lose_blob(MemorySnapshot::blob_id(b"lost"));
    let desired = read(&snapshot, &Ceiling::default(), &Cache::new()).unwrap();
    assert_eq!((names(&desired), broken(&desired)), (vec!["b"], vec!["a"]));
}

#[test]
fn environments_are_complete_only_if_everything_was_read() {
    let good = MemorySnapshot::builder().file("environments/a.yaml", ENVIRONMENT).file("environments/README.md", "x");
    let desired = fresh(&good);
    assert!(desired.environments_complete && desired.environments.len() == 1, "{:?}", desired.diagnostics);
    let worse = [
        good.clone().file("environments/b.yaml", "a: [\n"),
        good.clone().file("environments/sub/b.json", "{,}"),
        good.clone().symlink("environments/b.yaml", "a.yaml"),
        good.clone().submodule("environments/more"),
        good.clone().file(b"environments/\xff.yaml".as_slice(), ""),
    ];
    for builder in worse {
        let desired = fresh(&builder);
        assert!(!desired.environments_complete && desired.environments.len() == 1);
        assert!(desired.diagnostics.has_errors());
    }
}

#[test]
fn a_broken_policy_means_the_commit_is_not_applied() {
    let builder = with_api(MemorySnapshot::builder(), "content/a");
    assert!(fresh(&builder.clone().file("wharf.yaml", "selection: follow\n")).applicable);
    let worse = [
        builder.clone().file("wharf.yaml", "selection: ["),
        builder.clone().file("wharf.yaml", "selektion: follow\n"),
        builder.clone().file("wharf.yaml", "defaults: {load_factor: 0.5}\n"),
        builder.clone().file("wharf.yaml", "signers: [someone]\n"),
        builder.clone().file("wharf.yml", ""),
        builder.clone().symlink("wharf.yaml", "other.yaml"),
        builder.file("wharf.yaml/x", ""),
    ];
    for builder in worse {
        let desired = fresh(&builder);
        assert!(
            !desired.applicable && desired.diagnostics.has_errors(),
            "{}",
            lines(&desired.diagnostics.0).join("\n")
        );
    }
}
