//! Real manifests, each read or refused with a reason. They are not part of the repository: `WHARF_CORPUS` names a
//! directory with `manifests/` and `generated/`, and `cargo test --test content_files -- --ignored` reads them.

use std::collections::BTreeMap;
use std::path::Path;

use wharf::desired::memory_snapshot::MemorySnapshot;

use super::support::{fresh, lines};

/// The item as it was committed, as far as the manifest tells: each listed file, empty.
fn snapshot_of(bytes: &[u8]) -> wharf::desired::memory_snapshot::MemorySnapshotBuilder {
    let text = String::from_utf8_lossy(bytes);
    let manifest: serde_json::Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
    let listed = manifest.get("files").and_then(|files| files.as_object()).into_iter().flatten();
    let safe = listed.map(|(path, _)| path).filter(|path| !path.starts_with('/') && !path.contains(".."));
    safe.fold(MemorySnapshot::builder(), |builder, path| builder.file(format!("content/x/{path}"), ""))
        .file("content/x/manifest.json", bytes)
}

#[test]
#[ignore = "needs WHARF_CORPUS"]
fn every_real_manifest_is_read_or_refused_with_a_reason() {
    let corpus = std::env::var("WHARF_CORPUS").expect("WHARF_CORPUS names the directory of the corpus");
    let (mut read, mut reasons) = (0, BTreeMap::<String, Vec<String>>::new());
    let mut warnings = BTreeMap::<String, usize>::new();
    for folder in ["manifests", "generated"] {
        let folder = Path::new(&corpus).join(folder);
        for entry in std::fs::read_dir(&folder).expect("a directory of the corpus") {
            let path = entry.expect("an entry").path();
            let desired = fresh(&snapshot_of(&std::fs::read(&path).expect("a manifest")));
            assert_eq!(desired.items.len() + desired.broken_items.len(), 1, "{}", path.display());
            for one in desired.diagnostics.0.iter().filter(|one| !one.is_error()) {
                *warnings.entry(one.code.to_string()).or_default() += 1;
            }
            match desired.broken_items.values().next() {
                None => read += 1,
                Some(broken) => {
                    let reason = lines(std::slice::from_ref(&broken.first)).join("");
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    reasons.entry(broken.first.code.to_string()).or_default().push(format!("{name}: {reason}"));
                }
            }
        }
    }
    println!("{read} read, {} refused, warnings {warnings:?}", reasons.values().map(Vec::len).sum::<usize>());
    for (code, refused) in &reasons {
        println!("{code}: {}\n  {}", refused.len(), refused.join("\n  "));
    }
    assert!(read >= 100, "most real manifests are sound");
    assert!(!reasons.contains_key("E0690"), "none panics");
}
