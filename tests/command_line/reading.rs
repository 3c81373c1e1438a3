//! The commands that read a repository and change nothing: validate, explain, environments, diff.

use serde_json::{Value, json};

use super::support::{Home, assert_valid, sample};

/// A repository with one of everything that goes wrong.
fn broken() -> Home {
    let home = Home::with_repository();
    home.write(
        "repository/content/penguins-api/manifest.json",
        "{\n  \"version\": 1,\n  \"metadata\": {\"appmode\": \"python-fastapi\", \"entrypoint\": \"app:app\"},\n  \
         \"python\": {\n    \"version\": \"3.9.5\"\n  }\n}\n",
    );
    home.write("repository/content/penguins-api/app.py", "app = None\n");
    home.write("repository/content/conflict/manifest.json", "<<<<<<< ours\n{}\n");
    home.write(
        "repository/content/typo/manifest.json",
        "{\"version\": 1, \"metadata\": {\"appmode\": \"python-dsah\\u001b[31m\", \"entrypoint\": \"app\"}}\n",
    );
    home.write("repository/content/welcome/content.yaml", "titel: Welcome \u{1b}]0;owned\u{7}\n");
    home.write("repository/content/hello-api/content.yaml", "title: Hello\nnot_a_setting: 1\n");
    home.write(
        "repository/environments/more.yaml",
        "- name: ghcr.io/example/more:1\n  python:\n    installations:\n      - {version: 3.12, path: bin/python}\n",
    );
    home.commit("Break things");
    home
}

#[test]
fn a_new_repository_is_in_order() {
    let home = Home::with_repository();
    let said = home.read(&["validate"]);
    assert_eq!((said.code, said.out.as_str()), (0, "2 items, 1 environment: no problems\n"));
    let explained = home.read(&["explain", "--executor", "kubernetes"]);
    assert_eq!(explained.code, 0);
    insta::assert_snapshot!(explained.out);
}

#[test]
fn every_problem_is_shown_at_once() {
    let home = broken();
    let said = home.read(&["validate"]);
    assert_eq!(said.code, 1);
    assert!(!said.out.contains('\u{1b}') && !said.out.contains('\u{7}'));
    insta::assert_snapshot!(said.out);
    let json = home.read(&["validate", "--output", "json"]).json();
    assert_valid(&home, "diagnostics", &json);
    let lines = home.read(&["validate", "--output", "jsonl"]).lines();
    assert_eq!(json["items"].as_array().unwrap(), &lines);
    let errors = home.read(&["validate", "--errors-only", "--output", "jsonl"]).lines();
    assert!(errors.len() < lines.len() && errors.iter().all(|it| it["severity"] == "error"));
}

#[test]
fn colours_are_drawn_when_asked_for_and_nothing_else_is() {
    let home = broken();
    let coloured = home.read(&["validate", "--color", "always"]).out;
    assert!(coloured.contains("\u{1b}["));
    let plain: String = anstream_free(&coloured);
    assert_eq!(plain, home.read(&["validate", "--color", "never"]).out);
}

/// The text without colours; anything else that starts with an escape stays.
fn anstream_free(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap();
        assert_eq!(&after[end..=end], "m", "only colours are drawn");
        rest = &after[end + 1..];
    }
    plain + rest
}

#[test]
fn what_does_not_fit_is_explained_and_the_rest_goes_on() {
    let home = broken();
    let said = home.read(&["explain", "--executor", "kubernetes"]);
    assert_eq!(said.code, 1);
    insta::assert_snapshot!(said.out);
    let lines = home.read(&["explain", "--executor", "kubernetes", "--output", "jsonl"]).lines();
    let names: Vec<&str> = lines.iter().map(|it| it["item"].as_str().unwrap()).collect();
    assert_eq!(names, ["conflict", "hello-api", "penguins-api", "typo", "welcome"]);
    assert_eq!(
        lines[2],
        json!({
            "item": "penguins-api", "appmode": "python-fastapi", "environment": null, "installations": {},
            "demands": {"python": {"version": "3.9.5", "requires": null, "strategy": "major-minor"}},
            "rejected": {"ghcr.io/example/python:3.12": "version-unsatisfied"},
            "error": {"code": "E0201", "message": "no environment has Python 3.9.5",
                      "file": "content/penguins-api/manifest.json", "line": 5, "column": 16},
        })
    );
    assert_eq!(lines[1]["environment"], "ghcr.io/example/python:3.12");
    assert_eq!(
        lines[1]["installations"],
        json!({"python": {"version": "3.12.11", "path": "/opt/python/3.12.11/bin/python3"}})
    );
    assert_eq!(lines[4]["environment"], Value::Null);
    assert_eq!(lines[4]["rejected"], json!({}));
    assert_valid(&home, "explain", &home.read(&["explain", "--executor", "kubernetes", "--output", "json"]).json());
}

#[test]
fn the_sample_repository_reads_as_its_readme_says() {
    let home = Home::new();
    let sample = sample();
    let arguments = |command: &'static str| [command, "--repo", &sample, "--working-tree", "--executor", "kubernetes"];
    let said = home.wharf(&arguments("validate"));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = home.wharf(&arguments("explain"));
    assert_eq!(said.code, 0);
    insta::assert_snapshot!(said.out);
    insta::assert_snapshot!("sample_environments", home.wharf(&arguments("environments")).out);
}

#[test]
fn environments_are_searched_and_sorted() {
    let home = Home::new();
    let sample = sample();
    let names = |more: &[&str]| -> Vec<String> {
        let mut arguments =
            vec!["environments", "--repo", &sample, "--working-tree", "--executor", "kubernetes", "-o", "jsonl"];
        arguments.extend(more);
        home.wharf(&arguments).lines().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["--search", "ships"]), ["ghcr.io/example/ships-bell:2.1"]);
    let with_r = names(&["--language", "r", "--sort", "version"]);
    assert_eq!(with_r.first().map(String::as_str), Some("ghcr.io/example/content:r4.5-py3.13"));
    assert!(!with_r.iter().any(|name| name.contains("python:3.12-3.13")));
    let mut sorted = names(&[]);
    sorted.sort();
    assert_eq!(names(&[]), sorted);
}

#[test]
fn a_diff_against_nothing_starts_everything() {
    let home = Home::with_repository();
    let arguments =
        |output: &'static str| ["diff", "--against", "empty", "--executor", "kubernetes", "--output", output];
    let text = home.read(&arguments("text"));
    assert_eq!(text.code, 1, "{}", text.err);
    insta::assert_snapshot!(with_short_names(&text.out));
    insta::assert_snapshot!("against_empty_markdown", with_short_names(&home.read(&arguments("markdown")).out));
    let json = home.read(&arguments("json"));
    assert_eq!(json.code, 1);
    assert_valid(&home, "plan", &json.json());
    let operations = home.read(&arguments("jsonl")).lines();
    assert_eq!(json.json()["operations"].as_array().unwrap(), &operations);
    // Equal commits give equal plans, whenever they are made.
    assert_eq!(home.read(&arguments("json")).json()["id"], json.json()["id"]);
}

#[test]
fn two_commits_are_compared_without_a_world() {
    let home = Home::with_repository();
    let base = home.commit("Nothing");
    let same = home.read(&["diff", "--from", &base, "--executor", "kubernetes"]);
    assert_eq!(same.code, 0, "{}{}", same.out, same.err);
    home.write("repository/content/hello-api/app.py", "app = 1\n");
    std::fs::remove_dir_all(home.path("repository/content/welcome")).unwrap();
    home.commit("Change the API, drop the page");
    let changed = home.read(&["diff", "--from", &base, "--executor", "kubernetes"]);
    assert_eq!(changed.code, 1, "{}{}", changed.out, changed.err);
    insta::assert_snapshot!(with_short_names(&changed.out));
    assert!(!home.path(".local/state/wharf/wharf.db").exists() && !home.path(".local/share/wharf").exists());
}

#[test]
fn a_stalled_item_is_exit_code_2() {
    let home = broken();
    let arguments = ["diff", "--against", "empty", "--executor", "kubernetes"];
    assert_eq!(home.read(&arguments).code, 2);
    assert_eq!(home.read(&[&arguments[..], &["--ignore-stalled"]].concat()).code, 1);
    assert_eq!(home.wharf(&["diff", "--repo", "nowhere"]).code, 2);
}

/// The text without names that hash the content.
fn with_short_names(text: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\0']) {
        if letter.is_ascii_hexdigit() && !letter.is_ascii_uppercase() {
            word.push(letter);
            continue;
        }
        let is_hash = word.len() >= 8 && word.contains(|c: char| c.is_ascii_digit());
        short.push_str(if is_hash { "HASH" } else { &word });
        word.clear();
        if letter != '\0' {
            short.push(letter);
        }
    }
    short
}
