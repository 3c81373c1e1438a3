//! Environment files: bytes to environments, in every form that administrators have. Joining files: [`join`].
//!
//! [`forms`] finds the entries in a file, [`entry`] reads one, [`join`] looks across files. An entry with an error is left
//! out and named, so that its record keeps its last good state; the other entries of the file go on.

mod codes;
mod entry;
mod forms;
mod join;
mod mounts;

use crate::model::{Diagnostic, Environment, Excerpt, ImageRef, Place};

use super::reading::Reading;
use super::source_text::{Fault, SourceText};
use super::tree::Node;
use super::{json, yaml};

pub use codes::{FORBIDDEN_IMAGE, FORBIDDEN_MOUNT, WITHOUT_DIGEST};
pub use join::{Environments, join};

/// One entry that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it says.
    pub environment: Environment,
    /// Its name in the file.
    pub place: Place,
    /// The line of its name, for problems that only show across files.
    pub excerpt: Option<Excerpt>,
}

impl Entry {
    /// An error of this entry as a whole.
    pub fn error(&self, code: &crate::model::Code, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        let found = Diagnostic::error(code.clone(), self.place.clone(), message).with_help(help);
        Diagnostic { excerpt: self.excerpt.clone(), ..found }
    }

    /// This entry as one that is left out because of a problem.
    pub fn broken_by(&self, first: Diagnostic) -> BrokenEntry {
        BrokenEntry { name: Some(self.environment.name.clone()), place: self.place.clone(), first }
    }
}

/// One entry that is left out because of an error.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokenEntry {
    /// Its image, if at least that could be read: then its record keeps its last good state.
    pub name: Option<ImageRef>,
    /// Its name in the file, or its first line.
    pub place: Place,
    /// The first error found in it.
    pub first: Diagnostic,
}

/// What one file says.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentFile {
    /// The entries that could be read, in the order of the file.
    pub entries: Vec<Entry>,
    /// The others.
    pub broken: Vec<BrokenEntry>,
    /// False when entries may stand in the file that are not listed here, so that nothing may be deleted.
    pub readable: bool,
    /// Every problem, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a file of `environments/`. Names that end in `.json` are read as JSON, everything else as YAML.
pub fn read_environment_file(path: &str, bytes: &[u8]) -> EnvironmentFile {
    let is_json = path.rsplit('.').next().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let limit = if is_json { json::MAX_BYTES } else { yaml::MAX_BYTES };
    let source = match SourceText::decode(path, bytes, limit) {
        Ok(source) => source,
        Err(fault) => return unreadable(fault),
    };
    let documents = if is_json { json::document(&source).map(|node| vec![node]) } else { yaml::documents(&source) };
    documents.map_or_else(unreadable, |documents| read_documents(&source, &documents))
}

fn unreadable(fault: Fault) -> EnvironmentFile {
    EnvironmentFile { entries: Vec::new(), broken: Vec::new(), readable: false, diagnostics: vec![*fault] }
}

fn read_documents(source: &SourceText, documents: &[Node]) -> EnvironmentFile {
    let mut reading = Reading::new(source, codes::CODES);
    let found = forms::entries(&mut reading, documents);
    let mut file =
        EnvironmentFile { entries: Vec::new(), broken: Vec::new(), readable: found.complete, diagnostics: Vec::new() };
    for node in &found.entries {
        match entry::read(&mut reading, node) {
            Ok(entry) => file.entries.push(entry),
            Err(broken) => file.broken.push(*broken),
        }
    }
    file.diagnostics = reading.finish();
    file
}
