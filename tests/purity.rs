//! Keeps the pure rooms pure: no clock, file, network, process, environment variable, randomness or async in them, and
//! no import of a room to their right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it is")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each pure room, and the rooms it may import.
const ROOMS: [(&str, &[&str]); 4] = [
    ("model", &["model"]),
    ("desired", &["model", "desired"]),
    ("select", &["model", "desired", "select"]),
    ("plan", &["model", "desired", "select", "plan"]),
];

/// What reaches outside.
const IMPURE: [&str; 14] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio::",
    "async fn",
    "git2::",
    "reqwest::",
    "sqlx::",
    "RandomState",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file, without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn pure_rooms_reach_nothing_outside() {
    let mut problems = Vec::new();
    for (room, may_import) in ROOMS {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut files);
        assert!(!files.is_empty(), "the room {room} has no files");
        for path in files {
            let code = code(&path);
            let impure = IMPURE.iter().filter(|word| code.contains(*word));
            problems.extend(impure.map(|word| format!("{} uses {word}", path.display())));
            for import in code.split("crate::").skip(1) {
                let of: String = import.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if !of.is_empty() && !may_import.contains(&of.as_str()) {
                    problems.push(format!("{} imports the room {of}", path.display()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_file_says_what_lives_in_it_and_stays_short() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut problems = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            problems.push(format!("{} does not begin with what lives in it", path.display()));
        }
        let lines = text.lines().count();
        if lines > 560 {
            problems.push(format!("{} has {lines} lines; split it at about 500", path.display()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
