//! An item's deployment settings (formats.md, "content.yaml"). Everything is optional; defaults and limits come later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::demand::ExplicitRequest;
use super::units::{Cpu, Memory, Seconds};

/// One environment variable's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvironmentValue {
    /// Stands in Git.
    Plain(String),
    /// A reference; the value never stands in Git.
    Secret {
        /// The secret's name: a directory of `--secrets-dir`, a Secret in a cluster.
        secret: String,
        /// The key in it.
        key: String,
    },
}

/// The settings of `content.yaml`, and of `defaults` in `wharf.yaml`. `None` is "not said".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of formats.md, which explains each")]
#[serde(default)]
pub struct Settings {
    pub title: Option<String>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    pub id: Option<String>,
    pub environment: Option<ExplicitRequest>,
    pub min_processes: Option<u32>,
    pub max_processes: Option<u32>,
    pub max_conns_per_process: Option<u32>,
    pub load_factor: Option<f64>,
    pub init_timeout: Option<Seconds>,
    pub idle_timeout: Option<Seconds>,
    pub connection_timeout: Option<Seconds>,
    pub read_timeout: Option<Seconds>,
    pub cpu_request: Option<Cpu>,
    pub cpu_limit: Option<Cpu>,
    pub memory_request: Option<Memory>,
    pub memory_limit: Option<Memory>,
    pub nvidia_gpu_limit: Option<u32>,
    pub amd_gpu_limit: Option<u32>,
    /// A cron expression that was read successfully.
    pub schedule: Option<String>,
    /// An IANA timezone that is known.
    pub timezone: Option<String>,
    pub env: BTreeMap<String, EnvironmentValue>,
    pub service_account: Option<String>,
    pub default_r_environment_management: Option<bool>,
    pub default_py_environment_management: Option<bool>,
    pub suspend: Option<bool>,
}

impl Settings {
    /// These settings, with what they do not say taken from `defaults`. Variables are joined, ours win.
    #[must_use]
    pub fn or(mut self, defaults: &Self) -> Self {
        macro_rules! take {
            ($($field:ident),+ $(,)?) => { $(if self.$field.is_none() { self.$field.clone_from(&defaults.$field); })+ };
        }
        take!(
            title,
            description,
            owner,
            environment,
            min_processes,
            max_processes,
            max_conns_per_process,
            load_factor,
            init_timeout,
            idle_timeout,
            connection_timeout,
            read_timeout,
            cpu_request,
            cpu_limit,
            memory_request,
            memory_limit,
            nvidia_gpu_limit,
            amd_gpu_limit,
            schedule,
            timezone,
            service_account,
            default_r_environment_management,
            default_py_environment_management,
            suspend,
        );
        if self.tags.is_empty() {
            self.tags.clone_from(&defaults.tags);
        }
        for (name, value) in &defaults.env {
            self.env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }
}
