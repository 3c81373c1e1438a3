//! Cost follows change: after a commit of one file only the directories on its way are read again.

use std::time::Instant;

use proptest::prelude::*;
use wharf::desired::memory_snapshot::{MemorySnapshot, MemorySnapshotBuilder};
use wharf::desired::{Cache, Ceiling, Desired, read};

use super::counting::{Cost, Counting};
use super::support::{manifest, with_api};

fn counted(builder: &MemorySnapshotBuilder, cache: &Cache) -> (Desired, Cost) {
    let snapshot = Counting::new(builder.build());
    let desired = read(&snapshot, &Ceiling::default(), cache).expect("it can be read");
    (desired, snapshot.cost())
}

fn many(count: usize) -> MemorySnapshotBuilder {
    (0..count).fold(MemorySnapshot::builder(), |builder, n| {
        let builder = with_api(builder, &format!("content/team{}/app{n}", n % 10));
        builder.file(format!("content/team{}/app{n}/src/deep/code.py", n % 10), "pass\n")
    })
}

#[test]
fn a_commit_of_one_file_reads_the_directories_on_its_way() {
    let cache = Cache::new();
    let builder = many(200);
    let (before, _) = counted(&builder, &cache);
    assert_eq!(before.items.len(), 200);
    let (same, cost) = counted(&builder, &cache);
    assert_eq!(cost, Cost { directories: 1, blobs: 0, sizes: 0 });
    assert_eq!(same, before);
    let builder = builder.file("content/team3/app13/app.py", "changed = True\n");
    let (after, cost) = counted(&builder, &cache);
    // The root twice, content, the team, and the item twice; of its files the sizes, the manifest and the requirements.
    assert_eq!(cost.directories, 6);
    assert!(cost.blobs <= 5 && cost.sizes <= 3, "{cost:?}");
    let changed: Vec<_> = after.items.iter().filter(|(name, item)| before.items[*name] != **item).collect();
    assert_eq!(changed.len(), 1);
}

#[test]
fn a_commit_outside_of_content_reads_no_item() {
    let cache = Cache::new();
    let builder = many(50).file("environments/a.yaml", "name: a\n");
    counted(&builder, &cache);
    for n in 0..20 {
        let (_, cost) = counted(&builder.clone().file("environments/b.yaml", format!("name: b{n}\n")), &cache);
        assert_eq!((cost.directories, cost.blobs, cost.sizes), (3, 1, 0), "the root twice, environments, one file");
    }
    let (_, cost) = counted(&builder.file("content/team0/app0/x", ""), &cache);
    assert!(cost.directories <= 8, "items are still known after many other commits: {cost:?}");
}

#[test]
fn a_new_policy_reads_items_again_but_not_their_directories_below() {
    let cache = Cache::new();
    let builder = many(20);
    counted(&builder, &cache);
    let (desired, cost) = counted(&builder.file("wharf.yaml", "defaults: {title: T}\n"), &cache);
    assert!(desired.items.values().all(|item| item.settings.title.as_deref() == Some("T")));
    assert_eq!(cost.sizes, 0, "listings depend on the trees alone");
}

/// Run with `--release -- --ignored --nocapture` to see the times of the machine at hand.
#[test]
#[ignore = "prints times; the costs are checked without a clock above"]
fn times_of_ten_thousand_items() {
    let cache = Cache::new();
    let builder =
        (0..10_000).fold(MemorySnapshot::builder(), |builder, n| with_api(builder, &format!("content/app{n}")));
    let snapshot = builder.build();
    let changed = builder.file("content/app5000/app.py", "changed = True\n").build();
    for (what, snapshot) in [("cold", &snapshot), ("same", &snapshot), ("one file", &changed)] {
        let start = Instant::now();
        let desired = read(snapshot, &Ceiling::default(), &cache).unwrap();
        println!("{what}: {} items in {:?}", desired.items.len(), start.elapsed());
    }
}

/// One change of a small repository.
#[derive(Debug, Clone)]
enum Change {
    Write { item: u8, file: u8, text: u8 },
    Remove { item: u8 },
    Manifest { item: u8, kind: u8 },
    Policy(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..6_u8, 0..4_u8, 0..3_u8).prop_map(|(item, file, text)| Change::Write { item, file, text }),
        (0..6_u8).prop_map(|item| Change::Remove { item }),
        (0..6_u8, 0..5_u8).prop_map(|(item, kind)| Change::Manifest { item, kind }),
        (0..4_u8).prop_map(Change::Policy),
    ]
}

/// Directories inside each other, so that items come, split and go.
fn directory(item: u8) -> &'static str {
    ["content/a", "content/a/b", "content/a/b/c", "content/d", "content", "e"][usize::from(item)]
}

fn apply(builder: MemorySnapshotBuilder, change: &Change) -> MemorySnapshotBuilder {
    match change {
        Change::Write { item, file, text } => {
            let name = ["app.py", "content.yaml", "index.html", "deep/x"][usize::from(*file)];
            let text = ["title: A\n", "import flask\n", "min_processes: 99\n"][usize::from(*text)];
            builder.file(format!("{}/{name}", directory(*item)), text)
        }
        Change::Remove { item } => builder.without(directory(*item)),
        Change::Manifest { item, kind } => {
            let text = match kind {
                0 => manifest("static", "", ""),
                1 => manifest("python-api", "", ""),
                2 => "{".to_owned(),
                3 => r#"{"name": "web"}"#.to_owned(),
                _ => return builder.without(format!("{}/manifest.json", directory(*item))),
            };
            builder.file(format!("{}/manifest.json", directory(*item)), text)
        }
        Change::Policy(kind) => {
            let text = ["", "defaults: {title: T}\n", "content: {paths: ['**']}\n", "limits: {file_count: 2}\n"];
            builder.file("wharf.yaml", text[usize::from(*kind)])
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_cache_changes_nothing(changes in prop::collection::vec(change(), 1..25)) {
        let cache = Cache::new();
        let mut builder = MemorySnapshot::builder().file("README.md", "");
        for change in &changes {
            builder = apply(builder, change);
            let snapshot = builder.build();
            let warm = read(&snapshot, &Ceiling::default(), &cache);
            let cold = read(&snapshot, &Ceiling::default(), &Cache::new());
            prop_assert_eq!(warm, cold, "after {:?}", change);
        }
    }
}
