//! Opens the rooms that hold the world: what can run items here. What is done with them is the commands' business.

use super::{CliError, Context};
use crate::config::{Config, ContentUser, ExecutorKind};
use crate::executor::local::{LocalConfig, LocalExecutor, Purpose, UserMode};
use crate::executor::{Candidates, Executor};

/// What can run items: this host, or whatever environments the commit names.
pub async fn candidates(context: &Context) -> Result<Candidates, CliError> {
    match context.config.executor {
        ExecutorKind::Local => {
            let (executor, _) = LocalExecutor::open(local_config(&context.config, Purpose::Observe)).await?;
            Ok(executor.candidates().await?)
        }
        ExecutorKind::Kubernetes | ExecutorKind::Connect => Ok(Candidates::FromGit),
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
