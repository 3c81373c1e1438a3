//! The documentation keeps its promises: every command in it is run or says why it cannot be, and every name in it exists.
//!
//! How a page is written for this:
//!
//! - A fenced block `console` holds commands, each after `$ `. A page's blocks run in their order. Pages in docs begin in a config
//!   repository that is a copy of the sample, the others beside the sample, as in this project. `# exits 1` at the end of a command says what it exits with, if not with 0.
//! - Lines after a command are what it prints. `...` stands for anything, within a line or for any number of lines.
//!   Where no lines follow, the exit code alone counts.
//! - `cargo run --` means the program that was built.
//! - `wharf run` goes on running until the page ends; the lines after it are waited for, in any order. A block
//!   `console later` holds lines that it prints later on.
//! - `console no-run REASON` is not run. The reasons are listed in [`REASONS`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on may stop where it is")]

mod names;
mod page;
mod sandbox;

use page::{Block, Kind, Page};
use sandbox::Sandbox;

/// Why a block is not run, and what that means.
const REASONS: [(&str, &str); 3] = [
    ("builds", "builds, tests or installs this project, which is under way already"),
    ("elsewhere", "another page runs the same"),
    ("tools", "needs a tool that neither this project nor its tests use"),
];

#[test]
fn every_command_does_what_the_page_says() {
    let pages = page::all();
    let runs: Vec<&Page> = pages.iter().filter(|page| page.blocks.iter().any(Block::is_run)).collect();
    assert!(runs.len() >= 4, "expected several pages with commands, found {}", runs.len());
    let problems: Vec<String> = std::thread::scope(|scope| {
        let walks: Vec<_> = runs.iter().map(|page| scope.spawn(|| walk(page))).collect();
        walks.into_iter().flat_map(|walk| walk.join().expect("a page was not walked to its end")).collect()
    });
    assert!(problems.is_empty(), "\n{}", problems.join("\n\n"));
}

/// Runs the commands of one page, up to the first that does something else than the page says.
fn walk(page: &Page) -> Vec<String> {
    let mut sandbox = Sandbox::new(page);
    for block in &page.blocks {
        let done = match &block.kind {
            Kind::NotRun(_) => Ok(()),
            Kind::Later => sandbox.wait_for(&block.said),
            Kind::Run => block
                .steps
                .iter()
                .try_for_each(|step| sandbox.step(step).map_err(|problem| format!("$ {}\n{problem}", step.command))),
        };
        if let Err(problem) = done {
            return vec![format!("{}:{}: {problem}", page.path, block.line)];
        }
    }
    sandbox.finish().err().map(|problem| format!("{}: {problem}", page.path)).into_iter().collect()
}

#[test]
fn what_is_not_run_says_why() {
    let mut unused: Vec<&str> = REASONS.iter().map(|(reason, _)| *reason).collect();
    let mut problems = Vec::new();
    for page in page::all() {
        for block in &page.blocks {
            let Kind::NotRun(reason) = &block.kind else { continue };
            unused.retain(|known| known != reason);
            match REASONS.iter().find(|(known, _)| known == reason) {
                Some((_, meaning)) => println!("{}:{}: {meaning}", page.path, block.line),
                None => problems.push(format!(
                    "{}:{}: the reason {reason:?} is none of {:?}",
                    page.path,
                    block.line,
                    REASONS.map(|(known, _)| known)
                )),
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(unused.is_empty(), "no block gives the reasons {unused:?}; take them out of REASONS");
}

#[test]
fn commands_stand_where_they_are_run() {
    let problems: Vec<String> = page::all().iter().flat_map(page::Page::stray_commands).collect();
    assert!(problems.is_empty(), "commands belong into a block `console`:\n{}", problems.join("\n"));
}

#[test]
fn commands_and_flags_that_are_named_exist() {
    let problems: Vec<String> = page::all().iter().flat_map(names::unknown_commands).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn links_and_files_lead_somewhere() {
    let pages = page::all();
    let problems: Vec<String> = pages.iter().flat_map(|page| names::broken_links(page, &pages)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_architecture_names_files_that_exist() {
    let pages = page::all();
    let architecture = pages.iter().find(|page| page.path == "ARCHITECTURE.md").expect("there is ARCHITECTURE.md");
    let problems = names::missing_sources(architecture);
    assert!(problems.is_empty(), "ARCHITECTURE.md names what is not there:\n{}", problems.join("\n"));
}

#[test]
fn every_page_is_found_from_the_readme() {
    let pages = page::all();
    let readme = pages.iter().find(|page| page.path == "README.md").expect("there is README.md");
    for page in pages.iter().filter(|page| page.path.starts_with("docs/")) {
        assert!(readme.text.contains(&format!("({})", page.path)), "README.md does not link {}", page.path);
    }
}
