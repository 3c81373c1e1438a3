//! Environment files as people write them: every form is read, every mistake is explained, and nothing makes it panic.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wharf::desired::environments::{EnvironmentFile, Environments, join, read_environment_file};
use wharf::model::{Diagnostic, Language, Severity};

fn fixtures(folder: &str) -> Vec<PathBuf> {
    files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/environment_files/fixtures").join(folder))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds files", folder.display());
    files
}

fn read(path: &Path) -> EnvironmentFile {
    let name = path.file_name().unwrap().to_str().unwrap();
    read_environment_file(name, &std::fs::read(path).unwrap())
}

/// A problem as a person reads it, without the drawing around it.
fn line(found: &Diagnostic) -> String {
    let severity = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut text = format!("{}: {severity} {}: {}\n", found.place.as_ref().unwrap(), found.code, found.message);
    if let Some(excerpt) = &found.excerpt {
        writeln!(text, "    {} | {}", excerpt.first_line, excerpt.text).unwrap();
    }
    if let Some((place, what)) = &found.related {
        writeln!(text, "    {place}: {what}").unwrap();
    }
    if let Some(help) = &found.help {
        writeln!(text, "    help: {help}").unwrap();
    }
    text
}

fn lines(found: &[Diagnostic]) -> String {
    found.iter().map(line).collect()
}

fn summary(file: &EnvironmentFile) -> String {
    let mut text = String::new();
    for entry in &file.entries {
        let environment = &entry.environment;
        write!(text, "{} {}", entry.place, environment.name).unwrap();
        for language in Language::ALL {
            for found in environment.installed(language) {
                write!(text, ", {language} {} at {}", found.version, found.path).unwrap();
            }
        }
        text.push('\n');
    }
    for broken in &file.broken {
        let name = broken.name.as_ref().map_or("without a name", |name| name.as_str());
        writeln!(text, "{} broken, {name}: {}", broken.place, broken.first.code).unwrap();
    }
    if !file.readable {
        text.push_str("nothing may be deleted while this file is as it is\n");
    }
    text
}

#[test]
fn every_form_is_read() {
    let mut text = String::new();
    for path in fixtures("forms") {
        let file = read(&path);
        write!(text, "== {}\n{}{}", path.file_name().unwrap().display(), summary(&file), lines(&file.diagnostics))
            .unwrap();
        assert!(file.readable && file.broken.is_empty(), "{}: {}", path.display(), lines(&file.diagnostics));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_field_is_kept() {
    let file = read(&fixtures("forms").into_iter().find(|path| path.ends_with("every_field.yaml")).unwrap());
    insta::assert_json_snapshot!(file.entries[0].environment);
}

#[test]
fn every_mistake_is_explained() {
    let mut text = String::new();
    for path in fixtures("mistakes") {
        // Git itself takes conflict markers in a file for a conflict, so the fixture has them behind an @.
        let bytes = String::from_utf8(std::fs::read(&path).unwrap())
            .unwrap()
            .replace('@', if path.ends_with("conflict.yaml.txt") { "" } else { "@" });
        let file = read_environment_file(path.file_name().unwrap().to_str().unwrap(), bytes.as_bytes());
        assert!(file.diagnostics.iter().any(Diagnostic::is_error), "{} has a mistake", path.display());
        write!(text, "== {}\n{}{}\n", path.file_name().unwrap().display(), summary(&file), lines(&file.diagnostics))
            .unwrap();
    }
    insta::assert_snapshot!(text);
}

fn environment(name: &str, more: &str) -> String {
    format!("- name: {name}\n  r: {{installations: [{{version: 4.4.1, path: /opt/R/bin/R}}]}}\n{more}")
}

fn joined(files: &[(&str, String)]) -> Environments {
    let files: Vec<_> = files.iter().map(|(path, text)| read_environment_file(path, text.as_bytes())).collect();
    join(&files)
}

#[test]
fn what_only_shows_across_files_names_both_places() {
    let guid = "  guid: 5d0a1d58-3f3c-4a43-8a66-0a4f6f1f2d11\n";
    let to = |name: &str| format!("  redirect: {{to: {name}}}\n");
    let all = joined(&[
        (
            "environments/a.yaml",
            environment("example/twice:1", "") + &environment("example/fine:1", &to("example/wrong:1")),
        ),
        (
            "environments/b.yaml",
            environment("example/twice:1", "") + &environment("example/wrong:1", "  matching: all\n"),
        ),
        ("environments/c.yaml", environment("example/guid:1", guid) + &environment("example/guid:2", guid)),
        (
            "environments/d.yaml",
            environment("example/lost:1", &to("example/nowhere:1"))
                + &environment("example/circle:1", &to("example/circle:2"))
                + &environment("example/circle:2", &to("example/circle:1"))
                + &environment("example/self:1", &to("example/self:1")),
        ),
    ]);
    let kept: Vec<_> = all.entries.keys().map(ToString::to_string).collect();
    assert_eq!(kept, ["example/fine:1"], "a redirect to an entry with an error is fine");
    assert_eq!(all.broken.len(), 8, "everything left out is named, so that its record stays");
    assert!(all.complete);
    insta::assert_snapshot!(lines(&all.diagnostics));
}

#[test]
fn what_cannot_be_named_protects_everything() {
    assert!(!joined(&[("a.yaml", "- title: nameless\n- name: b\n".to_owned())]).complete);
    assert!(!joined(&[("a.yaml", String::new())]).complete);
    assert!(!joined(&[("a.yaml", "a: [".to_owned())]).complete);
    assert!(joined(&[("a.yaml", "[]".to_owned())]).complete);
}

#[test]
fn limits_are_refused_with_a_reason() {
    let code = |bytes: &[u8]| read_environment_file("a.yaml", bytes).diagnostics[0].code.to_string();
    assert_eq!(code(&vec![b'#'; (1 << 20) + 1]), "E0102");
    assert_eq!(code("[".repeat(5_000).as_bytes()), "E0104");
    assert_eq!(code(b"\xff\xfe- \0n\0a\0"), "E0101");
    let nine = |level: usize| vec![format!("*a{level}"); 9].join(", ");
    let bomb: Vec<_> = (1..10).map(|level| format!("a{level}: &a{level} [{}]", nine(level - 1))).collect();
    assert_eq!(code(format!("a0: &a0 [x, x]\n{}\n", bomb.join("\n")).as_bytes()), "E0105");
}

#[test]
fn a_byte_order_mark_and_crlf_change_nothing() {
    for path in fixtures("forms") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let (unix, windows) = (
            read_environment_file(name, text.as_bytes()),
            read_environment_file(name, format!("\u{feff}{}", text.replace('\n', "\r\n")).as_bytes()),
        );
        let environments = |file: &EnvironmentFile| -> Vec<_> {
            file.entries
                .iter()
                .map(|entry| (entry.environment.clone(), entry.place.span.map(|s| (s.line, s.column))))
                .collect()
        };
        assert_eq!(environments(&unix), environments(&windows), "{name}");
    }
}

/// Files as large as is read, built so that a careless reading costs the square of their size, in time or in memory.
/// The deadline is generous, for an unoptimised build on a busy machine.
#[test]
fn large_hostile_files_are_read_or_refused_soon() {
    let entry = |name: String, more: String| format!("- {{name: a/{name}, r: {{installations: [{more}]}}");
    let installed = || "{version: 4.4.1, path: /R}".to_owned();
    let redirected = |n: usize| entry(format!("b{n}"), installed()) + &format!(", redirect: {{to: a/b{}}}}}", n + 1);
    let chain = (0..6_000).map(redirected).collect::<Vec<_>>().join("\n");
    let versions: Vec<_> = (0..25_000).map(|n| format!("{{version: 4.4.{n}, path: /R{n}}}")).collect();
    let anchors = (0..60).fold(vec!["a"; 100_000].join(","), |inner, n| format!("&x{n} [{inner}]"));
    let keys = |from: usize| (from..from + 40_000).map(|n| format!("k{n}: 1")).collect::<Vec<_>>().join(", ");
    let files = [
        chain,
        entry("b".to_owned(), versions.join(", ")) + "}\n",
        anchors,
        format!("{{{}, <<: {{{}}}}}", keys(0), keys(50_000)),
        format!("- name: a\n  '{}': 1", "k".repeat(1_000_000)),
        "- [".to_owned() + &"a: ,".repeat(80_000),
    ];
    let start = std::time::Instant::now();
    for text in &files {
        check("a.yaml", text.as_bytes());
        check("a.json", text.as_bytes());
    }
    check("a.json", format!("[{}]", vec!["{\"name\": \"a\"}"; 60_000].join(",")).as_bytes());
    assert!(start.elapsed() < std::time::Duration::from_mins(1), "took {:?}", start.elapsed());
    println!("{} files took {:?}", files.len(), start.elapsed());
}

/// Real files of the world, when somebody has collected some: each is read, or refused with a reason.
#[test]
fn a_corpus_is_read_or_refused_with_a_reason() {
    let Some(corpus) = std::env::var_os("WHARF_CORPUS") else {
        println!("WHARF_CORPUS is not set: only the project's own fixtures are checked");
        for path in fixtures("forms").into_iter().chain(fixtures("mistakes")) {
            read_or_refused(&path);
        }
        return;
    };
    let mut counts = [0_usize; 4];
    for path in files_in(&Path::new(&corpus).join("environments")) {
        let file = read_or_refused(&path);
        counts[0] += usize::from(file.readable);
        counts[1] += usize::from(!file.readable);
        counts[2] += file.entries.len();
        counts[3] += file.broken.len();
        println!(
            "{}: {} entries, {} broken, readable {}",
            path.display(),
            file.entries.len(),
            file.broken.len(),
            file.readable
        );
        print!("{}", lines(&file.diagnostics));
    }
    let [read, refused, entries, broken] = counts;
    println!("{read} files read, {refused} refused; {entries} environments, {broken} entries left out");
    assert!(entries > 0, "a corpus holds environments");
}

fn read_or_refused(path: &Path) -> EnvironmentFile {
    let file = read(path);
    let explained = file.diagnostics.iter().any(Diagnostic::is_error);
    assert!(file.readable || explained, "{} is refused without a reason", path.display());
    assert!(file.broken.is_empty() || explained, "{} leaves entries out without a reason", path.display());
    for found in &file.diagnostics {
        assert!(found.place.is_some(), "{found:?} has a place");
        assert!(found.help.is_some() || found.severity == Severity::Note, "{found:?} says what to do");
    }
    file
}

fn fixture_texts() -> Vec<(String, Vec<u8>)> {
    let paths = fixtures("forms").into_iter().chain(fixtures("mistakes"));
    paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())).collect()
}

/// Laws that hold for every file, sound or not.
fn check(name: &str, bytes: &[u8]) {
    let file = read_environment_file(name, bytes);
    let length = u32::try_from(bytes.len()).unwrap();
    for found in &file.diagnostics {
        if let Some(span) = found.place.as_ref().and_then(|place| place.span) {
            assert!(span.line >= 1 && span.column >= 1 && span.start <= span.end, "{found:?}");
            assert!(span.start <= length, "{found:?} lies in the file of {length} bytes");
        }
        assert!(!found.message.contains('\u{1b}'), "{found:?} has no control characters");
    }
    let explained = file.diagnostics.iter().any(Diagnostic::is_error);
    assert!(explained || (file.readable && file.broken.is_empty()), "what is left out has a reason");
    let all = join([&file]);
    assert!(all.entries.keys().all(|name| !all.broken.contains_key(name)), "an environment is sound or broken");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), json in any::<bool>()) {
        check(if json { "a.json" } else { "a.yaml" }, &bytes);
    }

    #[test]
    fn any_punctuation_is_read_or_refused(text in "[-\\[\\]{}:,&*!|>'\"#%@? \n\tabc<0.~]{0,200}") {
        check("a.yaml", text.as_bytes());
        check("a.json", text.as_bytes());
    }

    #[test]
    fn fixtures_with_mistakes_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
    ) {
        let (name, mut bytes) = fixture_texts().swap_remove(which.index(fixture_texts().len()));
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len().max(1));
            match edit {
                0 if at < bytes.len() => { bytes.remove(at); }
                1 => bytes.truncate(at),
                2 if at < bytes.len() => bytes[at] = byte,
                _ => bytes.insert(at.min(bytes.len()), byte % 128),
            }
        }
        check(&name, &bytes);
    }
}
