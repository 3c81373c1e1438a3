//! Flags, environment and the configuration file become one validated [`Config`]. What a setting does is known elsewhere.

mod error;
mod local;
mod settings;
mod state_directory;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::ConfigError;
pub use local::{ContentUser, LocalSettings};
pub use settings::{ExecutorKind, RegistryKind, Settings};
pub use state_directory::{StateDirectory, StateDirectoryError};

use crate::desired::ceiling::Ceiling;
use crate::model::Instance;
use crate::source::{RefName, RemoteOptions, RepositoryUrl, SourceConfig, Subdirectory};

/// How often a repository is asked unless `--interval` says otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
/// The shortest `--interval`: a forge that is asked more often than this starts to refuse.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Where rendered results and static items are served unless `--listen-content` says otherwise.
const DEFAULT_LISTEN_CONTENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8711);
/// The instance's name unless `--instance` says otherwise.
const DEFAULT_INSTANCE: &str = "default";

/// The pairs of registry and executor that this version has (objects.md).
const SUPPORTED_PAIRS: [(RegistryKind, ExecutorKind); 1] = [(RegistryKind::Sqlite, ExecutorKind::Local)];

/// Everything the operator said, checked, with the defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// The repository; commands that only read take the directory they are started in.
    pub repository: Option<RepositoryUrl>,
    /// What of it is read.
    pub reference: RefName,
    /// The directory in it.
    pub path: Subdirectory,
    /// Whether uncommitted files count.
    pub working_tree: bool,
    /// How a remote is asked.
    pub remote: RemoteOptions,
    /// How often the repository is asked.
    pub interval: Duration,
    /// What the jobs share, absolute.
    pub data_dir: PathBuf,
    /// Database, mirror, lock and socket, absolute.
    pub state_dir: PathBuf,
    /// Files `NAME/KEY` with secret values, absolute.
    pub secrets_dir: Option<PathBuf>,
    /// Whose objects are ours.
    pub instance: Instance,
    /// Where jobs run.
    pub executor: ExecutorKind,
    /// Where records live.
    pub registry: RegistryKind,
    /// Where rendered results and static items are served.
    pub listen_content: SocketAddr,
    /// What concerns this host alone.
    pub local: LocalSettings,
    /// What the repository may ask for at most.
    pub ceiling: Ceiling,
    /// The supervisor of environments that name none, absolute.
    pub supervisor: Option<String>,
    /// What the operator should know about these settings.
    pub warnings: Vec<String>,
}

impl Config {
    /// Puts flags (which hold the environment already) over the configuration file, and checks the whole.
    pub fn load(flags: Settings) -> Result<Self, ConfigError> {
        let file = flags.config.as_deref().map(Settings::read_file).transpose()?.unwrap_or_default();
        Self::from_settings(flags.over(file), std::env::home_dir().as_deref())
    }

    fn from_settings(settings: Settings, home: Option<&Path>) -> Result<Self, ConfigError> {
        let interval = settings.interval.map_or(DEFAULT_INTERVAL, |seconds| Duration::from_secs(seconds.0));
        if interval < SHORTEST_INTERVAL {
            return Err(ConfigError::Interval);
        }
        let directory = |given: Option<PathBuf>, flag: &'static str, below_home: &str| {
            let default = || home.map(|home| home.join(below_home));
            absolute(given.or_else(default).ok_or(ConfigError::NoHome { flag })?)
        };
        let executor = settings.executor.unwrap_or_default();
        let instance = settings.instance.map_or_else(|| DEFAULT_INSTANCE.parse(), Ok)?;
        let config = Self {
            repository: settings.repo,
            reference: settings.reference.unwrap_or_default(),
            path: settings.path.unwrap_or_default(),
            working_tree: settings.working_tree.unwrap_or_default(),
            remote: RemoteOptions {
                ssh_key: settings.ssh_key.map(absolute).transpose()?,
                known_hosts: settings.known_hosts.map(absolute).transpose()?,
                token_file: settings.token_file.map(absolute).transpose()?,
                ..RemoteOptions::default()
            },
            interval,
            data_dir: directory(settings.data_dir, "--data-dir", ".local/share/wharf")?,
            state_dir: directory(settings.state_dir, "--state-dir", ".local/state/wharf")?,
            secrets_dir: settings.secrets_dir.map(absolute).transpose()?,
            instance,
            executor,
            registry: settings.registry.unwrap_or_default(),
            listen_content: settings.listen_content.unwrap_or(DEFAULT_LISTEN_CONTENT),
            local: settings.local.unwrap_or_default(),
            ceiling: settings.ceiling.unwrap_or_default(),
            warnings: warnings(settings.supervisor.as_deref(), executor),
            supervisor: settings.supervisor,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if let Some(supervisor) = self.supervisor.as_deref().filter(|path| !path.starts_with('/')) {
            return Err(ConfigError::Supervisor { found: supervisor.to_owned() });
        }
        if self.data_dir == self.state_dir {
            return Err(ConfigError::OneDirectory { path: self.data_dir.clone() });
        }
        Ok(())
    }

    /// Refuses pairs of registry and executor that this version does not have. Commands that need neither do not ask.
    pub fn require_supported_pair(&self) -> Result<(), ConfigError> {
        if SUPPORTED_PAIRS.contains(&(self.registry, self.executor)) {
            return Ok(());
        }
        Err(ConfigError::UnsupportedPair { registry: self.registry, executor: self.executor })
    }

    /// Where commits come from. `here` is what commands that only read fall back to: the directory they are started in.
    pub fn source(&self, here: Option<&Path>) -> Result<SourceConfig, ConfigError> {
        let repository = match (&self.repository, here) {
            (Some(repository), _) => repository.clone(),
            (None, Some(here)) => RepositoryUrl::Local(here.to_owned()),
            (None, None) => return Err(ConfigError::NoRepository),
        };
        Ok(SourceConfig {
            repository,
            reference: self.reference.clone(),
            path: self.path.clone(),
            working_tree: self.working_tree,
            mirrors: self.state_dir.join("mirrors"),
            remote: self.remote.clone(),
        })
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, ConfigError> {
    std::path::absolute(&path).map_err(|source| ConfigError::Path { path, source })
}

/// `registry + executor`, for the message that lists what is there.
fn supported_pairs() -> String {
    let pairs = SUPPORTED_PAIRS.iter().map(|(registry, executor)| format!("{registry} + {executor}"));
    pairs.collect::<Vec<_>>().join(", ")
}

fn warnings(supervisor: Option<&str>, executor: ExecutorKind) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(supervisor) = supervisor.filter(|_| executor != ExecutorKind::Local) {
        warnings.push(format!(
            "the supervisor {supervisor} is set for every environment, so each image must hold it at that path; \
             images without it cannot start anything"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Result<Config, ConfigError> {
        let settings = Settings::from_yaml(yaml, Path::new("/etc/wharf/config.yaml"))?;
        Config::from_settings(settings, Some(Path::new("/home/harbour")))
    }

    fn problem(yaml: &str) -> String {
        let error = config(yaml).expect_err(yaml);
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    }

    #[test]
    fn defaults_need_no_file() {
        let config = config("").unwrap();
        assert_eq!(config.state_dir, Path::new("/home/harbour/.local/state/wharf"));
        assert_eq!(config.data_dir, Path::new("/home/harbour/.local/share/wharf"));
        assert_eq!(config.interval, Duration::from_mins(1));
        assert_eq!(config.instance.as_str(), "default");
        assert!(config.require_supported_pair().is_ok());
        assert!(matches!(config.source(None), Err(ConfigError::NoRepository)));
    }

    #[test]
    fn a_flag_is_stronger_than_the_file() {
        let file = "repo: https://git.example.org/a\nref: main\ninterval: 5m\n";
        let file = Settings::from_yaml(file, Path::new("/etc/wharf/config.yaml")).unwrap();
        let flags = Settings { interval: Some(crate::model::Seconds(7)), ..Settings::default() };
        let config = Config::from_settings(flags.over(file), Some(Path::new("/root"))).unwrap();
        assert_eq!(config.interval, Duration::from_secs(7));
        assert_eq!(config.reference, RefName::Short("main".to_owned()));
    }

    #[test]
    fn paths_of_a_file_start_where_it_lies() {
        let config = config("data_dir: data\nstate_dir: /var/lib/wharf\nsecrets_dir: ../secrets\nrepo: ./gullhaven\n");
        let config = config.unwrap();
        assert_eq!(config.data_dir, Path::new("/etc/wharf/data"));
        assert_eq!(config.state_dir, Path::new("/var/lib/wharf"));
        assert_eq!(config.secrets_dir.as_deref(), Some(Path::new("/etc/wharf/../secrets")));
        assert!(
            matches!(config.repository, Some(RepositoryUrl::Local(path)) if path == Path::new("/etc/wharf/./gullhaven"))
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        insta::assert_snapshot!(
            [
                "repos: https://git.example.org/a\n",
                "interval: soon\n",
                "interval: 0\n",
                "executor: docker\n",
                "instance: My Team\n",
                "repo: --upload-pack=x\n",
                "local: {ports: 42000-41000}\n",
                "local: {ports: 80}\n",
                "local: {user: wharf}\n",
                "supervisor: bin/tini\n",
                "data_dir: /srv/wharf\nstate_dir: /srv/wharf\n",
                "repo: [\n",
            ]
            .map(problem)
            .join("\n")
        );
    }

    #[test]
    fn other_pairs_are_refused_with_the_list() {
        let config = config("executor: kubernetes\nregistry: postgres\nsupervisor: /opt/tini\n").unwrap();
        insta::assert_snapshot!(config.require_supported_pair().unwrap_err());
        assert_eq!(config.warnings.len(), 1);
    }
}
