//! The embedded default: one SQLite file in the state directory. Opening, rows and writing are the files beside this one.
//!
//! One connection does everything, one call at a time: an instance has one writer, and readers are served from the cache. A
//! second process (`wharf diff` beside the daemon) opens the file itself, to read; `PRAGMA data_version` tells who wrote.

mod open;
mod problem;
mod rows;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::history::Follower;
use super::{Expected, HistoryEntry, NewRecord, RecordName, Recorded, Registry, RegistryError, Verification};
use crate::model::{Digest, Instance};
use crate::plan::{Change, Origin, RegistryView, Uid};
use rows::Effect;

/// The database's name in the state directory.
pub const DATABASE_FILE: &str = "wharf.db";

/// Records, memory and history in one SQLite file.
#[derive(Debug)]
pub struct SqliteRegistry {
    place: PathBuf,
    purpose: Purpose,
    instance: Instance,
    inner: Mutex<Inner>,
}

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Write,
    Look,
}

impl Purpose {
    async fn open(self, place: &Path) -> Result<SqliteConnection, RegistryError> {
        match self {
            Self::Write => open::open(place).await,
            Self::Look => open::look(place).await,
        }
    }
}

#[derive(Debug)]
struct Inner {
    connection: SqliteConnection,
    view: Arc<RegistryView>,
    /// What was written since the view was last asked for. Taking it in together copies a view that somebody still holds
    /// once a pass and not once a write.
    pending: Vec<Effect>,
    /// `PRAGMA data_version` when the view was read.
    version: i64,
    /// A commit was begun and its end was not seen, so only reading everything again tells what is stored.
    uncertain: bool,
}

impl SqliteRegistry {
    /// Opens the database of a state directory, makes it if there is none, and brings its schema up to date.
    pub async fn open(state_directory: &Path, instance: Instance) -> Result<Self, RegistryError> {
        Self::open_for(Purpose::Write, state_directory, instance).await
    }

    /// Opens the database of a state directory to read it, also beside a process that writes it. Nothing is made or
    /// changed: one that is not there is empty, and one of another schema is refused as [`RegistryError::Version`].
    pub async fn open_read_only(state_directory: &Path, instance: Instance) -> Result<Self, RegistryError> {
        Self::open_for(Purpose::Look, state_directory, instance).await
    }

    async fn open_for(purpose: Purpose, state_directory: &Path, instance: Instance) -> Result<Self, RegistryError> {
        let place = state_directory.join(DATABASE_FILE);
        let connection = purpose.open(&place).await?;
        let mut inner = Inner { connection, view: Arc::default(), pending: Vec::new(), version: 0, uncertain: true };
        inner.refresh(&instance).await.map_err(|error| problem::of("reading the records", &place, &error))?;
        Ok(Self { place, purpose, instance, inner: Mutex::new(inner) })
    }

    /// The connection, for one call. After an error on which SQLite itself ended the transaction (a full disk, a failing
    /// one), sqlx goes on counting it as open and refuses every later one; such a connection is replaced.
    async fn ready(&self) -> Result<MutexGuard<'_, Inner>, RegistryError> {
        let mut inner = self.inner.lock().await;
        // Whatever a dropped call left to be rolled back is done before the answer.
        let alive = inner.connection.ping().await.is_ok();
        if !alive || inner.connection.is_in_transaction() {
            inner.connection = self.purpose.open(&self.place).await?;
            inner.uncertain = true;
        }
        Ok(inner)
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> RegistryError + '_ {
        move |error| problem::of(doing, &self.place, &error)
    }
}

impl Inner {
    /// Makes the view equal to what is stored: by what was written here, or by reading all of it if somebody else wrote.
    async fn refresh(&mut self, instance: &Instance) -> Result<(), sqlx::Error> {
        if self.uncertain || rows::data_version(&mut self.connection).await? != self.version {
            // The version is read in the transaction that reads the rows: a write between the two would be missed for ever.
            let mut transaction = self.connection.begin().await?;
            let version = rows::data_version(&mut transaction).await?;
            let view = rows::load(&mut transaction, instance).await?;
            transaction.commit().await?;
            self.view = Arc::new(view);
            self.pending.clear();
            self.version = version;
            self.uncertain = false;
        } else if !self.pending.is_empty() {
            let view = Arc::make_mut(&mut self.view);
            for effect in self.pending.drain(..) {
                effect.apply(view);
            }
        }
        Ok(())
    }

    /// Commits, and remembers what that changes in the view. If the commit fails or its end is never awaited, the view
    /// is read anew.
    async fn commit(
        transaction: sqlx::Transaction<'_, sqlx::Sqlite>,
        uncertain: &mut bool,
        pending: &mut Vec<Effect>,
        effects: Vec<Effect>,
    ) -> Result<(), sqlx::Error> {
        let before = *uncertain;
        *uncertain = true;
        transaction.commit().await?;
        pending.extend(effects);
        *uncertain = before;
        Ok(())
    }
}

#[async_trait]
impl Registry for SqliteRegistry {
    async fn view(&self) -> Result<Arc<RegistryView>, RegistryError> {
        let mut inner = self.ready().await?;
        inner.refresh(&self.instance).await.map_err(self.failed("reading the records"))?;
        Ok(Arc::clone(&inner.view))
    }

    async fn write(
        &self,
        record: NewRecord,
        origin: Origin,
        expected: Expected,
        now: Timestamp,
    ) -> Result<Uid, RegistryError> {
        let failed = self.failed("writing a record");
        let mut inner = self.ready().await?;
        let Inner { connection, pending, uncertain, .. } = &mut *inner;
        let mut transaction = write::begin(connection, write::Durability::Process).await.map_err(&failed)?;
        let found = write::find(&mut transaction, &record.name(), &self.instance).await.map_err(&failed)?;
        let new = write::NewRow { record, origin, now, instance: &self.instance };
        let (uid, effect) = new.put(&mut transaction, &expected, found, &failed).await?;
        Inner::commit(transaction, uncertain, pending, vec![effect]).await.map_err(&failed)?;
        Ok(uid)
    }

    async fn delete(&self, name: RecordName, expected: Expected) -> Result<(), RegistryError> {
        let failed = self.failed("deleting a record");
        let mut inner = self.ready().await?;
        let Inner { connection, pending, uncertain, .. } = &mut *inner;
        let mut transaction = write::begin(connection, write::Durability::Process).await.map_err(&failed)?;
        let found = write::find(&mut transaction, &name, &self.instance).await.map_err(&failed)?;
        super::precondition::check_delete(&name, &expected, found.as_ref().map(write::FoundRow::seen))?;
        write::remove(&mut transaction, &name).await.map_err(&failed)?;
        let effects = vec![Effect::Removed(name)];
        Inner::commit(transaction, uncertain, pending, effects).await.map_err(&failed)
    }

    async fn remember(&self, changes: &[Change], _now: Timestamp) -> Result<(), RegistryError> {
        if changes.is_empty() {
            return Ok(());
        }
        let failed = self.failed("writing the memory");
        let mut inner = self.ready().await?;
        let Inner { connection, pending, uncertain, .. } = &mut *inner;
        let mut transaction = write::begin(connection, write::Durability::PowerCut).await.map_err(&failed)?;
        for change in changes {
            write::remember(&mut transaction, change).await.map_err(&failed)?;
        }
        let effects = changes.iter().cloned().map(Effect::Memory).collect();
        Inner::commit(transaction, uncertain, pending, effects).await.map_err(&failed)
    }

    async fn record(&self, entry: HistoryEntry) -> Result<Digest, RegistryError> {
        let failed = self.failed("writing the history");
        let mut inner = self.ready().await?;
        let mut transaction =
            write::begin(&mut inner.connection, write::Durability::PowerCut).await.map_err(&failed)?;
        let chain = write::record(&mut transaction, &entry).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(chain)
    }

    async fn history(&self, limit: u32) -> Result<Vec<Recorded>, RegistryError> {
        let mut inner = self.ready().await?;
        let rows = rows::history(&mut inner.connection, limit).await.map_err(self.failed("reading the history"))?;
        let read = |row: &rows::HistoryRow| {
            let recorded = row.read();
            if let Err(problem) = &recorded {
                tracing::warn!(number = row.number, %problem, "a history entry cannot be read");
            }
            recorded.ok()
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    async fn verify(&self) -> Result<Verification, RegistryError> {
        let mut inner = self.ready().await?;
        let mut rows = rows::all_history(&mut inner.connection);
        let mut follower = Follower::default();
        while let Some(row) = rows.try_next().await.map_err(self.failed("reading the history"))? {
            follower.follow(row.number, &row.entry, &row.chain);
        }
        Ok(follower.finish())
    }
}

#[cfg(test)]
mod tests;
