//! The settings as they are given: flags with their environment variables, and the same names in a YAML file. Nothing is checked across settings here.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{ConfigError, LocalSettings};
use crate::desired::ceiling::Ceiling;
use crate::desired::yaml;
use crate::model::{Instance, Seconds};
use crate::source::{RefName, RepositoryUrl, Subdirectory};

const SOURCE: &str = "Source";
const INSTANCE: &str = "Instance";

/// Where jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// Processes of this host.
    #[default]
    Local,
    /// Jobs of a Kubernetes cluster.
    Kubernetes,
    /// A Posit Connect server.
    Connect,
}

impl fmt::Display for ExecutorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Kubernetes => "kubernetes",
            Self::Connect => "connect",
        })
    }
}

/// Where records live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RegistryKind {
    /// A file in the state directory.
    #[default]
    Sqlite,
    /// A PostgreSQL database.
    Postgres,
    /// Custom resources of a cluster.
    Kubernetes,
    /// A Posit Connect server.
    Connect,
}

impl fmt::Display for RegistryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Kubernetes => "kubernetes",
            Self::Connect => "connect",
        })
    }
}

/// Every setting, as far as it is given. `None` leaves it to the next weaker place.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The Git repository: an http(s) or ssh address, or a directory of this machine.
    #[arg(long, env = "WHARF_REPO", value_name = "URL|PATH", global = true, help_heading = SOURCE, hide_env_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub repo: Option<RepositoryUrl>,

    /// The branch, tag or commit to read [default: HEAD].
    #[arg(long = "ref", env = "WHARF_REF", value_name = "REF", global = true, help_heading = SOURCE, hide_env_values = true)]
    #[serde(rename = "ref", deserialize_with = "parsed")]
    pub reference: Option<RefName>,

    /// The directory of the repository to read [default: its root].
    #[arg(long, env = "WHARF_PATH", value_name = "SUBDIR", global = true, help_heading = SOURCE, hide_env_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub path: Option<Subdirectory>,

    /// Read the files of a local directory as they lie there, committed or not.
    #[arg(long, env = "WHARF_WORKING_TREE", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", global = true, help_heading = SOURCE, hide_env_values = true, hide_possible_values = true)]
    pub working_tree: Option<bool>,

    /// How often the repository is asked [default: 60s].
    #[arg(long, env = "WHARF_INTERVAL", value_name = "DURATION", global = true, help_heading = SOURCE, hide_env_values = true,
        hide_short_help = true)]
    #[serde(deserialize_with = "parsed")]
    pub interval: Option<Seconds>,

    /// The private key for an ssh repository.
    #[arg(long, env = "WHARF_SSH_KEY", value_name = "FILE", global = true, help_heading = SOURCE, hide_env_values = true,
        hide_short_help = true)]
    pub ssh_key: Option<PathBuf>,

    /// The host keys to believe for an ssh repository.
    #[arg(long, env = "WHARF_KNOWN_HOSTS", value_name = "FILE", global = true, help_heading = SOURCE, hide_env_values = true,
        hide_short_help = true)]
    pub known_hosts: Option<PathBuf>,

    /// A file with the access token for an http(s) repository.
    #[arg(long, env = "WHARF_TOKEN_FILE", value_name = "FILE", global = true, help_heading = SOURCE, hide_env_values = true,
        hide_short_help = true)]
    pub token_file: Option<PathBuf>,

    /// The configuration file (YAML); flags and WHARF_* variables are stronger.
    #[arg(long, env = "WHARF_CONFIG", value_name = "FILE", global = true, help_heading = INSTANCE, hide_env_values = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Files, jobs, logs and results of what runs [default: ~/.local/share/wharf].
    #[arg(long, env = "WHARF_DATA_DIR", value_name = "DIR", global = true, help_heading = INSTANCE, hide_env_values = true,
        hide_short_help = true)]
    pub data_dir: Option<PathBuf>,

    /// Database, mirror, lock and control socket [default: ~/.local/state/wharf].
    #[arg(long, env = "WHARF_STATE_DIR", value_name = "DIR", global = true, help_heading = INSTANCE, hide_env_values = true,
        hide_short_help = true)]
    pub state_dir: Option<PathBuf>,

    /// Secret values, as files NAME/KEY.
    #[arg(long, env = "WHARF_SECRETS_DIR", value_name = "DIR", global = true, help_heading = INSTANCE, hide_env_values = true,
        hide_short_help = true)]
    pub secrets_dir: Option<PathBuf>,

    /// The name of this instance: it changes only what carries it [default: default].
    #[arg(long, env = "WHARF_INSTANCE", value_name = "NAME", global = true, help_heading = INSTANCE, hide_env_values = true,
        hide_short_help = true)]
    #[serde(deserialize_with = "parsed")]
    pub instance: Option<Instance>,

    /// Where items run [default: local].
    #[arg(long, env = "WHARF_EXECUTOR", value_name = "EXECUTOR", global = true, help_heading = INSTANCE, hide_env_values = true,
        hide_possible_values = true)]
    pub executor: Option<ExecutorKind>,

    /// Where records live [default: sqlite].
    #[arg(long, env = "WHARF_REGISTRY", value_name = "REGISTRY", global = true, help_heading = INSTANCE, hide_env_values = true,
        hide_short_help = true, hide_possible_values = true)]
    pub registry: Option<RegistryKind>,

    /// Where static items and rendered documents are served [default: 127.0.0.1:8711].
    #[arg(long, env = "WHARF_LISTEN_CONTENT", value_name = "ADDRESS", global = true, help_heading = INSTANCE, hide_env_values = true,
        hide_short_help = true)]
    #[serde(deserialize_with = "parsed")]
    pub listen_content: Option<SocketAddr>,

    /// A program in every image that wraps what is started, absolute.
    #[arg(skip)]
    pub supervisor: Option<String>,

    /// What concerns this host alone.
    #[arg(skip)]
    pub local: Option<LocalSettings>,

    /// What the repository may ask for at most.
    #[arg(skip)]
    pub ceiling: Option<Ceiling>,
}

impl Settings {
    /// Reads a configuration file. Its relative paths start at the directory it lies in.
    pub fn read_file(path: &Path) -> Result<Self, ConfigError> {
        let file = |source| ConfigError::File { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(file)?;
        Self::from_yaml(&text, &std::path::absolute(path).map_err(file)?)
    }

    pub(super) fn from_yaml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let read = yaml::from_str::<Self>(text);
        let mut settings = read.map_err(|source| ConfigError::Content { path: path.to_owned(), source })?;
        if let Some(directory) = path.parent() {
            settings.start_paths_at(directory);
        }
        Ok(settings)
    }

    fn start_paths_at(&mut self, directory: &Path) {
        let repository = match &mut self.repo {
            Some(RepositoryUrl::Local(path)) => Some(path),
            _ => None,
        };
        let paths = [
            &mut self.ssh_key,
            &mut self.known_hosts,
            &mut self.token_file,
            &mut self.data_dir,
            &mut self.state_dir,
            &mut self.secrets_dir,
        ];
        for path in paths.into_iter().flatten().chain(repository) {
            *path = directory.join(&*path);
        }
    }

    /// These settings, and those of `weaker` where these say nothing.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        Self {
            config: self.config,
            repo: self.repo.or(weaker.repo),
            reference: self.reference.or(weaker.reference),
            path: self.path.or(weaker.path),
            working_tree: self.working_tree.or(weaker.working_tree),
            interval: self.interval.or(weaker.interval),
            ssh_key: self.ssh_key.or(weaker.ssh_key),
            known_hosts: self.known_hosts.or(weaker.known_hosts),
            token_file: self.token_file.or(weaker.token_file),
            data_dir: self.data_dir.or(weaker.data_dir),
            state_dir: self.state_dir.or(weaker.state_dir),
            secrets_dir: self.secrets_dir.or(weaker.secrets_dir),
            instance: self.instance.or(weaker.instance),
            executor: self.executor.or(weaker.executor),
            registry: self.registry.or(weaker.registry),
            listen_content: self.listen_content.or(weaker.listen_content),
            supervisor: self.supervisor.or(weaker.supervisor),
            local: self.local.or(weaker.local),
            ceiling: self.ceiling.or(weaker.ceiling),
        }
    }
}

/// Reads a text as one of our own types, so that a mistake is reported where it stands in the file.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}
