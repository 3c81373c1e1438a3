//! The sample repository, read as a whole: it shows how things are written, so nothing in it may need a word.

use std::fs;
use std::path::Path;

use wharf::desired::memory_snapshot::{MemorySnapshot, MemorySnapshotBuilder};

use super::support::{broken, fresh, lines};

fn plant(mut builder: MemorySnapshotBuilder, directory: &Path, below: &str) -> MemorySnapshotBuilder {
    for entry in fs::read_dir(directory).expect("a directory of the sample") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        let below = format!("{below}{name}");
        builder = if path.is_dir() {
            plant(builder, &path, &format!("{below}/"))
        } else {
            builder.file(below, fs::read(&path).expect("a file"))
        };
    }
    builder
}

#[test]
fn the_sample_repository_reads_without_an_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-repo");
    let desired = fresh(&plant(MemorySnapshot::builder(), &root, ""));
    let errors: Vec<_> = desired.diagnostics.0.iter().filter(|one| one.is_error()).cloned().collect();
    assert_eq!(lines(&errors), [""; 0]);
    assert!(desired.applicable && desired.environments_complete);
    assert_eq!(broken(&desired), [""; 0]);
    assert!(desired.items.len() >= 5 && desired.environments.len() >= 2);
}
