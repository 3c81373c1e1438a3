//! What people get wrong, and what they are told. Each problem stays with its item.

use wharf::desired::memory_snapshot::MemorySnapshot;

use super::support::{broken, files, fresh, lines, manifest, names, with_api};

/// Everything told about one item with these files.
fn told(paths: &[(&str, &str)]) -> String {
    let builder = paths
        .iter()
        .fold(MemorySnapshot::builder(), |builder, (path, text)| builder.file(format!("content/x/{path}"), text));
    lines(&fresh(&builder).diagnostics.0).join("\n")
}

#[test]
fn manifests_that_are_no_json() {
    let cases = [
        "",
        "{\n  \"version\": 1,\n  \"metadata\": {\"appmode\": \"shiny\"},\n}\n",
        "{\n<<<<<<< HEAD\n  \"version\": 1\n=======\n  \"version\": 1,\n>>>>>>> main\n}\n",
        "{\"version\": 1, \"metadata\": {\"appmode\": \"sh",
        "version: 1\n",
        "[]",
        "{}",
    ];
    let told: Vec<String> = cases.iter().map(|text| told(&[("manifest.json", text), ("app.R", "")])).collect();
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn manifests_that_say_something_wrong() {
    let cases = [
        manifest("python-dash ", "", ""),
        manifest("jupyter", "", ""),
        r#"{"version": 1, "metadata": {"entrypoint": "app"}}"#.to_owned(),
        r#"{"version": 1, "metadata": {"appmode": 3}}"#.to_owned(),
        r#"{"version": 2, "metadata": {"appmode": "python-api"}}"#.to_owned(),
        manifest("python-api", r#", "entrypoint": "server:app""#, ""),
        manifest("python-api", r#", "entrypoint": 5"#, ""),
        manifest("python-streamlit", r#", "entrypoint": "/etc/passwd""#, ""),
        manifest("python-api", "", r#", "python": {"version": 3.12}"#),
        manifest(
            "python-api",
            "",
            r#", "python": {"version": "3.12", "package_manager": {"package_file": "../r.txt"}}"#,
        ),
        manifest(
            "python-api",
            "",
            r#", "python": {"version": "3.12", "package_manager": {"name": "pip", "package_file": "gone.txt"}}"#,
        ),
        manifest("python-api", "", r#", "python": {"package_manager": {"name": "poetry"}}"#),
        manifest("python-api", "", r#", "environment": {"environment_management": {"python": "false"}}"#),
        manifest(
            "python-api",
            "",
            r#", "files": {"../../etc/passwd": {"checksum": ""}, "a.txt": {}, "b.txt": {}, "c.txt": {}, "d.txt": {}}"#,
        ),
        r#"{"metadata": {"appmode": "python-api", "appmode": "python-api"}}"#.to_owned(),
    ];
    let told: Vec<String> = cases.iter().map(|text| told(&[("manifest.json", text), ("app.py", "")])).collect();
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn requirements_that_include_what_is_not_there() {
    let text = manifest("python-api", "", r#", "python": {"version": "3.12"}"#);
    let requirements =
        "flask\n  -r ../shared/base.txt\n-c https://pypi.example/constraints.txt\n--requirement gone.txt\n";
    insta::assert_snapshot!(told(&[("manifest.json", &text), ("app.py", ""), ("requirements.txt", requirements)]));
}

#[test]
fn other_manifests_make_no_item() {
    let web = r#"{"name": "App", "start_url": "/", "icons": []}"#;
    let desired = files(&[
        ("content/pwa/manifest.json", web),
        ("content/pwa/inner/manifest.json", &manifest("static", "", "")),
        ("content/pwa/inner/index.html", ""),
        ("content/pwa/inner/www/manifest.json", web),
    ]);
    assert_eq!(names(&desired), ["pwa/inner"]);
    insta::assert_snapshot!(lines(&desired.diagnostics.0).join("\n"));
}

#[test]
fn content_without_a_manifest_gets_one_warning() {
    let desired = files(&[
        ("content/app/app.py", "import streamlit as st\n"),
        ("content/app/pages/one.py", "import streamlit as st\n"),
        ("content/app/inner/manifest.json", &manifest("static", "", "")),
        ("content/app/inner/index.html", ""),
        ("content/README.md", ""),
    ]);
    assert_eq!(names(&desired), ["app/inner"]);
    insta::assert_snapshot!(lines(&desired.diagnostics.0).join("\n"));
}

#[test]
fn settings_are_checked_where_they_stand() {
    let builder = with_api(MemorySnapshot::builder(), "content/a")
        .file("wharf.yaml", "limits: {cpu: 2, processes: 4}\nsecrets: {allow: []}\n")
        .file(
            "content/a/content.yaml",
            "cpu_limit: 3\nmax_processes: 5\nshedule: '@daily'\nservice_account: robot\nschedule: '@daily'\n",
        )
        .file("content/a/content.yml", "");
    let builder = with_api(builder, "content/b")
        .file("content/b/content.yaml", "env:\n  PASSWORD: {secret: db, key: password}\ntitle: [1]\n");
    let builder = with_api(builder, "content/c")
        .file("content/c/content.yaml", "env:\n  PASSWORD: {secret: db, key: password}\n");
    let desired = fresh(&builder);
    assert_eq!(broken(&desired), ["a", "b", "c"]);
    insta::assert_snapshot!(lines(&desired.diagnostics.0).join("\n"));
}

#[test]
fn a_problem_stays_with_its_item() {
    let builder = with_api(with_api(MemorySnapshot::builder(), "content/good"), "content/bad")
        .submodule("content/bad/vendor")
        .submodule("content/library")
        .file(b"content/\xff/manifest.json".as_slice(), "{}");
    let desired = fresh(&builder);
    assert_eq!((names(&desired), broken(&desired)), (vec!["good"], vec!["bad"]));
    let first = &desired.broken_items.values().next().unwrap().first;
    assert_eq!(first.code.as_str(), "E0602");
    insta::assert_snapshot!(lines(&desired.diagnostics.0).join("\n"));
}
