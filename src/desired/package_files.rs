//! The texts that shape an item's packages: requirements with what they include, lock files (objects.md, "Package key").
//! Which file lists the packages: `manifest::packages`. What is installed: the build.

use std::collections::BTreeMap;

use super::layout::join;
use super::manifest::plain_path;
use super::snapshot::Snapshot;
use super::source_text::quoted;
use crate::model::{Code, Diagnostic, FileEntry, Language, Manifest, Place, Span};

/// A file that requirements include is missing, or outside of the item.
pub const INCLUDE: Code = Code::new("E0310");
/// A package file that cannot be read as text.
pub const UNREADABLE: Code = Code::new("E0311");

/// The largest requirements file, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// The largest lock file, in bytes.
const MOST_LOCK_BYTES: u64 = 16 << 20;
/// The most files that requirements include.
const MOST_INCLUDES: usize = 50;
/// The name under which the R packages of a manifest stand, where no renv.lock does.
pub const R_PACKAGES: &str = "manifest.json#packages";

/// Reads package files of one item.
pub struct PackageFiles<'a> {
    snapshot: &'a dyn Snapshot,
    directory: &'a str,
    files: &'a [FileEntry],
    texts: BTreeMap<String, String>,
    problems: Vec<Diagnostic>,
}

impl<'a> PackageFiles<'a> {
    /// Starts on the item in a directory.
    pub fn new(snapshot: &'a dyn Snapshot, directory: &'a str, files: &'a [FileEntry]) -> Self {
        Self { snapshot, directory, files, texts: BTreeMap::new(), problems: Vec::new() }
    }

    /// The texts by path, and the problems found.
    pub fn read(
        mut self,
        manifest: &Manifest,
        r_packages: Option<String>,
    ) -> (BTreeMap<String, String>, Vec<Diagnostic>) {
        if let Some(file) = &manifest.python_packages {
            self.requirements(&file.path);
        }
        let demands = |language| manifest.demands.languages.contains_key(&language);
        if demands(Language::R) && manifest.r_management != Some(false) {
            self.lock("renv.lock");
            if let (false, Some(packages)) = (self.texts.contains_key("renv.lock"), r_packages) {
                self.texts.insert(R_PACKAGES.to_owned(), packages);
            }
        }
        if demands(Language::Nodejs) {
            for name in ["package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc"] {
                self.lock(name);
            }
        }
        (self.texts, self.problems)
    }

    /// A file that is read if it is there.
    fn lock(&mut self, path: &str) {
        if let Some(text) = self.text(path, MOST_LOCK_BYTES) {
            self.texts.insert(path.to_owned(), text);
        }
    }

    /// A tracked file's text; a problem is recorded if it is none.
    fn text(&mut self, path: &str, limit: u64) -> Option<String> {
        let at = self.files.binary_search_by(|entry| entry.path.as_ref().cmp(path)).ok()?;
        let blob = self.files.get(at)?.blob;
        let place = || Place::file(join(self.directory, path));
        let problem = match self.snapshot.blob(blob, limit) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Some(text),
                Err(_) => Diagnostic::error(UNREADABLE, place(), "expected UTF-8 text, found other bytes")
                    .with_help("save the file as UTF-8; on Windows `pip freeze > file` writes UTF-16"),
            },
            Err(error) => {
                Diagnostic::error(UNREADABLE, place(), format!("expected a package file, found that {error}"))
                    .with_help("commit a smaller file, or repair the repository")
            }
        };
        self.problems.push(problem);
        None
    }

    /// A requirements file and all that it includes, each file once.
    fn requirements(&mut self, path: &str) {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            if self.texts.contains_key(&path) {
                continue;
            }
            let Some(text) = self.text(&path, MOST_BYTES) else { continue };
            match path.rsplit_once('.') {
                Some((_, "lock")) => {}
                Some((stem, "toml")) => {
                    let folder = stem.strip_suffix("pyproject").unwrap_or_default();
                    self.lock(&format!("{folder}uv.lock"));
                }
                _ => self.includes(&path, &text, &mut waiting),
            }
            self.texts.insert(path, text);
            if self.texts.len() > MOST_INCLUDES {
                let message = format!("expected requirements to include at most {MOST_INCLUDES} files, found more");
                let place = Place::file(join(self.directory, "requirements.txt"));
                self.problems.push(Diagnostic::error(INCLUDE, place, message).with_help("join some of them"));
                return;
            }
        }
    }

    fn includes(&mut self, path: &str, text: &str, waiting: &mut Vec<String>) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut start = 0_usize;
        for (number, line) in (1_u32..).zip(text.split('\n')) {
            if let Some((target, column)) = include(line) {
                match target_of(folder, target).filter(|target| super::manifest::has(self.files, target)) {
                    Some(found) => waiting.push(found),
                    None => self.missing_include(path, text, target, &Include { line: number, column, start }),
                }
            }
            start += line.len() + 1;
        }
    }

    fn missing_include(&mut self, path: &str, text: &str, target: &str, at: &Include) {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let first = at.start + at.column;
        let span = Span {
            line: at.line,
            column: narrow(at.column + 1),
            start: narrow(first),
            end: narrow(first + target.len()),
        };
        let place = Place::at(join(self.directory, path), span);
        let message = format!("expected to include a file of the item, found none for {}", quoted(target));
        let help = "commit the file below the item's directory; addresses and files outside are not read";
        self.problems.push(Diagnostic::error(INCLUDE, place, message).with_help(help).with_source(text));
    }
}

/// Where an include stands: line from 1, bytes from the line's start, and the byte at which the line starts.
struct Include {
    line: u32,
    column: usize,
    start: usize,
}

/// What a line of a requirements file includes, and the byte of the line at which that stands.
fn include(line: &str) -> Option<(&str, usize)> {
    let trimmed = line.trim_start();
    let option =
        ["--requirement", "--constraint", "-r", "-c"].into_iter().find(|option| trimmed.starts_with(option))?;
    let rest = trimmed.get(option.len()..)?;
    if option.starts_with("--") && !rest.starts_with(['=', ' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start_matches(['=', ' ', '\t']);
    // A comment needs white space before it, or it is part of the name.
    let end = rest.find(" #").or_else(|| rest.find("\t#")).unwrap_or(rest.len());
    let target = rest.get(..end)?.trim_end().trim_end_matches('\\').trim_end();
    let unquoted = target.trim_matches(['"', '\'']);
    let column = unquoted.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
    (!unquoted.is_empty()).then_some((unquoted, column))
}

/// A path from the directory of the including file; `None` if it is an address or leaves the item.
fn target_of(folder: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    plain_path(&parts.join("/"))
}

/// Requirements with everything they include in its place. Constraints only bound what something else asks for, so
/// they stand apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inlined {
    /// What is installed.
    pub requirements: String,
    /// What bounds it.
    pub constraints: String,
}

/// Puts the texts of an item's package files together, beginning with `path`. A file that is included twice counts once.
pub fn inlined(path: &str, texts: &BTreeMap<String, String>) -> Inlined {
    let mut whole = Inlined::default();
    let mut seen = std::collections::BTreeSet::new();
    put(path, texts, false, &mut seen, &mut whole);
    whole
}

fn put<'a>(
    path: &str,
    texts: &'a BTreeMap<String, String>,
    constrains: bool,
    seen: &mut std::collections::BTreeSet<&'a str>,
    whole: &mut Inlined,
) {
    let Some((path, text)) = texts.get_key_value(path).filter(|(path, _)| seen.insert(path.as_str())) else { return };
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for line in text.lines() {
        if let Some(target) = include(line).and_then(|(target, _)| target_of(folder, target)) {
            let bounds = line.trim_start().starts_with("-c") || line.trim_start().starts_with("--constraint");
            put(&target, texts, constrains || bounds, seen, whole);
            continue;
        }
        let into = if constrains { &mut whole.constraints } else { &mut whole.requirements };
        into.push_str(line);
        into.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_put_in_their_place_and_constraints_apart() {
        let texts = [
            ("requirements.txt", "-r deps/base.txt\nflask\n-c limits.txt\n-r requirements.txt\n"),
            ("deps/base.txt", "-r more.txt\nnumpy"),
            ("deps/more.txt", "six\n"),
            ("limits.txt", "flask<4\n"),
        ];
        let texts = texts.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        let whole = inlined("requirements.txt", &texts);
        assert_eq!(whole.requirements, "six\nnumpy\nflask\n");
        assert_eq!(whole.constraints, "flask<4\n");
        assert_eq!(inlined("missing.txt", &texts), Inlined::default());
    }

    #[test]
    fn includes_are_recognised_in_every_spelling() {
        for (line, target) in [
            ("-r base.txt", Some("base.txt")),
            ("-rbase.txt", Some("base.txt")),
            ("  --requirement=base.txt  # shared", Some("base.txt")),
            ("--constraint constraints.txt\r", Some("constraints.txt")),
            ("-c 'a b.txt'", Some("a b.txt")),
            ("--requirements base.txt", None),
            ("# -r base.txt", None),
            ("requests", None),
            ("-r", None),
        ] {
            assert_eq!(include(line).map(|(target, _)| target), target, "{line}");
        }
        assert_eq!(include("  -r x"), Some(("x", 5)));
    }

    #[test]
    fn includes_start_at_the_including_file_and_stay_inside() {
        assert_eq!(target_of("requirements", "../base.txt").as_deref(), Some("base.txt"));
        assert_eq!(target_of("requirements", "./dev.txt").as_deref(), Some("requirements/dev.txt"));
        assert_eq!(target_of("", "../base.txt"), None);
        assert_eq!(target_of("", "https://pypi.example/x.txt"), None);
    }
}
