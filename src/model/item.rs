//! One content item of one commit, as its files say. How a manifest looks on disk is `desired`'s knowledge.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::appmode::Appmode;
use super::demand::Demands;
use super::diagnostic::Place;
use super::ids::{BlobId, TreeId};
use super::name::ItemName;
use super::settings::Settings;

/// One tracked file of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileEntry {
    /// Path below the item's directory.
    pub path: Arc<str>,
    /// Its content.
    pub blob: BlobId,
    /// Whether its executable bit is set.
    pub executable: bool,
}

/// What starts an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entrypoint {
    /// A Python module, and the object in it if the manifest names one.
    Module {
        /// Dotted name without `.py`.
        module: String,
        /// The object; without it the first of `app`, `application`, `create_app`, `make_app` that exists.
        object: Option<String>,
    },
    /// A file below the item's directory: a script, a notebook, a document.
    File {
        /// Its path.
        path: String,
    },
    /// The directory itself (a Shiny application, a site).
    Directory,
}

/// Who installs Python packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// pip.
    Pip,
    /// uv.
    Uv,
}

/// The file that lists an item's packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageFile {
    /// Path below the item's directory.
    pub path: String,
    /// Who installs, when the manifest says.
    pub manager: Option<PackageManager>,
}

/// What a manifest says, once read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// What the item is.
    pub appmode: Appmode,
    /// What starts it; `None` where the appmode needs none.
    pub entrypoint: Option<Entrypoint>,
    /// What it asks of its environment, without the content setting.
    pub demands: Demands,
    /// The file that lists Python packages.
    pub python_packages: Option<PackageFile>,
    /// Whether R packages are listed in the manifest itself.
    pub has_r_packages: bool,
    /// `environment.environment_management.{python,r}`: false where the image already holds the packages.
    pub python_management: Option<bool>,
    /// The same for R.
    pub r_management: Option<bool>,
    /// The document's title or category where the manifest has one.
    pub content_category: Option<String>,
    /// Whether the document takes parameters.
    pub has_parameters: bool,
    /// The files the manifest lists, and their MD5 where given: advice, never the truth.
    pub listed_files: BTreeMap<String, Option<String>>,
}

/// One content item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its name.
    pub name: ItemName,
    /// The directory from the root of what is read; empty for the root itself.
    pub directory: Arc<str>,
    /// Its tree as Git knows it.
    pub tree: TreeId,
    /// Where the manifest is.
    pub manifest_place: Place,
    /// The manifest's content.
    pub manifest_blob: BlobId,
    /// What it says.
    pub manifest: Arc<Manifest>,
    /// Its settings, with the policy's defaults.
    pub settings: Arc<Settings>,
    /// The demands of the manifest with the explicit request of the settings.
    pub demands: Arc<Demands>,
    /// All tracked files below the directory that belong to no deeper item, sorted by path.
    pub files: Arc<[FileEntry]>,
    /// Contents of the small files that shape the packages: requirements with what they include, lock files.
    pub package_files: Arc<BTreeMap<String, String>>,
}

impl Item {
    /// Whether a file of this path is tracked.
    pub fn has_file(&self, path: &str) -> bool {
        self.files.binary_search_by(|entry| entry.path.as_ref().cmp(path)).is_ok()
    }
}
