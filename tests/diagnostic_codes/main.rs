//! Every code that the program can show is explained in docs/diagnostics.md, and every code explained there is used.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeSet;
use std::path::Path;

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// `E0123`, `W0123` or `N0123`, as a whole word.
fn is_code(word: &str) -> bool {
    word.len() == 5 && word.starts_with(['E', 'W', 'N']) && word[1..].bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn every_code_is_explained_and_every_explanation_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    let used: BTreeSet<_> =
        text.split("Code::new(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    assert!(used.len() > 20, "the codes were found: {used:?}");
    assert!(used.iter().all(|code| is_code(code)), "a code is E, W or N and four digits: {used:?}");

    let page = std::fs::read_to_string(root.join("docs/diagnostics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let rows: Vec<_> = rows.filter(|code| is_code(code)).map(str::to_owned).collect();
    let explained: BTreeSet<_> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), explained.len(), "one row for a code");

    let missing: Vec<_> = used.difference(&explained).collect();
    assert!(missing.is_empty(), "add a row to docs/diagnostics.md for {missing:?}");
    let unused: Vec<_> = explained.difference(&used).collect();
    assert!(unused.is_empty(), "docs/diagnostics.md explains codes that nothing uses: {unused:?}");
}
