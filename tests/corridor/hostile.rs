//! Repositories that are empty, vanish, or hold what nobody should commit: each is told, and nobody else is held back.

use crate::content::{commit, write_app, write_page};
use crate::git::{Repo, git_with_input};
use crate::instance::{Instance, text};
use crate::looking::until;

#[test]
fn an_empty_repository_is_told_and_its_first_commit_is_taken() {
    let repo = Repo::empty();
    let wharf = Instance::of(&repo);
    for command in ["validate", "diff", "apply"] {
        let said = wharf.wharf(&[command]);
        assert_ne!(said.code, 0, "{command}: {said:#?}");
        assert!(said.err.contains("no commits yet"), "{command}: {said:#?}");
    }
    let mut daemon = wharf.run();
    wharf.until_status("no commits", |status| text(status, "source_error").contains("no commits yet"));
    assert!(daemon.is_running());
    write_app(&repo, "app", "the first");
    commit(&repo, "Open");
    wharf.until_ready(1);
    assert_eq!(wharf.page("app"), "the first");
    drop(daemon);
}

#[test]
fn a_branch_that_vanishes_ends_nothing() {
    let repo = Repo::empty();
    write_app(&repo, "app", "one");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    let daemon = wharf.run();
    wharf.until_ready(1);
    let pids = wharf.pids();
    repo.git(&["branch", "--move", "main", "elsewhere"]);
    let status = wharf.until_status("the loss", |status| status["source_error"].is_string());
    assert!(status["source_error"].as_str().unwrap().contains("no branch or tag main"), "{status:#}");
    assert_eq!((wharf.pids(), wharf.page("app")), (pids, "one".to_owned()));
    write_app(&repo, "app", "two");
    commit(&repo, "Change");
    repo.git(&["branch", "--move", "elsewhere", "main"]);
    until("the branch to be followed again", || (wharf.page("app") == "two").then_some(()));
    drop(daemon);
}

/// Puts an entry into an item's tree that `git add` would not take, and commits it.
fn add_by_force(repo: &Repo, item: &str, name: &[u8], content: &[u8]) {
    let blob = git_with_input(&repo.path(), &["hash-object", "-w", "--stdin"], content);
    let with = |below: &str, entry: &[u8]| {
        let listed = repo.git(&["ls-tree", "-z", &format!("HEAD:{below}")]);
        let name = entry.rsplit(|byte| *byte == b'\t').next().unwrap();
        let end = [b"\t", name].concat();
        let others =
            listed.as_bytes().split(|byte| *byte == 0).filter(|line| !line.is_empty() && !line.ends_with(&end));
        let lines: Vec<u8> = others.chain([entry]).flat_map(|line| [line, b"\0"].concat()).collect();
        git_with_input(&repo.path(), &["mktree", "-z"], &lines)
    };
    let tree = |id: &str, name: &str| format!("040000 tree {id}\t{name}").into_bytes();
    let inner = with(&format!("content/{item}"), &[format!("100644 blob {blob}\t").as_bytes(), name].concat());
    let content = with("content", &tree(&inner, item));
    let root = with("", &tree(&content, "content"));
    let made = repo.git(&["commit-tree", &root, "-p", "HEAD", "-m", "By force"]);
    repo.git(&["update-ref", "refs/heads/main", &made]);
}

/// A bomb of aliases: ten values, ten times, and so on.
fn bomb() -> String {
    let level = |level: u32| {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("  - &a{level} [{aliases}]\n")
    };
    format!("title: &a0 boom\ntags:\n{}", (1..=9).map(level).collect::<String>())
}

const ENVIRONMENTS: &str = "- name: ghcr.io/example/number:1
  python:
    installations:
      - version: 3.10
        path: /opt/python/bin/python3
- name: ghcr.io/example/double:1
  python: {installations: [{version: 3.12.1, path: /opt/python/bin/python3}]}
- name: ghcr.io/example/round:1
  python: {installations: [{version: 3.12.1, path: /opt/python/bin/python3}]}
  redirect: {to: \"ghcr.io/example/round:2\"}
- name: ghcr.io/example/round:2
  python: {installations: [{version: 3.12.1, path: /opt/python/bin/python3}]}
  redirect: {to: \"ghcr.io/example/round:1\"}
- name: ghcr.io/example/good:1
  python: {installations: [{version: 3.12.1, path: /opt/python/bin/python3}]}
";

#[test]
fn what_nobody_should_commit_is_refused_where_it_stands() {
    let repo = Repo::empty();
    write_app(&repo, "good", "still good");
    for item in ["big", "link", "pointer", "bomb", "dots", "bytes", "inside-git"] {
        write_page(&repo, item, item);
    }
    // Compresses to next to nothing, and is read to be refused.
    let big = std::fs::File::create(repo.path().join("content/big/data.bin")).unwrap();
    big.set_len(100 << 20).unwrap();
    std::os::unix::fs::symlink("../../../../../etc/passwd", repo.path().join("content/link/passwd")).unwrap();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "0".repeat(64));
    repo.write("content/pointer/data.csv", &pointer);
    repo.write("content/bomb/content.yaml", &bomb());
    repo.write("environments/all.yaml", ENVIRONMENTS);
    repo.write(
        "environments/double.yaml",
        "name: ghcr.io/example/double:1\npython: {installations: [{version: 3.11.1, path: /usr/bin/python3}]}\n",
    );
    commit(&repo, "Everything at once");
    add_by_force(&repo, "dots", b"..", b"up");
    add_by_force(&repo, "bytes", b"caf\xe9.txt", b"latin");
    add_by_force(&repo, "inside-git", b".git", b"gitdir: /");

    let wharf = Instance::of(&repo);
    let said = wharf.wharf(&["validate", "--output", "json"]);
    assert_eq!(said.code, 1, "{said:#?}");
    // What each is refused as stands in docs/diagnostics.md.
    for (code, place) in [
        ("E0605", "content/big"),
        ("E0601", "content/link"),
        ("E0603", "content/pointer"),
        ("E0105", "content/bomb/content.yaml"),
        ("E0604", "content/dots"),
        ("E0604", "content/bytes"),
        ("E0604", "content/inside-git"),
        ("E0123", "environments/all.yaml"),
        ("E0130", "environments/double.yaml"),
        ("E0132", "environments/all.yaml"),
    ] {
        assert!(has_diagnostic(&said.out, code, place), "no {code} at {place}: {}", said.out);
    }

    assert_ne!(wharf.wharf(&["apply"]).code, 0);
    assert_eq!(wharf.page("good"), "still good");
    let items = wharf.items();
    assert_eq!(items.keys().collect::<Vec<_>>(), ["good"], "{items:#?}");
    assert!(!wharf.path("data/apps/link").exists());

    // Taken away again, nothing is left of it.
    repo.git(&["read-tree", "--empty"]);
    std::fs::remove_dir_all(repo.path().join("content")).unwrap();
    std::fs::remove_dir_all(repo.path().join("environments")).unwrap();
    write_app(&repo, "good", "better");
    commit(&repo, "Clean up");
    wharf.must(&["validate"]);
    wharf.must(&["apply"]);
    assert_eq!(wharf.page("good"), "better");
    wharf.assert_nothing_to_do();
}

fn has_diagnostic(json: &str, code: &str, place: &str) -> bool {
    let document: serde_json::Value = serde_json::from_str(json).unwrap();
    let list = document["items"].as_array().unwrap();
    list.iter().any(|it| it["code"] == code && it.to_string().contains(place))
}
