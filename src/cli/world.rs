//! Opens the rooms that hold the world, to change it or only to look at it. What is done with them is the commands' business.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{CliError, Context, commit};
use crate::clock::SystemClock;
use crate::config::{Config, ContentUser, ExecutorKind};
use crate::executor::local::{LocalConfig, LocalExecutor, Purpose, UserMode};
use crate::executor::{Candidates, Executor};
use crate::model::{CommitId, Digest};
use crate::plan::{Change, Options, Origin, RegistryView, SourceIdentity, Uid};
use crate::reconcile::{Commits, CommitsError, Consent, GitCommits, GoalSettings, Rooms, Settings, SharedSnapshot};
use crate::registry::{
    Expected, HistoryEntry, NewRecord, RecordName, Recorded, Registry, RegistryError, SqliteRegistry, Verification,
};
use crate::session::protocol::PROTOCOL;
use crate::source::Source;

/// Records and jobs of this instance.
#[derive(Clone)]
pub struct World {
    /// The records.
    pub registry: Arc<dyn Registry>,
    /// The jobs.
    pub executor: Arc<LocalExecutor>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl World {
    /// Opens both to change them. The caller holds the lock of the state directory.
    pub async fn open(context: &Context, purpose: Purpose) -> Result<Self, CliError> {
        let config = &context.config;
        config.require_supported_pair()?;
        let registry = SqliteRegistry::open(&config.state_dir, config.instance.clone()).await?;
        let (executor, warnings) = LocalExecutor::open(local_config(config, purpose)).await?;
        Ok(Self { registry: Arc::new(registry), executor: Arc::new(executor), warnings })
    }

    /// Opens both to look at them, also beside a wharf that changes them. What is not there yet is empty.
    pub async fn observe(context: &Context) -> Result<Self, CliError> {
        let config = &context.config;
        config.require_supported_pair()?;
        let registry = SqliteRegistry::open_read_only(&config.state_dir, config.instance.clone()).await?;
        let (executor, warnings) = LocalExecutor::open(local_config(config, Purpose::Observe)).await?;
        Ok(Self { registry: Arc::new(ReadOnly(Arc::new(registry))), executor: Arc::new(executor), warnings })
    }

    /// What a reconciler drives.
    pub fn rooms(&self, commits: Arc<dyn Commits>, config: &Config) -> Rooms {
        Rooms {
            commits,
            registry: Arc::clone(&self.registry),
            executor: Arc::clone(&self.executor) as Arc<dyn Executor>,
            clock: Arc::new(SystemClock),
            ceiling: Arc::new(config.ceiling.clone()),
        }
    }
}

/// What can run items: this host, or whatever environments the commit names.
pub async fn candidates(context: &Context) -> Result<Candidates, CliError> {
    match context.config.executor {
        ExecutorKind::Local => {
            let (executor, notes) = LocalExecutor::open(local_config(&context.config, Purpose::Observe)).await?;
            for note in notes {
                tracing::info!("{note}");
            }
            Ok(executor.candidates().await?)
        }
        ExecutorKind::Kubernetes | ExecutorKind::Connect => Ok(Candidates::FromGit),
    }
}

/// The commits of the repository that was named.
pub fn git(source: &Source, config: &Config) -> GitCommits {
    GitCommits::new(source.clone(), config.reference.to_string(), config.working_tree)
}

/// The commits of the repository that was named or is around, or none at all.
pub fn commits(config: &Config) -> Arc<dyn Commits> {
    match commit::open(config) {
        Ok(source) => Arc::new(git(&source, config)),
        Err(error) => Arc::new(NoCommits(error.to_string())),
    }
}

/// What the operator chose, as the reconciler takes it.
pub fn settings(config: &Config, options: Options, consent: Consent, actor: &str) -> Settings {
    Settings {
        goals: GoalSettings {
            instance: config.instance.clone(),
            supervisor: config.supervisor.clone(),
            require_image_match: config.local.require_image_match,
            protocol: PROTOCOL,
        },
        options,
        consent: Consent { rewinds: consent.rewinds || config.ceiling.rewinds, ..consent },
        actor: actor.to_owned(),
    }
}

/// The settings in the local executor's own words.
pub fn local_config(config: &Config, purpose: Purpose) -> LocalConfig {
    let local = &config.local;
    let defaults = LocalConfig::new(config.data_dir.clone(), config.state_dir.clone(), config.instance.clone());
    LocalConfig {
        purpose,
        secrets_dir: config.secrets_dir.clone(),
        user: match local.user.unwrap_or_default() {
            ContentUser::Auto => UserMode::Auto,
            ContentUser::Same => UserMode::Same,
            ContentUser::Number(uid) => UserMode::Number(uid),
        },
        ports: local.ports.clone().map_or(defaults.ports.clone(), |ports| ports.0),
        interpreters: local.interpreters.clone(),
        require_image_match: local.require_image_match,
        serve_base_url: Some(format!("http://{}", config.listen_content)),
        supervisor: local.supervisor.clone(),
        builds_at_once: local.builds_at_once,
        ..defaults
    }
}

/// A source without commits, for commands that need none but speak to a reconciler.
struct NoCommits(String);

#[async_trait]
impl Commits for NoCommits {
    async fn look(&self) -> Result<CommitId, CommitsError> {
        Err(CommitsError { message: self.0.clone() })
    }

    async fn snapshot(&self, _: CommitId) -> Result<SharedSnapshot, CommitsError> {
        Err(CommitsError { message: self.0.clone() })
    }

    async fn descends(&self, _: CommitId, _: CommitId) -> Result<bool, CommitsError> {
        Err(CommitsError { message: self.0.clone() })
    }

    fn identity(&self) -> SourceIdentity {
        SourceIdentity { repository: String::new(), path: String::new(), reference: String::new() }
    }
}

/// A registry that forgets what it is told: a look at the world changes nothing in it.
struct ReadOnly(Arc<dyn Registry>);

fn refused<T>() -> Result<T, RegistryError> {
    Err(RegistryError::Storage {
        doing: "writing",
        place: "a registry that was opened to look at".to_owned(),
        problem: "this is a defect of wharf; nothing was changed".to_owned(),
    })
}

#[async_trait]
impl Registry for ReadOnly {
    async fn view(&self) -> Result<Arc<RegistryView>, RegistryError> {
        self.0.view().await
    }

    async fn write(&self, _: NewRecord, _: Origin, _: Expected, _: Timestamp) -> Result<Uid, RegistryError> {
        refused()
    }

    async fn delete(&self, _: RecordName, _: Expected) -> Result<(), RegistryError> {
        refused()
    }

    async fn remember(&self, _: &[Change], _: Timestamp) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn record(&self, _: HistoryEntry) -> Result<Digest, RegistryError> {
        refused()
    }

    async fn history(&self, limit: u32) -> Result<Vec<Recorded>, RegistryError> {
        self.0.history(limit).await
    }

    async fn verify(&self) -> Result<Verification, RegistryError> {
        self.0.verify().await
    }
}
