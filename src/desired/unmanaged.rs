//! Directories that look like content and have no manifest: the likely appmode, and the command that writes one.
//! Only names and a few small scripts are looked at. Nothing is inferred for real: a manifest says what an item is.

use super::snapshot::{Entry, EntryKind, Snapshot};
use crate::model::{Appmode, BlobId, Code, Diagnostic, Place};

/// A directory that looks like content.
pub const NO_MANIFEST: Code = Code::new("W0601");

/// The largest script that is looked into, in bytes.
const MOST_BYTES: u64 = 64 << 10;
/// The most scripts of one directory that are looked into.
const MOST_SCRIPTS: usize = 3;
/// Directories whose files belong to tools, or to what lies around them.
const NOT_CONTENT: [&str; 12] = [
    "environments",
    "node_modules",
    "__pycache__",
    "renv",
    "packrat",
    "venv",
    "env",
    "tests",
    "test",
    "www",
    "static",
    "rsconnect",
];

/// What a framework is imported as, what the content then is, and what rsconnect calls it. The first that matches
/// counts: Dash and Gradio applications often import Flask or FastAPI as well.
const FRAMEWORKS: [(&str, Appmode, &str); 8] = [
    ("streamlit", Appmode::PythonStreamlit, "streamlit"),
    ("shiny", Appmode::PythonShiny, "shiny"),
    ("dash", Appmode::PythonDash, "dash"),
    ("gradio", Appmode::PythonGradio, "gradio"),
    ("panel", Appmode::PythonPanel, "panel"),
    ("bokeh", Appmode::PythonBokeh, "bokeh"),
    ("fastapi", Appmode::PythonFastapi, "fastapi"),
    ("flask", Appmode::PythonApi, "flask"),
];

/// What content a directory without a manifest probably is.
struct Guess {
    appmode: Appmode,
    because: String,
    command: String,
}

/// A warning, if the directory looks like content.
pub fn warning(snapshot: &dyn Snapshot, directory: &str, entries: &[Entry]) -> Option<Diagnostic> {
    let is_tools = |part: &str| part.starts_with('.') || NOT_CONTENT.contains(&part);
    if directory.split('/').any(is_tools) {
        return None;
    }
    let guess = guess(snapshot, directory, entries)?;
    let shown = if directory.is_empty() { "." } else { directory };
    let (because, appmode) = (guess.because, guess.appmode);
    let message = format!("expected a manifest.json in {shown}, found none; {because} looks like {appmode} content");
    let help = format!("write one with `{}` and commit it, or leave the directory as it is", guess.command);
    Some(Diagnostic::warning(NO_MANIFEST, Place::file(shown), message).with_help(help))
}

fn guess(snapshot: &dyn Snapshot, directory: &str, entries: &[Entry]) -> Option<Guess> {
    let files: Vec<(&str, BlobId)> = entries
        .iter()
        .filter_map(|entry| match entry.kind {
            EntryKind::File { blob, .. } => Some((std::str::from_utf8(&entry.name).ok()?, blob)),
            _ => None,
        })
        .collect();
    let has = |wanted: &[&str]| files.iter().map(|(name, _)| *name).find(|name| wanted.contains(name));
    let ending = |wanted: &str| files.iter().map(|(name, _)| *name).find(|name| name.ends_with(wanted));
    let guess = |appmode, name: &str, command| Some(Guess { appmode, because: name.to_owned(), command });
    if let Some(name) = has(&["plumber.R", "entrypoint.R", "_server.yml"]) {
        return guess(Appmode::Api, name, with_r(directory));
    }
    if let Some(name) = has(&["app.R", "server.R"]) {
        return guess(Appmode::Shiny, name, with_r(directory));
    }
    if let Some(found) = python(snapshot, directory, &files) {
        return Some(found);
    }
    if let Some(name) = has(&["_quarto.yml", "_quarto.yaml"]).or_else(|| ending(".qmd")) {
        return guess(Appmode::QuartoStatic, name, with_python("quarto", directory, ""));
    }
    if let Some(name) = ending(".Rmd") {
        return guess(Appmode::RmdStatic, name, with_r(directory));
    }
    if let Some(name) = ending(".ipynb") {
        return guess(Appmode::JupyterStatic, name, with_python("notebook", directory, name));
    }
    if let Some(name) = has(&["saved_model.pb"]) {
        return guess(Appmode::TensorflowSavedModel, name, with_r(directory));
    }
    if has(&["package.json"]).is_some()
        && let Some(name) = has(&["index.js", "server.js", "app.js"])
    {
        return guess(Appmode::Nodejs, name, with_r(directory));
    }
    has(&["index.html"]).and_then(|name| guess(Appmode::Static, name, with_r(directory)))
}

/// A Python script that imports one of the frameworks. Usual names come first, then a lone script.
fn python(snapshot: &dyn Snapshot, directory: &str, files: &[(&str, BlobId)]) -> Option<Guess> {
    let usual = ["app.py", "main.py", "streamlit_app.py", "api.py", "server.py", "dashboard.py"];
    let mut scripts: Vec<&(&str, BlobId)> =
        usual.iter().filter_map(|name| files.iter().find(|(found, _)| found == name)).collect();
    let mut others = files.iter().filter(|(name, _)| {
        let is_script = std::path::Path::new(name).extension().is_some_and(|ending| ending == "py");
        is_script && !usual.contains(name) && !name.starts_with("__")
    });
    if let (Some(only), None) = (others.next(), others.next()) {
        scripts.push(only);
    }
    scripts.into_iter().take(MOST_SCRIPTS).find_map(|(name, blob)| {
        let bytes = snapshot.blob(*blob, MOST_BYTES).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let (_, appmode, word) = FRAMEWORKS.into_iter().find(|(module, ..)| imports(&text, module))?;
        let command = with_python(word, directory, "");
        Some(Guess { appmode, because: (*name).to_owned(), command })
    })
}

/// Whether a line imports a module, or something from it.
fn imports(text: &str, module: &str) -> bool {
    let starts = |rest: &str| {
        rest.trim_start()
            .strip_prefix(module)
            .is_some_and(|tail| !tail.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_'))
    };
    text.lines().any(|line| {
        let import = line.strip_prefix("import ").is_some_and(|rest| rest.split(',').any(starts));
        import || line.strip_prefix("from ").is_some_and(starts)
    })
}

fn with_python(word: &str, directory: &str, file: &str) -> String {
    let path = super::layout::join(if directory.is_empty() { "." } else { directory }, file);
    format!("rsconnect write-manifest {word} {}", shell(&path))
}

fn with_r(directory: &str) -> String {
    let path = if directory.is_empty() { "." } else { directory };
    format!("rsconnect::writeManifest(\"{}\")", path.replace('"', "\\\""))
}

/// A path as a shell reads it: quoted where it holds anything but the harmless letters.
fn shell(path: &str) -> String {
    let harmless = |letter: char| letter.is_alphanumeric() || "/._-+,@".contains(letter);
    if path.chars().all(harmless) && !path.starts_with('-') {
        return path.to_owned();
    }
    let dashed = if path.starts_with('-') { "./" } else { "" };
    format!("'{dashed}{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::memory_snapshot::MemorySnapshot;

    fn warned(directory: &str, files: &[(&str, &str)]) -> Option<String> {
        let snapshot = MemorySnapshot::of(files.iter().copied());
        let entries = snapshot.directory(snapshot.root()).unwrap();
        warning(&snapshot, directory, &entries).map(|one| format!("{}\n{}", one.message, one.help.unwrap()))
    }

    #[test]
    fn likely_content_comes_with_its_command() {
        let found = [
            warned("content/a", &[("app.py", "import os\nfrom fastapi import FastAPI\n")]),
            warned("content/my app", &[("run.py", "import dash, flask\n")]),
            warned("content/b", &[("app.R", ""), ("ui.R", "")]),
            warned("content/c", &[("plumber.R", "")]),
            warned("", &[("report.qmd", "")]),
            warned("content/d", &[("x.ipynb", "{}")]),
            warned("content/e", &[("index.html", "")]),
        ];
        insta::assert_snapshot!(found.map(Option::unwrap).join("\n\n"));
    }

    #[test]
    fn other_directories_are_left_alone() {
        assert_eq!(warned("content/a", &[("helpers.py", "import os\n"), ("README.md", "")]), None);
        assert_eq!(warned("content/a", &[("app.py", "import dashing\n# import flask\n")]), None);
        assert_eq!(warned("content/.quarto/x", &[("index.html", "")]), None);
        assert_eq!(warned("a/node_modules/b", &[("index.html", "")]), None);
    }

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(shell("a b'c"), "'a b'\\''c'");
        assert_eq!(shell("-rf"), "'./-rf'");
    }
}
