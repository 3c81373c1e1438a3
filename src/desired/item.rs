//! One item: its manifest, its settings and its files become an `Item`, or the reason why not. Finding items: `walk`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use super::content_yaml::{self, Placed};
use super::contents::Contents;
use super::layout::{UNREADABLE, join};
use super::manifest;
use super::manifest::text::ManifestText;
use super::package_files::PackageFiles;
use super::source_text::Fault;
use super::walk::Context;
use super::yaml;
use crate::model::{BlobId, Code, Demands, Diagnostic, FileEntry, Item, ItemName, Manifest, Place, Settings, TreeId};

/// A name that no item can have.
pub const NAME: Code = Code::new("E0611");
/// Settings under a name that is not read.
pub const OTHER_NAME: Code = Code::new("W0405");
/// Wharf failed while it read the item.
pub const PANIC: Code = Code::new("E0690");

/// What stands in one directory that holds a manifest.
#[derive(Debug)]
pub struct Found {
    /// The directory, from the root of what is read.
    pub directory: Arc<str>,
    /// The item's name, unless the directory has one that no item can have.
    pub name: Option<ItemName>,
    /// The item, or the first error.
    pub outcome: Result<Arc<Item>, Box<Diagnostic>>,
    /// Every problem.
    pub diagnostics: Vec<Diagnostic>,
}

/// A directory with a manifest.
pub struct Site<'a> {
    /// The directory, from the root of what is read.
    pub directory: &'a str,
    /// Its tree.
    pub tree: TreeId,
    /// The manifest's content.
    pub manifest_blob: BlobId,
    /// The manifest, as far as it could be read.
    pub manifest: Result<(ManifestText, Value), Fault>,
    /// Its files.
    pub contents: Contents,
}

impl Found {
    /// A directory whose item cannot be read.
    pub fn broken(context: &Context<'_>, directory: &str, diagnostics: Vec<Diagnostic>) -> Self {
        let first = diagnostics.iter().find(|one| one.is_error()).cloned().unwrap_or_else(|| {
            let message = "expected a content item, found one that cannot be read";
            Diagnostic::error(UNREADABLE, Place::file(join(directory, "manifest.json")), message)
        });
        let name = context.paths.name_of(directory).parse().ok();
        Self { directory: directory.into(), name, outcome: Err(Box::new(first)), diagnostics }
    }

    /// Reads the item of a directory. A panic on the way is that item's error, and nobody else's.
    pub fn read(context: &Context<'_>, site: Site<'_>) -> Self {
        let directory = site.directory;
        let read = catch_unwind(AssertUnwindSafe(|| Reading::new(context, site).item()));
        read.unwrap_or_else(|_| {
            let place = Place::file(join(directory, "manifest.json"));
            let message = "expected to read this item, but Wharf failed on it; the item stays as it was";
            let error = Diagnostic::error(PANIC, place, message).with_help("please report it with the item's files");
            Self::broken(context, directory, vec![error])
        })
    }
}

/// One item while it is read.
struct Reading<'a> {
    context: &'a Context<'a>,
    directory: &'a str,
    tree: TreeId,
    blob: BlobId,
    text: Result<(ManifestText, Value), Fault>,
    files: Vec<FileEntry>,
    place: Place,
    problems: Vec<Diagnostic>,
}

impl<'a> Reading<'a> {
    fn new(context: &'a Context<'a>, site: Site<'a>) -> Self {
        let Site { directory, tree, manifest_blob, manifest, contents } = site;
        let place = Place::file(join(directory, "manifest.json"));
        let Contents { files, problems, .. } = contents;
        Self { context, directory, tree, blob: manifest_blob, text: manifest, files, place, problems }
    }

    fn item(mut self) -> Found {
        let item = self.read();
        let sound = !self.problems.iter().any(Diagnostic::is_error);
        match item {
            Some(item) if sound => Found {
                directory: Arc::clone(&item.directory),
                name: Some(item.name.clone()),
                outcome: Ok(Arc::new(item)),
                diagnostics: self.problems,
            },
            _ => Found::broken(self.context, self.directory, self.problems),
        }
    }

    fn read(&mut self) -> Option<Item> {
        let name = self.name();
        let manifest = self.manifest();
        let written = self.written_settings();
        let (manifest, r_packages) = manifest?;
        let (name, written) = (name?, written?);
        let settings = self.settings(&name, &manifest, &written);
        let demands = demands(&manifest, &settings, &written);
        let reader = PackageFiles::new(self.context.snapshot, self.directory, &self.files);
        let (package_files, problems) = reader.read(&manifest, r_packages);
        self.problems.extend(problems);
        Some(Item {
            name,
            directory: self.directory.into(),
            tree: self.tree,
            manifest_place: self.place.clone(),
            manifest_blob: self.blob,
            manifest: Arc::new(manifest),
            settings,
            demands,
            files: std::mem::take(&mut self.files).into(),
            package_files: Arc::new(package_files),
        })
    }

    fn name(&mut self) -> Option<ItemName> {
        match self.context.paths.name_of(self.directory).parse() {
            Ok(name) => Some(name),
            Err(error) => {
                let error = Diagnostic::error(NAME, self.place.clone(), format!("{error}"));
                self.problems.push(error.with_help("rename the directory"));
                None
            }
        }
    }

    fn manifest(&mut self) -> Option<(Manifest, Option<String>)> {
        match &self.text {
            Ok((text, value)) => {
                let (read, problems) = manifest::read(text, value, &self.files);
                self.problems.extend(problems);
                read.map(|read| (read.manifest, read.r_packages))
            }
            Err(fault) => {
                self.problems.push((**fault).clone());
                None
            }
        }
    }

    /// What content.yaml says; nothing where there is none.
    fn written_settings(&mut self) -> Option<Placed> {
        for name in ["content.yml", "content.json"] {
            if manifest::has(&self.files, name) {
                let place = Place::file(join(self.directory, name));
                let message = format!("expected settings in content.yaml, found {name}, which is not read");
                let warning = Diagnostic::warning(OTHER_NAME, place, message);
                self.problems.push(warning.with_help("rename it to content.yaml if it holds deployment settings"));
            }
        }
        let Some(blob) = self.settings_file() else { return Some(Placed::default()) };
        let path = join(self.directory, "content.yaml");
        match self.context.snapshot.blob(blob, yaml::MAX_BYTES as u64) {
            Ok(bytes) => {
                let (placed, problems) = content_yaml::read(&path, &bytes);
                self.problems.extend(problems);
                placed
            }
            Err(error) => {
                let message = format!("expected deployment settings, found that {error}");
                let error = Diagnostic::error(UNREADABLE, Place::file(path), message);
                self.problems.push(error.with_help("commit a smaller file, or repair the repository"));
                None
            }
        }
    }

    /// The settings with the policy's defaults. Items that say nothing share the defaults.
    fn settings(&mut self, name: &ItemName, manifest: &Manifest, written: &Placed) -> Arc<Settings> {
        let settings = if written.settings == Settings::default() {
            Arc::clone(&self.context.defaults)
        } else {
            Arc::new(written.settings.clone().or(&self.context.defaults))
        };
        let has_file = !written.places.is_empty();
        let otherwise = if has_file { Place::file(join(self.directory, "content.yaml")) } else { self.place.clone() };
        let problems = self.context.rules.check(name, manifest.appmode, &settings, written, &otherwise);
        self.add_with_source(problems);
        settings
    }

    /// Adds problems of content.yaml with their lines. Only then is the file read again.
    fn add_with_source(&mut self, problems: Vec<Diagnostic>) {
        let text = if problems.is_empty() { None } else { self.settings_file() };
        let text = text.and_then(|blob| self.context.snapshot.blob(blob, yaml::MAX_BYTES as u64).ok());
        let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let own = join(self.directory, "content.yaml");
        self.problems.extend(problems.into_iter().map(|problem| {
            let is_own = problem.place.as_ref().is_some_and(|place| *place.file == *own);
            if is_own { problem.with_source(&text) } else { problem }
        }));
    }

    /// The content of content.yaml, if there is one.
    fn settings_file(&self) -> Option<BlobId> {
        let at = self.files.binary_search_by(|file| file.path.as_ref().cmp("content.yaml")).ok()?;
        self.files.get(at).map(|file| file.blob)
    }
}

/// The manifest's demands; the environment that the settings ask for counts where the manifest asks for none.
fn demands(manifest: &Manifest, settings: &Settings, written: &Placed) -> Arc<Demands> {
    let mut demands = manifest.demands.clone().with_setting(settings.environment.clone());
    if manifest.demands.explicit.is_none() && demands.explicit.is_some() {
        demands.explicit_place = written.places.get("environment").cloned();
    }
    Arc::new(demands)
}
