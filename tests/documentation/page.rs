//! Pages and the commands in them, as `main.rs` describes. Nothing is run here.

use std::fs;
use std::path::{Path, PathBuf};

/// A page.
pub struct Page {
    /// Its path below the project's root.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Its `console` blocks.
    pub blocks: Vec<Block>,
}

/// What is done with a block.
#[derive(PartialEq, Eq)]
pub enum Kind {
    /// Its commands are run.
    Run,
    /// Its lines are what the running `wharf run` prints.
    Later,
    /// It is not run, for this reason.
    NotRun(String),
}

/// A fenced block `console`.
pub struct Block {
    /// The line of its fence.
    pub line: usize,
    /// What is done with it.
    pub kind: Kind,
    /// Its commands.
    pub steps: Vec<Step>,
    /// Lines before the first command.
    pub said: Vec<String>,
}

impl Block {
    /// Whether it has commands to run.
    pub fn is_run(&self) -> bool {
        self.kind == Kind::Run
    }
}

/// One command.
pub struct Step {
    /// As it is typed.
    pub command: String,
    /// What it exits with.
    pub exit: i32,
    /// What it prints; empty if the page does not say.
    pub output: Vec<String>,
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that people read: those at the root, those in docs, and that of the sample repository.
pub fn all() -> Vec<Page> {
    let markdown = |directory: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
    };
    let mut paths: Vec<PathBuf> = ["", "docs", "sample-repo"].iter().flat_map(|it| markdown(it)).collect();
    paths.sort();
    assert!(paths.len() >= 10, "expected the project's pages, found {paths:?}");
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            Page { blocks: blocks(&text), path, text }
        })
        .collect()
}

/// One line of a page, and the fence it stands in.
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// The line.
    pub text: &'a str,
    /// What stands after the three ticks of the fence around it.
    pub fence: Option<&'a str>,
}

/// Every line but the fences themselves.
pub fn lines(text: &str) -> Vec<Line<'_>> {
    let mut found = Vec::new();
    let mut fence = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(info.trim()) };
        } else {
            found.push(Line { number: index + 1, text: line, fence });
        }
    }
    found
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut last = 0;
    for line in lines(text) {
        let Some(info) = line.fence.and_then(|info| info.strip_prefix("console")) else { continue };
        if line.number != last + 1 || found.is_empty() {
            let kind = match info.trim().split_once(' ') {
                None if info.trim().is_empty() => Kind::Run,
                None if info.trim() == "later" => Kind::Later,
                Some(("no-run", reason)) => Kind::NotRun(reason.trim().to_owned()),
                _ => Kind::NotRun(info.trim().to_owned()),
            };
            found.push(Block { line: line.number - 1, kind, steps: Vec::new(), said: Vec::new() });
        }
        last = line.number;
        if let Some(block) = found.last_mut() {
            block.take(line.text);
        }
    }
    found
}

impl Block {
    fn take(&mut self, line: &str) {
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, exit) = match command.rsplit_once("# exits ") {
                Some((command, code)) => (command, code.trim().parse().expect("`# exits` and a number")),
                None => (command, 0),
            };
            self.steps.push(Step { command: command.trim_end().to_owned(), exit, output: Vec::new() });
            return;
        }
        match self.steps.last_mut() {
            Some(step) if step.command.ends_with('\\') => {
                step.command.pop();
                step.command.push_str(line.trim_start());
            }
            Some(step) => step.output.push(line.trim_end().to_owned()),
            None => self.said.push(line.trim_end().to_owned()),
        }
    }
}

impl Page {
    /// Commands in blocks that nobody runs.
    pub fn stray_commands(&self) -> Vec<String> {
        let commands = ["$ ", "wharf ", "cargo ", "make ", "git ", "apt-get "];
        let lines = lines(&self.text).into_iter().filter(|line| match line.fence {
            // A block without a language is meant for pictures and paths, and an indented one as well.
            Some(info) => info.is_empty() || ["sh", "bash", "shell", "text"].contains(&info),
            None => line.text.starts_with("    "),
        });
        let stray = lines.filter(|line| commands.iter().any(|command| line.text.trim_start().starts_with(command)));
        stray.map(|line| format!("{}:{}: {}", self.path, line.number, line.text.trim())).collect()
    }
}
