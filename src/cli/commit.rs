//! Reading one commit for the commands that look at it: what it asks for and where its bytes are. Nothing is judged here.

use std::sync::Arc;

use super::{CliError, Context};
use crate::config::Config;
use crate::desired::snapshot::Snapshot;
use crate::desired::{self, Desired};
use crate::model::CommitId;
use crate::source::Source;

/// A commit that was read.
pub struct Commit {
    /// Which; for a working tree the id its files would have.
    pub id: CommitId,
    /// What it asks for.
    pub desired: Arc<Desired>,
    /// Where its bytes are.
    pub snapshot: Arc<dyn Snapshot + Send + Sync>,
}

/// Opens the repository that was named, or the one around the directory in which the command was started.
pub fn open(config: &Config) -> Result<Source, CliError> {
    let here = std::env::current_dir().ok();
    Ok(Source::open(config.source(here.as_deref())?)?)
}

/// Reads the commit that `--ref` names.
pub async fn read(context: &Context) -> Result<Commit, CliError> {
    let source = open(&context.config)?;
    let commit = source.look().await?.commit;
    of(&source, commit, &context.config)
}

fn of(source: &Source, id: CommitId, config: &Config) -> Result<Commit, CliError> {
    let snapshot = source.snapshot(id)?;
    let desired = desired::read(&*snapshot, &config.ceiling, &desired::Cache::new())?;
    Ok(Commit { id, desired: Arc::new(desired), snapshot })
}
