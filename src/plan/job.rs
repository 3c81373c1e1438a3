//! What a job is, whoever runs it: the neutral specification that both executors turn into their own. Nothing runs here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names::{BundleId, JobName, PackageKey, Revision, Role, Slot};
use crate::model::{
    Appmode, Cpu, Digest, Entrypoint, EnvironmentValue, ImageRef, ItemName, Language, Memory, PackageManager, Seconds,
    SelectedInstallation, Slug, VolumeMount,
};

/// The environment a job runs in, as far as it shapes the job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobEnvironment {
    /// The image, or `localhost`.
    pub image: ImageRef,
    /// The declared digest of the image.
    pub digest: Option<String>,
    /// The chosen interpreter of each demanded language.
    pub installations: BTreeMap<Language, SelectedInstallation>,
    /// The program that wraps the content, absolute.
    pub supervisor: Option<String>,
    /// Mounted into the job.
    pub volume_mounts: Vec<VolumeMount>,
}

/// CPU and memory of one process. `None` is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of formats.md, which explains each")]
pub struct Resources {
    pub cpu_request: Option<Cpu>,
    pub cpu_limit: Option<Cpu>,
    pub memory_request: Option<Memory>,
    pub memory_limit: Option<Memory>,
}

/// What a package environment is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PackageSpec {
    /// Its name: a hash of everything here and of the environment.
    pub key: PackageKey,
    /// Whose packages: Python for now.
    pub language: Language,
    /// The requirements, with every `-r` inlined.
    pub requirements: String,
    /// What bounds them: every `-c`, inlined.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub constraints: String,
    /// Server packages at pinned versions that the item did not list itself.
    pub server_packages: Vec<String>,
    /// Who installs.
    pub manager: PackageManager,
    /// The index in place of the installer's default.
    pub index_url: Option<String>,
    /// More indexes.
    pub extra_index_urls: Vec<String>,
    /// The bundle whose files a local path in the requirements needs.
    pub bundle: Option<BundleId>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name, with the attempt in it.
    pub name: JobName,
    /// Build, run or render.
    pub role: Role,
    /// The item it is for; for a build the first that needs it.
    pub item: ItemName,
    /// The item's short name.
    pub slug: Slug,
    /// The revision it belongs to.
    pub revision: Revision,
    /// Which of the revision's jobs.
    pub slot: Slot,
    /// Which try, from 0.
    pub attempt: u32,
    /// What it does, shared by all jobs of the revision.
    pub content: Arc<ContentSpec>,
}

/// What all jobs of one revision have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContentSpec {
    /// How it is started.
    pub appmode: Appmode,
    /// What is started.
    pub entrypoint: Option<Entrypoint>,
    /// The item's files.
    pub bundle: BundleId,
    /// Where it runs.
    pub environment: JobEnvironment,
    /// Its packages; `None` where there is nothing to install.
    pub packages: Option<PackageSpec>,
    /// Environment variables; secret values are references.
    pub variables: BTreeMap<String, EnvironmentValue>,
    /// CPU and memory.
    pub resources: Resources,
    /// How long its port may take to open.
    pub init_timeout: Seconds,
    /// The session protocol its jobs speak.
    pub protocol: u32,
}

/// The files of a bundle, by content: `apps/<item>/<bundle>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BundleSpec {
    /// Whose files.
    pub item: ItemName,
    /// The item's short name: the directory.
    pub slug: Slug,
    /// The bundle's name.
    pub id: BundleId,
}

/// What answers for an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The ready processes of the service's revision.
    Processes,
    /// The files of a bundle as they are, and the document shown first.
    Bundle {
        /// The bundle.
        id: BundleId,
        /// Path of the document shown first.
        index: Option<String>,
    },
    /// The output of one render.
    Result {
        /// The revision that was rendered.
        revision: Revision,
        /// Its slot.
        slot: Slot,
    },
}

/// The stable address of an item (`wharf-<slug>` in a cluster, a sticky port or a path on this host).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Whose.
    pub item: ItemName,
    /// The item's short name.
    pub slug: Slug,
    /// The revision that answers.
    pub revision: Revision,
    /// What of it answers.
    pub target: Target,
}

impl ServiceSpec {
    /// The digest an observed service is compared by.
    pub fn digest(&self) -> Digest {
        Digest::of_value(self)
    }
}

impl JobSpec {
    /// The digest an observed job is compared by.
    pub fn digest(&self) -> Digest {
        Digest::of_value(self)
    }
}
