//! Every code that a person can see is explained in docs/diagnostics.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn codes_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory of the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            codes_in(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let uses = code.split("Code::new(\"").skip(1);
        found.extend(uses.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
}

#[test]
fn every_code_of_what_people_commit_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut codes = BTreeSet::new();
    codes_in(&root.join("src/desired"), &mut codes);
    assert!(codes.len() > 50, "{codes:?}");
    let page = fs::read_to_string(root.join("docs/diagnostics.md")).expect("the page of codes");
    let missing: Vec<_> = codes.iter().filter(|code| !page.contains(&format!("| {code} |"))).collect();
    assert!(missing.is_empty(), "not explained: {missing:?}");
}
