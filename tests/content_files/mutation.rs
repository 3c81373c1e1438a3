//! Whatever stands in a repository, reading it ends, and never with a panic.

use proptest::prelude::*;
use wharf::desired::memory_snapshot::MemorySnapshot;

use super::support::{fresh, manifest};

/// A manifest with most fields that are read.
fn rich() -> String {
    let fields = r#", "platform": "4.4.1", "locale": "en_US", "python": {"version": "3.12.4", "package_manager": {"name": "pip", "version": "24", "package_file": "requirements.txt", "allow_uv": true}},
 "quarto": {"version": "1.5.0", "engines": ["knitr"]}, "environment": {"image": "ghcr.io/example/a:1", "python": {"requires": ">=3.8"}, "environment_management": {"r": false}},
 "packages": {"a": {"Source": "CRAN", "description": {"Version": "1"}}}, "files": {"app.py": {"checksum": "00"}, "requirements.txt": {"checksum": "11"}}"#;
    manifest("python-api", r#", "entrypoint": "app:app", "content_category": "site", "has_parameters": false"#, fields)
}

fn read_item(manifest: &[u8], settings: &[u8], requirements: &[u8]) -> usize {
    let builder = MemorySnapshot::builder()
        .file("content/x/manifest.json", manifest)
        .file("content/x/content.yaml", settings)
        .file("content/x/requirements.txt", requirements)
        .file("content/x/app.py", "");
    let desired = fresh(&builder);
    assert!(
        !desired.diagnostics.0.iter().any(|one| one.code.as_str() == "E0690"),
        "reading an item panicked: {:?}",
        desired.diagnostics
    );
    assert!(desired.diagnostics.0.iter().all(|one| !one.message.chars().any(char::is_control)));
    desired.items.len() + desired.broken_items.len()
}

/// Pieces that turn up in broken files.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b",",
        b":",
        b"\\",
        b"\n",
        b"null",
        b"1e999",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\0",
        b"\x1b[2J",
        b"../",
        b"\"files\": 3",
        b"\"python\": []",
        b"\xc3\xa9",
        b"&a ",
        b"*a",
        b"- ",
        b"<<<<<<< ",
        b">>>>>>> ",
    ];
    prop_oneof![prop::sample::select(words).prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 0..4)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_manifest_is_read_or_refused(at in any::<prop::sample::Index>(), cut in 0..12_usize, piece in piece()) {
        let mut bytes = rich().into_bytes();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, piece);
        read_item(&bytes, b"", b"flask\n");
    }

    #[test]
    fn a_value_of_any_kind_is_read_or_refused(
        path in prop::sample::select(vec![
            "/version", "/metadata", "/metadata/appmode", "/metadata/entrypoint", "/metadata/has_parameters", "/python",
            "/python/version", "/python/package_manager", "/python/package_manager/name", "/python/package_manager/package_file",
            "/quarto", "/quarto/engines", "/environment", "/environment/image", "/environment/python/requires",
            "/environment/environment_management", "/packages", "/packages/a", "/packages/a/description", "/files", "/files/app.py",
        ]),
        value in prop::sample::select(vec!["null", "true", "0", "-1.5", "\"\"", "\"x\\u0000\"", "[]", "[[]]", "{}", "{\"\": {\"\": 1}}", "\"../..\""]),
    ) {
        let mut manifest: serde_json::Value = serde_json::from_str(&rich()).unwrap();
        if let Some(slot) = manifest.pointer_mut(path) {
            *slot = serde_json::from_str(value).unwrap();
        }
        prop_assert!(read_item(manifest.to_string().as_bytes(), b"", b"") <= 1);
    }

    #[test]
    fn settings_and_requirements_of_any_bytes_are_read_or_refused(
        settings in prop::collection::vec(piece(), 0..20), requirements in prop::collection::vec(piece(), 0..20), field in "[a-z_]{0,30}",
    ) {
        let mut text = format!("title: x\n{field}: ").into_bytes();
        text.extend(settings.concat());
        let mut lines = b"-r ".to_vec();
        lines.extend(requirements.concat());
        prop_assert_eq!(read_item(rich().as_bytes(), &text, &lines), 1);
    }

    #[test]
    fn names_of_any_bytes_are_read_or_refused(names in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..6), 1..8)) {
        let mut builder = MemorySnapshot::builder().file("content/x/manifest.json", rich());
        for name in &names {
            builder = builder.file([b"content/x/".as_slice(), name].concat(), "").file([b"content/".as_slice(), name, b"/manifest.json"].concat(), "{}");
        }
        let desired = fresh(&builder);
        prop_assert!(desired.diagnostics.0.iter().all(|one| one.code.as_str() != "E0690"));
        for one in &desired.diagnostics.0 {
            let place = one.place.as_ref().map(ToString::to_string).unwrap_or_default();
            prop_assert!(!place.chars().any(char::is_control), "{:?}", place);
        }
    }
}

#[test]
fn a_flood_of_bad_paths_ends_soon() {
    let listed: Vec<String> = (0..20_000).map(|n| format!("\"../{n}\": {{}}")).collect();
    let text = manifest("python-api", "", &format!(", \"files\": {{{}}}", listed.join(",")));
    let desired = fresh(&MemorySnapshot::builder().file("content/x/manifest.json", text).file("content/x/app.py", ""));
    assert_eq!(desired.diagnostics.0.len(), 10);
}

#[test]
fn trees_that_repeat_themselves_end_soon() {
    // Ten directories, each ten times the next: ten thousand million paths.
    let deep = super::counting::Repeating { width: 10, depth: 10 };
    let result = wharf::desired::read(&deep, &wharf::desired::Ceiling::default(), &wharf::desired::Cache::new());
    assert!(matches!(result, Err(wharf::desired::ReadError::TooMuch { .. })));
}
