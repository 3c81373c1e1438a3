//! Ten thousand items in one commit are read at once.

use std::io::Write;
use std::time::{Duration, Instant};

use wharf::desired::snapshot::{EntryKind, Snapshot};

use super::git::{Repo, git_with_input};
use super::open;

const ITEMS: usize = 10_000;
/// Far above what it takes (about 0.15 s on two cores without optimisation), so that only another order of growth fails.
const BOUND: Duration = Duration::from_secs(5);

/// A repository of many small directories in one pack, with a manifest and a file each.
fn many_items() -> Repo {
    let repo = Repo::empty();
    let mut script = Vec::new();
    writeln!(script, "commit refs/heads/main\ncommitter T <t@wharf.example> 1700000000 +0000\ndata 1\nx").unwrap();
    for item in 0..ITEMS {
        let manifest = format!("title: item {item}\nenvironment:\n  image: registry.example/python:{}\n", item % 7);
        for (name, content) in [("content.yaml", &manifest), ("app.py", &format!("print({item})\n"))] {
            writeln!(script, "M 100644 inline content/item-{item}/{name}\ndata {}\n{content}", content.len()).unwrap();
        }
    }
    git_with_input(&repo.path(), &["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"], &script);
    repo
}

fn read_part(snapshot: &dyn Snapshot, directories: &[wharf::desired::snapshot::Entry]) -> usize {
    let mut bytes = 0;
    for directory in directories {
        let EntryKind::Directory(tree) = directory.kind else { panic!("not a directory") };
        for entry in snapshot.directory(tree).unwrap() {
            if let (b"content.yaml", EntryKind::File { blob, .. }) = (entry.name.as_slice(), entry.kind) {
                bytes += snapshot.blob(blob, 1 << 20).unwrap().len();
            }
        }
    }
    bytes
}

#[tokio::test]
async fn ten_thousand_items_are_read_by_two_threads_at_once() {
    let (repo, state) = (many_items(), tempfile::tempdir().unwrap());
    let source = open(&repo.text(), state.path());
    let commit = source.look().await.unwrap().commit;
    let snapshot = source.snapshot(commit).unwrap();
    let start = Instant::now();
    let EntryKind::Directory(content) = snapshot.directory(snapshot.root()).unwrap()[0].kind else { panic!() };
    let directories = snapshot.directory(content).unwrap();
    let (one, two) = directories.split_at(ITEMS / 2);
    let bytes = std::thread::scope(|scope| {
        let other = scope.spawn(|| read_part(&*snapshot, two));
        read_part(&*snapshot, one) + other.join().unwrap()
    });
    let took = start.elapsed();
    println!("read {ITEMS} directories and manifests, {bytes} bytes, in {took:?}");
    assert!(bytes > ITEMS * 50);
    assert!(took < BOUND, "{took:?}");
}
