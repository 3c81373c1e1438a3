//! The statements that change the database, each inside a transaction that `mod.rs` begins and commits. Decides nothing but preconditions.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};

use super::super::history::link;
use super::super::precondition::{Found, check_write, new_uid};
use super::super::{Expected, HistoryEntry, NewRecord, RecordName, RegistryError};
use super::rows::{self, Effect, RecordRow};
use crate::model::{Digest, Instance, canonical_json};
use crate::plan::{Change, Origin, Ownership, Record, Uid};

/// What a commit outlives. Either way it outlives the end of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// `kill -9`. Records are written by the thousand on a first run, and one that a power cut took is written again
    /// by the next pass, so they do not wait for the disk.
    Process,
    /// A power cut too: a suspension or an outcome that was lost would not come back. Once a pass.
    PowerCut,
}

/// Begins a transaction that holds the write lock from its start: one that reads first and then wants to write fails at
/// once when somebody else wrote in between, whatever the timeout.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    durability: Durability,
) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    let synchronous = match durability {
        Durability::Process => "PRAGMA synchronous = NORMAL",
        Durability::PowerCut => "PRAGMA synchronous = FULL",
    };
    sqlx::query(synchronous).execute(&mut *connection).await?;
    connection.begin_with("BEGIN IMMEDIATE").await
}

/// The row of a record as a precondition looks at it.
#[derive(Debug)]
pub(super) struct FoundRow {
    uid: Uid,
    version: i64,
    stored: Digest,
    ownership: Ownership,
    readable: bool,
}

impl FoundRow {
    pub(super) const fn seen(&self) -> Found<'_> {
        Found { uid: &self.uid, stored: &self.stored, ownership: self.ownership, readable: self.readable }
    }
}

/// Looks a record up where it is stored, not in the cache: somebody else may have written since.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    name: &RecordName,
    instance: &Instance,
) -> Result<Option<FoundRow>, sqlx::Error> {
    let row: Option<RecordRow> = sqlx::query_as(
        "SELECT kind, name, uid, version, owner, applied, path, blob, form FROM records WHERE kind = ?1 AND name = ?2",
    )
    .bind(name.kind())
    .bind(name.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| FoundRow {
        stored: Digest::of(&row.form),
        ownership: rows::ownership(&row.owner, instance),
        readable: !matches!(row.read(instance, &mut std::collections::HashMap::new()), Effect::Unreadable(_)),
        uid: Uid(row.uid),
        version: row.version,
    }))
}

/// A record on its way into the database.
#[derive(Debug)]
pub(super) struct NewRow<'a> {
    pub(super) record: NewRecord,
    pub(super) origin: Origin,
    pub(super) now: Timestamp,
    pub(super) instance: &'a Instance,
}

impl NewRow<'_> {
    /// Writes it if the precondition holds; gives its identity, and what that changes in the view.
    pub(super) async fn put(
        self,
        connection: &mut SqliteConnection,
        expected: &Expected,
        found: Option<FoundRow>,
        failed: impl Fn(sqlx::Error) -> RegistryError,
    ) -> Result<(Uid, Effect), RegistryError> {
        let name = self.record.name();
        check_write(&name, expected, found.as_ref().map(FoundRow::seen))?;
        let (uid, version) = if let Some(row) = found {
            (row.uid, row.version.saturating_add(1))
        } else {
            let number = count_up(connection).await.map_err(&failed)?;
            (new_uid(&name, self.now, number), 1)
        };
        let (form, effect) = match self.record {
            NewRecord::Environment(form) => {
                let (text, record) = stored(form, uid.clone(), version, self.origin.clone());
                (text, Effect::Environment(record))
            }
            NewRecord::Content(form) => {
                let (text, record) = stored(form, uid.clone(), version, self.origin.clone());
                (text, Effect::Content(record))
            }
        };
        sqlx::query(
            "INSERT OR REPLACE INTO records (kind, name, uid, version, owner, applied, path, blob, form, written)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .bind(name.kind())
        .bind(name.as_str())
        .bind(&uid.0)
        .bind(version)
        .bind(self.instance.as_str())
        .bind(Digest::of(&form).to_string())
        .bind(&self.origin.path)
        .bind(self.origin.blob.to_string())
        .bind(&form)
        .bind(self.now.to_string())
        .execute(connection)
        .await
        .map_err(failed)?;
        Ok((uid, effect))
    }
}

/// The text of a form as it is stored, and the record the view shows of it.
fn stored<T: Serialize>(form: std::sync::Arc<T>, uid: Uid, version: i64, origin: Origin) -> (String, Record<T>) {
    let text = form_text(&form);
    let digest = Digest::of(&text);
    (text, Record { uid, version, ownership: Ownership::Ours, applied: digest, stored: digest, origin, form })
}

/// A form as it is stored: the very text whose digest is [`Digest::of_value`], which the plan compares with. Our types hold
/// nothing that JSON cannot.
fn form_text(form: &impl Serialize) -> String {
    serde_json::to_string(form).unwrap_or_default()
}

/// How many records were ever made, this one counted.
async fn count_up(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO facts (fact, value) VALUES ('records_made', '1')
         ON CONFLICT (fact) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)
         RETURNING CAST(value AS INTEGER)",
    )
    .fetch_one(connection)
    .await
}

/// Takes a record away.
pub(super) async fn remove(connection: &mut SqliteConnection, name: &RecordName) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM records WHERE kind = ?1 AND name = ?2")
        .bind(name.kind())
        .bind(name.as_str())
        .execute(connection)
        .await
        .map(drop)
}

/// Stores one change of memory.
pub(super) async fn remember(connection: &mut SqliteConnection, change: &Change) -> Result<(), sqlx::Error> {
    let query = match change {
        Change::Outcome(step, outcome) => {
            sqlx::query("INSERT OR REPLACE INTO outcomes (step, outcome) VALUES (?1, ?2)")
                .bind(canonical_json(step))
                .bind(canonical_json(outcome))
        }
        Change::Forget(step) => sqlx::query("DELETE FROM outcomes WHERE step = ?1").bind(canonical_json(step)),
        Change::Revisions(item, forms) => {
            sqlx::query("DELETE FROM revisions WHERE item = ?1").bind(item.as_str()).execute(&mut *connection).await?;
            for (position, form) in (0_i64..).zip(forms) {
                sqlx::query("INSERT INTO revisions (item, position, form) VALUES (?1, ?2, ?3)")
                    .bind(item.as_str())
                    .bind(position)
                    .bind(form_text(form))
                    .execute(&mut *connection)
                    .await?;
            }
            return Ok(());
        }
        Change::Suspended(item, on) => mark("suspended", item.as_str(), *on),
        Change::Reselect(item, on) => mark("reselect", item.as_str(), *on),
        Change::Approve(things) => {
            sqlx::query("INSERT OR IGNORE INTO approvals (things) VALUES (?1)").bind(canonical_json(things))
        }
        Change::AllSuspended(on) => fact("all_suspended", on),
        Change::Source(source) => fact("source", source),
        Change::Commit(commit) => fact("commit", commit),
    };
    query.execute(connection).await.map(drop)
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

fn mark<'q>(mark: &'static str, item: &'q str, on: bool) -> Query<'q> {
    let statement = if on {
        "INSERT OR IGNORE INTO marks (mark, item) VALUES (?1, ?2)"
    } else {
        "DELETE FROM marks WHERE mark = ?1 AND item = ?2"
    };
    sqlx::query(statement).bind(mark).bind(item)
}

fn fact<'q>(fact: &'static str, value: &impl Serialize) -> Query<'q> {
    sqlx::query("INSERT OR REPLACE INTO facts (fact, value) VALUES (?1, ?2)").bind(fact).bind(canonical_json(value))
}

/// Adds to the history; gives the new head of the chain.
pub(super) async fn record(connection: &mut SqliteConnection, entry: &HistoryEntry) -> Result<Digest, sqlx::Error> {
    let previous: Option<String> = sqlx::query_scalar("SELECT chain FROM history ORDER BY number DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    let text = canonical_json(entry);
    let chain = link(previous.as_deref().unwrap_or_default(), &text);
    sqlx::query("INSERT INTO history (time, entry, chain) VALUES (?1, ?2, ?3)")
        .bind(entry.time.to_string())
        .bind(text)
        .bind(chain.to_string())
        .execute(connection)
        .await?;
    Ok(chain)
}
