//! From rows to the view: every table read, and what cannot be read set aside. Nothing is written here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::TryStreamExt;
use futures::stream::BoxStream;
use serde::de::DeserializeOwned;
use sqlx::{FromRow, SqliteConnection};

use super::super::{RecordName, Recorded};
use crate::model::{Digest, Environment, Instance, ItemName, canonical_json};
use crate::plan::{
    Approved, Change, Memory, Origin, Ownership, Record, RegistryView, StoredKind, Uid, Unreadable, WantedItem,
};

/// A row of `records`.
#[derive(Debug, FromRow)]
pub(super) struct RecordRow {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) version: i64,
    pub(super) owner: String,
    pub(super) applied: String,
    pub(super) path: String,
    pub(super) blob: String,
    /// Bytes: after an edit by hand it may not even be text.
    pub(super) form: Vec<u8>,
}

/// A row of `history`.
#[derive(Debug, FromRow)]
pub(super) struct HistoryRow {
    pub(super) number: i64,
    pub(super) entry: String,
    pub(super) chain: String,
}

/// What a row or a write means for the view.
#[derive(Debug)]
pub(super) enum Effect {
    Environment(Record<Environment>),
    Content(Record<WantedItem>),
    Unreadable(Unreadable),
    Removed(RecordName),
    Memory(Change),
}

impl Effect {
    /// Takes it into the view.
    pub(super) fn apply(self, view: &mut RegistryView) {
        match self {
            Self::Environment(record) => {
                forget_unreadable(view, StoredKind::Environment, record.form.name.as_str());
                view.environments.insert(record.form.name.clone(), record);
            }
            Self::Content(record) => {
                forget_unreadable(view, StoredKind::Content, record.form.name.as_str());
                view.contents.insert(record.form.name.clone(), record);
            }
            Self::Unreadable(unreadable) => view.unreadable.push(unreadable),
            Self::Removed(RecordName::Environment(name)) => {
                forget_unreadable(view, StoredKind::Environment, name.as_str());
                view.environments.remove(&name);
            }
            Self::Removed(RecordName::Content(name)) => {
                forget_unreadable(view, StoredKind::Content, name.as_str());
                view.contents.remove(&name);
            }
            Self::Memory(change) => {
                if !view.unreadable.is_empty() {
                    forget_unreadable(view, StoredKind::Memory, &memory_name(&change));
                }
                view.memory.take(&change);
            }
        }
    }
}

fn forget_unreadable(view: &mut RegistryView, kind: StoredKind, name: &str) {
    view.unreadable.retain(|found| found.kind != kind || found.name != name);
}

/// The name under which a part of memory is reported: its table and its key.
fn memory_name(change: &Change) -> String {
    match change {
        Change::Outcome(step, _) | Change::Forget(step) => format!("outcomes {}", canonical_json(step)),
        Change::Revisions(item, _) => format!("revisions {item}"),
        Change::Suspended(item, _) | Change::Reselect(item, _) => format!("marks {item}"),
        Change::Approve(_) => "approvals".to_owned(),
        Change::AllSuspended(_) => "facts all_suspended".to_owned(),
        Change::Source(_) => "facts source".to_owned(),
        Change::Commit(_) => "facts commit".to_owned(),
    }
}

/// Grows whenever another connection, of this process or another, has committed.
pub(super) async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}

/// Forms that were read, by the digest of their text: a record and the newest revision of its item share one value.
type Forms = HashMap<Digest, Arc<WantedItem>>;

/// Reads everything.
pub(super) async fn load(connection: &mut SqliteConnection, instance: &Instance) -> Result<RegistryView, sqlx::Error> {
    let mut view = RegistryView::default();
    let mut forms = Forms::new();
    let mut rows = sqlx::query_as::<_, RecordRow>(
        "SELECT kind, name, uid, version, owner, applied, path, blob, form FROM records",
    )
    .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        row.read(instance, &mut forms).apply(&mut view);
    }
    drop(rows);
    load_outcomes(connection, &mut view).await?;
    load_revisions(connection, &mut view, &mut forms).await?;
    load_marks(connection, &mut view).await?;
    load_facts(connection, &mut view).await?;
    Ok(view)
}

impl RecordRow {
    /// What the row means. What cannot be read is kept apart with the reason.
    pub(super) fn read(&self, instance: &Instance, forms: &mut Forms) -> Effect {
        let stored = Digest::of(&self.form);
        let read = match self.kind.as_str() {
            "environment" => self.read_environment(stored, instance).map(Effect::Environment),
            _ => self.read_content(stored, instance, forms).map(Effect::Content),
        };
        read.unwrap_or_else(|problem| {
            let kind = if self.kind == "environment" { StoredKind::Environment } else { StoredKind::Content };
            let problem = format!("table records, kind {}, name {}: {problem}", self.kind, self.name);
            Effect::Unreadable(Unreadable {
                kind,
                name: self.name.clone(),
                uid: Some(Uid(self.uid.clone())),
                stored,
                problem,
            })
        })
    }

    fn read_environment(&self, stored: Digest, instance: &Instance) -> Result<Record<Environment>, String> {
        let form: Environment = parse(&self.form)?;
        self.check_name(form.name.as_str())?;
        self.record(Arc::new(form), stored, instance)
    }

    fn read_content(
        &self,
        stored: Digest,
        instance: &Instance,
        forms: &mut Forms,
    ) -> Result<Record<WantedItem>, String> {
        let form: Arc<WantedItem> = Arc::new(parse(&self.form)?);
        self.check_name(form.name.as_str())?;
        forms.insert(stored, Arc::clone(&form));
        self.record(form, stored, instance)
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        if name == self.name { Ok(()) } else { Err(format!("its form is of {name:?}")) }
    }

    fn record<T>(&self, form: Arc<T>, stored: Digest, instance: &Instance) -> Result<Record<T>, String> {
        Ok(Record {
            uid: Uid(self.uid.clone()),
            version: self.version,
            ownership: ownership(&self.owner, instance),
            applied: self.applied.parse().map_err(|error| format!("column applied: {error}"))?,
            stored,
            origin: Origin {
                path: self.path.clone(),
                blob: self.blob.parse().map_err(|error| format!("column blob: {error}"))?,
            },
            form,
        })
    }
}

pub(super) fn ownership(owner: &str, instance: &Instance) -> Ownership {
    if owner == instance.as_str() { Ownership::Ours } else { Ownership::Foreign }
}

fn parse<T: DeserializeOwned>(text: impl AsRef<[u8]>) -> Result<T, String> {
    serde_json::from_slice(text.as_ref()).map_err(|error| format!("not what wharf writes: {error}"))
}

/// A part of memory that cannot be read counts as forgotten, and is told of.
fn forgotten(view: &mut RegistryView, name: String, text: impl AsRef<[u8]>, problem: &str) {
    let problem = format!("table {name}: {problem}; it counts as forgotten until it is written anew");
    view.unreadable.push(Unreadable { kind: StoredKind::Memory, name, uid: None, stored: Digest::of(text), problem });
}

async fn load_outcomes(connection: &mut SqliteConnection, view: &mut RegistryView) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_as::<_, (String, Vec<u8>)>("SELECT step, outcome FROM outcomes").fetch(connection);
    while let Some((step, outcome)) = rows.try_next().await? {
        match parse(&step).and_then(|step| Ok((step, parse(&outcome)?))) {
            Ok((step, outcome)) => {
                view.memory.outcomes.insert(step, outcome);
            }
            Err(problem) => forgotten(view, format!("outcomes {step}"), &outcome, &problem),
        }
    }
    Ok(())
}

async fn load_revisions(
    connection: &mut SqliteConnection,
    view: &mut RegistryView,
    forms: &mut Forms,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_as::<_, (String, Vec<u8>)>("SELECT item, form FROM revisions ORDER BY item, position")
        .fetch(connection);
    while let Some((item, form)) = rows.try_next().await? {
        let digest = Digest::of(&form);
        let shared = match forms.get(&digest) {
            Some(shared) => Ok(Arc::clone(shared)),
            None => parse::<WantedItem>(&form).map(Arc::new),
        };
        let name = item.parse::<ItemName>().map_err(|error| error.to_string());
        match shared.and_then(|form| Ok((form, name?))) {
            Ok((form, name)) => {
                forms.insert(digest, Arc::clone(&form));
                view.memory.revisions.entry(name).or_default().push(form);
            }
            Err(problem) => forgotten(view, format!("revisions {item}"), &form, &problem),
        }
    }
    Ok(())
}

async fn load_marks(connection: &mut SqliteConnection, view: &mut RegistryView) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT mark, item FROM marks").fetch_all(connection).await?;
    for (mark, item) in rows {
        match item.parse() {
            Ok(name) if mark == "suspended" => view.memory.suspended.insert(name),
            Ok(name) => view.memory.reselect.insert(name),
            Err(error) => {
                let problem: crate::model::NameError = error;
                forgotten(view, format!("marks {item}"), &item, &problem.to_string());
                continue;
            }
        };
    }
    Ok(())
}

async fn load_facts(connection: &mut SqliteConnection, view: &mut RegistryView) -> Result<(), sqlx::Error> {
    let approvals: Vec<(i64, String)> =
        sqlx::query_as("SELECT number, things FROM approvals ORDER BY number").fetch_all(&mut *connection).await?;
    for (number, things) in approvals {
        match parse::<BTreeSet<Approved>>(&things) {
            Ok(set) => view.memory.approvals.push(set),
            Err(problem) => forgotten(view, format!("approvals {number}"), &things, &problem),
        }
    }
    let facts: Vec<(String, String)> = sqlx::query_as("SELECT fact, value FROM facts").fetch_all(connection).await?;
    for (fact, value) in facts {
        if let Err(problem) = take_fact(&mut view.memory, &fact, &value) {
            forgotten(view, format!("facts {fact}"), &value, &problem);
        }
    }
    Ok(())
}

fn take_fact(memory: &mut Memory, fact: &str, value: &str) -> Result<(), String> {
    match fact {
        "all_suspended" => memory.all_suspended = parse(value)?,
        "source" => memory.source = Some(parse(value)?),
        "commit" => memory.commit = Some(parse(value)?),
        // `records_made` is for `write.rs` alone; others are a person's own and stay.
        _ => {}
    }
    Ok(())
}

impl HistoryRow {
    /// The entry, if it can be read.
    pub(super) fn read(&self) -> Result<Recorded, String> {
        let chain = self.chain.parse().map_err(|error| format!("column chain: {error}"))?;
        Ok(Recorded { number: self.number, entry: parse(&self.entry)?, chain })
    }
}

/// The newest history rows, newest first.
pub(super) async fn history(connection: &mut SqliteConnection, limit: u32) -> Result<Vec<HistoryRow>, sqlx::Error> {
    sqlx::query_as("SELECT number, entry, chain FROM history ORDER BY number DESC LIMIT ?1")
        .bind(limit)
        .fetch_all(connection)
        .await
}

/// The whole history, oldest first, a row at a time.
pub(super) fn all_history(connection: &mut SqliteConnection) -> BoxStream<'_, Result<HistoryRow, sqlx::Error>> {
    sqlx::query_as("SELECT number, entry, chain FROM history ORDER BY number").fetch(connection)
}
