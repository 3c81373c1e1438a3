//! wharf.yaml as people write it: what it says is read, what this version does not keep is refused, mistakes are explained.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wharf::desired::ceiling::{Ceiling, narrow};
use wharf::desired::policy::{PolicyFile, read_policy};
use wharf::model::Diagnostic;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy_files/fixtures").join(name)
}

fn read(name: &str) -> PolicyFile {
    read_policy("wharf.yaml", &std::fs::read(fixture(name)).unwrap())
}

fn lines(found: &[Diagnostic]) -> String {
    let mut text = String::new();
    for found in found {
        writeln!(text, "{}: {}: {}", found.place.as_ref().unwrap(), found.code, found.message).unwrap();
        writeln!(text, "    help: {}", found.help.as_ref().unwrap()).unwrap();
    }
    text
}

#[test]
fn everything_that_can_be_said_is_read() {
    let file = read("everything.yaml");
    assert_eq!(file.diagnostics, []);
    insta::assert_json_snapshot!(file.policy.unwrap());
}

#[test]
fn settings_that_are_not_enforced_stop_the_commit() {
    let file = read("not_enforced.yaml");
    assert_eq!(file.policy, None);
    insta::assert_snapshot!(lines(&file.diagnostics));
}

#[test]
fn every_mistake_is_explained_in_one_run() {
    let file = read("mistakes.yaml");
    assert_eq!(file.policy, None);
    let shown = format!("{:?}", file.diagnostics);
    assert!(!shown.contains("hunter2"), "a password in the file is repeated nowhere: {shown}");
    insta::assert_snapshot!(lines(&file.diagnostics) + &lines(&read("syntax.yaml").diagnostics));
}

#[test]
fn a_broken_policy_is_never_a_policy() {
    let file = read("syntax.yaml");
    assert_eq!(file.policy, None);
    assert_eq!(narrow(&Ceiling::default(), &file).0, None);
    let empty = read_policy("wharf.yaml", b"# nothing said\n");
    assert_eq!(empty.policy, PolicyFile::absent().policy);
}

proptest! {
    #[test]
    fn any_bytes_are_a_policy_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let file = read_policy("wharf.yaml", &bytes);
        prop_assert_eq!(file.policy.is_none(), file.diagnostics.iter().any(Diagnostic::is_error));
    }

    #[test]
    fn a_damaged_policy_is_a_policy_or_an_error(at in any::<prop::sample::Index>(), byte in 0_u8..128, insert in any::<bool>()) {
        let mut bytes = std::fs::read(fixture("everything.yaml")).unwrap();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        let file = read_policy("wharf.yaml", &bytes);
        prop_assert_eq!(file.policy.is_none(), file.diagnostics.iter().any(Diagnostic::is_error));
        let (policy, found) = narrow(&Ceiling::default(), &file);
        prop_assert!(policy.is_some() || !found.is_empty() || file.policy.is_none());
    }
}
