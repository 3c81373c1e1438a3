//! An execution environment: an image and what is installed in it (formats.md, "Environment files"). No parsing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::language::Language;
use super::name::{Guid, ImageRef};
use super::version::Version;

/// One interpreter in an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Installation {
    /// The full version.
    pub version: Version,
    /// Absolute path of the program.
    pub path: String,
}

/// Who may use an environment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// Every item it satisfies.
    #[default]
    Any,
    /// Only items that ask for it by name.
    Exact,
    /// Nobody.
    None,
}

/// Where a mounted volume comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "volume_type", rename_all = "lowercase")]
pub enum MountSource {
    /// An NFS export.
    Nfs {
        /// The server.
        nfs_host: String,
        /// The exported path, absolute.
        nfs_export_path: String,
    },
    /// A PersistentVolumeClaim in the same namespace.
    Pvc {
        /// Its name.
        pvc_name: String,
    },
}

/// One mount of every job in the environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeMount {
    /// What is mounted.
    pub source: MountSource,
    /// Where, absolute.
    pub path: String,
    /// Whether it can be written.
    pub read_only: bool,
}

/// How loudly a redirect speaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RedirectLevel {
    /// A note.
    #[default]
    Info,
    /// A warning.
    Warning,
}

/// An environment that nothing new should use, and its successor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Redirect {
    /// The successor; it exists, and following redirects ends.
    pub to: ImageRef,
    /// What users are told.
    pub message: Option<String>,
    /// How loudly.
    pub level: RedirectLevel,
}

/// An execution environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Environment {
    /// The image: its natural key.
    pub name: ImageRef,
    /// Identity towards Connect's API, when the file gives one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub guid: Option<Guid>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Who may use it.
    #[serde(default)]
    pub matching: Matching,
    /// The program that wraps every build and run, absolute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub supervisor: Option<String>,
    /// What is installed, by language; never all empty. An empty list means the language is missing.
    pub installations: BTreeMap<Language, Vec<Installation>>,
    /// Mounted into every job.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub volume_mounts: Vec<VolumeMount>,
    /// `sha256:...`: pods run exactly this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// Its successor, if nothing new should use it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redirect: Option<Redirect>,
}

impl Environment {
    /// The installations of a language; empty where there is none.
    pub fn installed(&self, language: Language) -> &[Installation] {
        self.installations.get(&language).map_or(&[], Vec::as_slice)
    }
}
