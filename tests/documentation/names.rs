//! Names in pages that must exist: commands and flags, links, files of the source. What commands do is `main.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::page::{Page, lines, root};

/// Pieces of a page that speak of commands: code spans, and lines in `console` blocks.
fn code(page: &Page) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for line in lines(&page.text) {
        match line.fence {
            Some(info) if info.starts_with("console") => {
                found.extend(line.text.strip_prefix("$ ").map(|command| (line.number, command.to_owned())));
            }
            Some(_) => {}
            None => {
                found.extend(line.text.split('`').skip(1).step_by(2).map(|span| (line.number, span.to_owned())));
            }
        }
    }
    found
}

/// Commands of `wharf` that it does not have, and flags that the command does not take.
pub fn unknown_commands(page: &Page) -> Vec<String> {
    let mut program = wharf::cli::command();
    program.build();
    let mut problems = Vec::new();
    for (number, code) in code(page) {
        let mut words = code.split_whitespace();
        if words.next() != Some("wharf") {
            continue;
        }
        let words: Vec<&str> = words.take_while(|word| !["|", "||", "&&", ">", "#"].contains(word)).collect();
        let command = words.first().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        let command = command.filter(|word| !word.starts_with('-'));
        let Some(known) = command.map_or(Some(&program), |name| program.find_subcommand(name)) else {
            problems.push(format!("{}:{number}: there is no command `{code}`", page.path));
            continue;
        };
        let flags: BTreeSet<&str> =
            known.get_arguments().filter_map(clap::Arg::get_long).chain(["help", "version"]).collect();
        for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
            let name = flag.split(['=', ']']).next().unwrap_or_default();
            if !name.is_empty() && !flags.contains(name) {
                problems.push(format!("{}:{number}: `wharf {}` takes no --{name}", page.path, known.get_name()));
            }
        }
    }
    problems
}

/// Links to files or headings of this project that are not there.
pub fn broken_links(page: &Page, pages: &[Page]) -> Vec<String> {
    let directory = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    for line in lines(&page.text).iter().filter(|line| line.fence.is_none()) {
        for target in line.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { PathBuf::from(&page.path) } else { plain(&directory.join(file)) };
            if !root().join(&path).exists() {
                problems.push(format!("{}:{}: {target} leads nowhere", page.path, line.number));
            } else if !heading.is_empty() {
                let there = pages.iter().find(|page| Path::new(&page.path) == path);
                if !there.is_some_and(|there| headings(there).contains(heading)) {
                    problems.push(format!("{}:{}: {target}: no such heading", page.path, line.number));
                }
            }
        }
    }
    problems
}

/// `docs/../README.md` as `README.md`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            std::path::Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The headings of a page, as links name them.
fn headings(page: &Page) -> BTreeSet<String> {
    let lines = lines(&page.text);
    let titles = lines.iter().filter(|line| line.fence.is_none() && line.text.starts_with('#'));
    let name = |title: &str| -> String {
        let letters = title.trim_start_matches('#').trim().to_lowercase();
        letters
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    titles.map(|line| name(line.text)).collect()
}

/// Files and folders in code spans that are not in the source.
pub fn missing_sources(page: &Page) -> Vec<String> {
    let mut known = BTreeSet::new();
    for directory in ["src", "tests", "benches"] {
        collect(&root().join(directory), &mut known);
    }
    let spans = code(page).into_iter().filter(|(_, span)| {
        let is_path = span.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c));
        let name = Path::new(span);
        is_path && (name.extension().is_some_and(|extension| extension == "rs") || span.ends_with('/'))
    });
    let missing = spans.filter(|(_, span)| {
        let ends = format!("/{}", span.trim_end_matches('/'));
        !known.iter().any(|path: &String| path.ends_with(&ends))
    });
    missing.map(|(number, span)| format!("{}:{number}: {span}", page.path)).collect()
}

fn collect(directory: &Path, known: &mut BTreeSet<String>) {
    known.insert(directory.display().to_string());
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, known);
        } else {
            known.insert(path.display().to_string());
        }
    }
}
