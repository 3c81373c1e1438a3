//! manifest.json: what it says, checked (formats.md, "manifest.json"). What it demands of an environment: `demands`.

pub mod entrypoint;
pub mod packages;
pub mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::reading::nearest;
use super::source_text::quoted;
use crate::model::{Appmode, Code, Demands, Diagnostic, FileEntry, Manifest, Place, Severity};
use text::ManifestText;

/// The text is not JSON.
pub const SYNTAX: Code = Code::new("E0301");
/// A value of another kind than expected.
pub const KIND: Code = Code::new("E0302");
/// There is no appmode.
pub const NO_APPMODE: Code = Code::new("E0303");
/// The appmode is not known.
pub const UNKNOWN_APPMODE: Code = Code::new("E0304");
/// The format's version is not 1.
pub const VERSION: Code = Code::new("E0305");
/// What starts the item is missing.
pub const ENTRYPOINT: Code = Code::new("E0306");
/// A path that leaves the item.
pub const UNSAFE_PATH: Code = Code::new("E0307");
/// The version is missing.
pub const NO_VERSION: Code = Code::new("W0301");
/// A key stands twice in one object.
pub const REPEATED: Code = Code::new("W0302");
/// Listed files that are not tracked.
pub const NOT_TRACKED: Code = Code::new("W0303");
/// A value that nothing depends on cannot be read.
pub const IGNORED: Code = Code::new("W0304");
/// A manifest.json of another kind.
pub const OTHER_KIND: Code = Code::new("N0301");

/// The top-level fields that only a manifest of Connect has.
const OWN_FIELDS: [&str; 11] = [
    "metadata",
    "locale",
    "platform",
    "packages",
    "files",
    "environment",
    "python",
    "quarto",
    "jupyter",
    "users",
    "appmode",
];

/// How many unsafe paths of one manifest are told of.
const MOST_UNSAFE_PATHS: usize = 10;

/// What a manifest.json turned out to be.
#[derive(Debug)]
pub enum Verdict {
    /// A content item.
    Item,
    /// Something else, such as a web app manifest: a file like any other.
    Other,
}

/// Tells a manifest of content from other files of that name. What is not even an object is one of ours that broke:
/// a broken file must never make an item vanish.
pub fn verdict(value: &Value) -> Verdict {
    let Value::Object(fields) = value else { return Verdict::Item };
    let own = OWN_FIELDS.iter().filter(|field| fields.contains_key(**field)).count();
    let metadata = fields.get("metadata").is_some_and(Value::is_object);
    if fields.is_empty() || metadata || own >= 2 { Verdict::Item } else { Verdict::Other }
}

/// The same for bytes; what cannot be read is one of ours that broke.
pub fn verdict_of_bytes(bytes: Vec<u8>) -> Verdict {
    ManifestText::read(&Arc::from(""), bytes).map_or(Verdict::Item, |(_, value)| verdict(&value))
}

/// Missing, null, blank and empty mean the same.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What a value is, for "expected ..., found ...".
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// A path of keys.
pub type Keys<'k> = &'k [&'k str];

/// One manifest, its item's files, and the problems found so far.
pub struct Reader<'a> {
    text: &'a ManifestText,
    value: &'a Value,
    files: &'a [FileEntry],
    problems: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    /// The value at a path, unless it is absent.
    fn get(&self, keys: Keys<'_>) -> Option<&'a Value> {
        let value = keys.iter().try_fold(self.value, |value, key| value.get(key));
        value.filter(|value| !is_absent(value))
    }

    fn error(&mut self, code: Code, keys: Keys<'_>, message: String, help: impl Into<String>) {
        self.problems.push(self.text.problem(Severity::Error, code, keys, message).with_help(help));
    }

    fn warning(&mut self, code: Code, keys: Keys<'_>, message: String, help: impl Into<String>) {
        self.problems.push(self.text.problem(Severity::Warning, code, keys, message).with_help(help));
    }

    /// A text that something depends on.
    fn text(&mut self, keys: Keys<'_>) -> Option<&'a str> {
        let value = self.get(keys)?;
        if value.is_string() {
            return value.as_str().map(str::trim);
        }
        let message = format!("expected {} to be text, found {}", keys.join("."), shown(value));
        self.error(KIND, keys, message, "put the value in quotes, or leave the field out");
        None
    }

    fn boolean(&mut self, keys: Keys<'_>) -> Option<bool> {
        let value = self.get(keys)?;
        if value.is_boolean() {
            return value.as_bool();
        }
        let message = format!("expected {} to be true or false, found {}", keys.join("."), shown(value));
        self.error(KIND, keys, message, "write true or false without quotes");
        None
    }

    /// A path below the item's directory: `./` is left out, everything that leads outside is an error.
    fn path(&mut self, keys: Keys<'_>) -> Option<String> {
        let text = self.text(keys)?;
        let path = plain_path(text);
        if path.is_none() {
            let message =
                format!("expected {} to be a file of the item, found the path {}", keys.join("."), quoted(text));
            self.error(UNSAFE_PATH, keys, message, "write the path from the item's directory, with / and without ..");
        }
        path
    }

    /// Whether the item has a file.
    fn has(&self, path: &str) -> bool {
        has(self.files, path)
    }

    /// The files beside the manifest, in the order of their names.
    fn beside(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.files.iter().map(|file| file.path.as_ref()).filter(|path| !path.contains('/'))
    }

    fn version(&mut self) {
        let Some(value) = self.get(&["version"]) else {
            let message = "expected \"version\": 1 in the manifest, found no version".to_owned();
            self.warning(NO_VERSION, &[], message, "add `\"version\": 1`; it is read as version 1");
            return;
        };
        let one = value.as_f64() == Some(1.0) || value.as_str().map(str::trim) == Some("1");
        if !one {
            let message = format!("expected version 1 of the manifest's format, found {}", shown(value));
            self.error(
                VERSION,
                &["version"],
                message,
                "write the manifest again with a released tool, or update Wharf",
            );
        }
    }

    fn appmode(&mut self) -> Option<Appmode> {
        let keys: Keys<'_> = &["metadata", "appmode"];
        let Some(value) = self.get(keys) else {
            let message = "expected metadata.appmode, which says what the item is; found none".to_owned();
            self.error(NO_APPMODE, keys, message, format!("known are {}", known_appmodes().join(", ")));
            return None;
        };
        let Some(text) = value.as_str() else {
            self.text(keys);
            return None;
        };
        let known = known_appmodes();
        if let Ok(appmode) = text.parse() {
            return Some(appmode);
        }
        let help = match nearest(text, &known) {
            Some(near) => format!("did you mean {near}? Known are {}", known.join(", ")),
            None => format!("known are {}", known.join(", ")),
        };
        self.error(UNKNOWN_APPMODE, keys, format!("expected a known appmode, found {}", quoted(text)), help);
        None
    }

    /// Package management by language; `node` and `nodejs` need none here.
    fn management(&mut self, language: &str) -> Option<bool> {
        self.boolean(&["environment", "environment_management", language])
    }

    fn listed_files(&mut self) -> BTreeMap<String, Option<String>> {
        let Some(value) = self.get(&["files"]) else { return BTreeMap::new() };
        let Some(entries) = value.as_object() else {
            let message = format!("expected files to be an object of paths, found {}", shown(value));
            self.warning(IGNORED, &["files"], message, "it is ignored: all tracked files are the item's");
            return BTreeMap::new();
        };
        let mut listed = BTreeMap::new();
        let mut missing = Vec::new();
        let mut unsafe_paths = 0;
        for (name, entry) in entries {
            let Some(path) = plain_path(name) else {
                // Each place is looked for in the whole text, so a list of thousands is told of by its first few.
                unsafe_paths += 1;
                if unsafe_paths > MOST_UNSAFE_PATHS {
                    continue;
                }
                let message = format!("expected files to list paths below the item, found {}", quoted(name));
                self.error(UNSAFE_PATH, &["files", name], message, "leave the file out: it cannot be part of the item");
                continue;
            };
            if !self.has(&path) {
                missing.push(name.as_str());
            }
            listed.insert(path, entry.get("checksum").and_then(Value::as_str).map(str::to_owned));
        }
        self.missing_files(&missing);
        listed
    }

    fn missing_files(&mut self, missing: &[&str]) {
        let Some(first) = missing.first() else { return };
        let shown: Vec<String> = missing.iter().take(3).map(|name| quoted(name)).collect();
        let more = missing.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!("expected every listed file to be committed, found none for {}{more}", shown.join(", "));
        self.warning(NOT_TRACKED, &["files", first], message, "commit them, or write the manifest again");
    }

    /// Values that are shown at most: nothing fails because of them.
    fn shown_text(&mut self, keys: Keys<'_>) -> Option<String> {
        let value = self.get(keys)?;
        if !value.is_string() {
            let message = format!("expected {} to be text, found {}", keys.join("."), shown(value));
            self.warning(IGNORED, keys, message, "it is ignored");
        }
        value.as_str().map(|text| text.trim().to_owned())
    }

    fn repeated_keys(&mut self) {
        if !self.text.has_duplicates {
            return;
        }
        let repeated = self.text.duplicates();
        for (key, place) in repeated.into_iter().take(10) {
            let message = format!("expected the key {} once, found it again", quoted(&key));
            let warning =
                Diagnostic::warning(REPEATED, place, message).with_help("the last one counts; keep one of them");
            self.problems.push(self.text.with_source(warning));
        }
    }
}

/// The known appmodes as manifests name them.
fn known_appmodes() -> Vec<&'static str> {
    Appmode::ALL.iter().map(|mode| mode.key()).collect()
}

/// Whether a sorted list of files holds a path.
pub fn has(files: &[FileEntry], path: &str) -> bool {
    files.binary_search_by(|entry| entry.path.as_ref().cmp(path)).is_ok()
}

/// A path of a manifest as Git writes it; `None` if it is absolute, leaves the item or holds what no path may hold.
pub fn plain_path(text: &str) -> Option<String> {
    let unsafe_letter = |letter: char| letter.is_control() || letter == '\\';
    let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if text.starts_with('/') || drive && text.contains('/') || text.contains(unsafe_letter) {
        return None;
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let leaves = parts.is_empty() || parts.contains(&"..");
    (!leaves).then(|| parts.join("/"))
}

/// A manifest that was read, and what it says about packages.
#[derive(Debug)]
pub struct Read {
    /// What it says.
    pub manifest: Manifest,
    /// The R packages it lists, as canonical JSON.
    pub r_packages: Option<String>,
}

/// Reads a manifest of an item whose files are `files`, sorted by path. `None` comes with at least one error.
pub fn read(text: &ManifestText, value: &Value, files: &[FileEntry]) -> (Option<Read>, Vec<Diagnostic>) {
    let mut reader = Reader { text, value, files, problems: Vec::new() };
    if !value.is_object() {
        let message = format!("expected the manifest to be an object, found {}", shown(value));
        reader.error(KIND, &[], message, "write the manifest again with the tool that made it");
        return (None, reader.problems);
    }
    reader.version();
    reader.repeated_keys();
    let Some(appmode) = reader.appmode() else { return (None, reader.problems) };
    let demands = reader.demands(appmode);
    let entrypoint = entrypoint::entrypoint(&mut reader, appmode);
    let python_management = reader.management("python");
    let r_management = reader.management("r");
    let python = demands.languages.contains_key(&crate::model::Language::Python);
    let python_packages = python.then(|| packages::package_file(&mut reader, python_management)).flatten();
    let manifest = Manifest {
        appmode,
        entrypoint,
        demands,
        python_packages,
        has_r_packages: reader.get(&["packages"]).is_some_and(Value::is_object),
        python_management,
        r_management,
        content_category: reader.shown_text(&["metadata", "content_category"]),
        has_parameters: reader.get(&["metadata", "has_parameters"]).and_then(Value::as_bool).unwrap_or(false),
        listed_files: reader.listed_files(),
    };
    let sound = !reader.problems.iter().any(Diagnostic::is_error);
    let r_packages = manifest.has_r_packages.then(|| packages::r_packages(value));
    (sound.then_some(Read { manifest, r_packages }), reader.problems)
}

impl Reader<'_> {
    fn demands(&mut self, appmode: Appmode) -> Demands {
        let text = self.text;
        let place = |keys: &[&str]| -> Option<Place> { text.place(keys) };
        match super::demands::demands(appmode, self.value, &place) {
            Ok(demands) => demands,
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|problem| text.with_source(problem)));
                Demands::default()
            }
        }
    }
}
