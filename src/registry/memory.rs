//! A registry that lives in memory: for tests, simulations and a dry run against an empty world. Nothing of it reaches a disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::history::{Follower, link};
use super::precondition::{Found, check_delete, check_write, new_uid};
use super::{Expected, HistoryEntry, NewRecord, RecordName, Recorded, Registry, RegistryError, Verification};
use crate::fault::{Fault, FaultHook};
use crate::model::{Digest, Environment, ImageRef, Instance, ItemName, canonical_json};
use crate::plan::{Change, Origin, Ownership, Record, RegistryView, Uid, WantedItem};

/// A registry in memory. Clones share the storage, so that one of them survives the crash of whoever holds another.
#[derive(Debug, Clone)]
pub struct MemoryRegistry {
    instance: Instance,
    storage: Arc<Mutex<Storage>>,
}

#[derive(Debug)]
struct Storage {
    /// As `home` sees it.
    view: Arc<RegistryView>,
    home: Instance,
    owners: BTreeMap<RecordName, Instance>,
    made: i64,
    history: Vec<Recorded>,
    faults: FaultHook,
}

impl MemoryRegistry {
    /// An empty registry of one instance.
    pub fn new(instance: Instance) -> Self {
        let storage = Storage {
            view: Arc::default(),
            home: instance.clone(),
            owners: BTreeMap::new(),
            made: 0,
            history: Vec::new(),
            faults: FaultHook::default(),
        };
        Self { instance, storage: Arc::new(Mutex::new(storage)) }
    }

    /// The same storage as another instance sees it.
    #[must_use]
    pub fn for_instance(&self, instance: Instance) -> Self {
        Self { instance, storage: Arc::clone(&self.storage) }
    }

    /// Lets a hook decide about every later call, by the names of the trait's methods.
    pub fn inject(&self, faults: FaultHook) {
        self.lock().faults = faults;
    }

    /// Edits an item's record as a person with a database client would; it shows as drift. Says whether there was one.
    pub fn edit_content(&self, name: &ItemName, edit: impl FnOnce(&mut WantedItem)) -> bool {
        match Arc::make_mut(&mut self.lock().view).contents.get_mut(name) {
            Some(record) => {
                edit(Arc::make_mut(&mut record.form));
                record.stored = Digest::of_value(&record.form);
                true
            }
            None => false,
        }
    }

    /// The same for an environment's record.
    pub fn edit_environment(&self, name: &ImageRef, edit: impl FnOnce(&mut Environment)) -> bool {
        match Arc::make_mut(&mut self.lock().view).environments.get_mut(name) {
            Some(record) => {
                edit(Arc::make_mut(&mut record.form));
                record.stored = Digest::of_value(&record.form);
                true
            }
            None => false,
        }
    }

    /// Takes a record away as a person with a database client would. Says whether there was one.
    pub fn lose(&self, name: &RecordName) -> bool {
        self.lock().remove(name)
    }

    fn lock(&self) -> MutexGuard<'_, Storage> {
        // A panic of a test while it held the lock leaves whole values: every change is one assignment.
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one call under the fault that the hook wants for it.
    fn call<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut Storage) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut storage = self.lock();
        let fault = storage.faults.decide(name);
        let failed = |problem: &str| {
            Err(RegistryError::Storage { doing: name, place: "memory".to_owned(), problem: problem.to_owned() })
        };
        match fault {
            Fault::None => act(&mut storage),
            Fault::Error => failed("a fault before it was done"),
            Fault::ErrorAfterDoing => act(&mut storage).and_then(|_| failed("a fault after it was done")),
        }
    }
}

impl Storage {
    fn ownership(&self, name: &RecordName, instance: &Instance) -> Ownership {
        if self.owners.get(name) == Some(instance) { Ownership::Ours } else { Ownership::Foreign }
    }

    fn view(&self, instance: &Instance) -> Arc<RegistryView> {
        let mut view = Arc::clone(&self.view);
        if *instance != self.home {
            let view = Arc::make_mut(&mut view);
            for (name, record) in &mut view.environments {
                record.ownership = self.ownership(&RecordName::Environment(name.clone()), instance);
            }
            for (name, record) in &mut view.contents {
                record.ownership = self.ownership(&RecordName::Content(name.clone()), instance);
            }
        }
        view
    }

    /// Identity, digest and version of what is stored.
    fn find(&self, name: &RecordName) -> Option<(Uid, Digest, i64)> {
        match name {
            RecordName::Environment(name) => {
                self.view.environments.get(name).map(|found| (found.uid.clone(), found.stored, found.version))
            }
            RecordName::Content(name) => {
                self.view.contents.get(name).map(|found| (found.uid.clone(), found.stored, found.version))
            }
        }
    }

    fn write(
        &mut self,
        record: NewRecord,
        origin: Origin,
        expected: &Expected,
        now: Timestamp,
        instance: &Instance,
    ) -> Result<Uid, RegistryError> {
        let name = record.name();
        let found = self.find(&name);
        let ownership = self.ownership(&name, instance);
        let seen = found.as_ref().map(|(uid, stored, _)| Found { uid, stored, ownership, readable: true });
        check_write(&name, expected, seen)?;
        let (uid, version) = if let Some((uid, _, version)) = found {
            (uid, version.saturating_add(1))
        } else {
            self.made = self.made.saturating_add(1);
            (new_uid(&name, now, self.made), 1)
        };
        let ownership = if *instance == self.home { Ownership::Ours } else { Ownership::Foreign };
        self.owners.insert(name, instance.clone());
        let view = Arc::make_mut(&mut self.view);
        match record {
            NewRecord::Environment(form) => {
                let record = stored(form.clone(), uid.clone(), version, ownership, origin);
                view.environments.insert(form.name.clone(), record);
            }
            NewRecord::Content(form) => {
                let record = stored(form.clone(), uid.clone(), version, ownership, origin);
                view.contents.insert(form.name.clone(), record);
            }
        }
        Ok(uid)
    }

    fn delete(&mut self, name: &RecordName, expected: &Expected, instance: &Instance) -> Result<(), RegistryError> {
        let found = self.find(name);
        let ownership = self.ownership(name, instance);
        let seen = found.as_ref().map(|(uid, stored, _)| Found { uid, stored, ownership, readable: true });
        check_delete(name, expected, seen)?;
        self.remove(name);
        Ok(())
    }

    fn remove(&mut self, name: &RecordName) -> bool {
        self.owners.remove(name);
        let view = Arc::make_mut(&mut self.view);
        match name {
            RecordName::Environment(name) => view.environments.remove(name).is_some(),
            RecordName::Content(name) => view.contents.remove(name).is_some(),
        }
    }

    fn record(&mut self, entry: HistoryEntry) -> Digest {
        let previous = self.history.last().map(|last| last.chain.to_string()).unwrap_or_default();
        let number = self.history.last().map_or(1, |last| last.number.saturating_add(1));
        let chain = link(&previous, &canonical_json(&entry));
        self.history.push(Recorded { number, entry, chain });
        chain
    }

    fn verify(&self) -> Verification {
        let mut follower = Follower::default();
        for recorded in &self.history {
            follower.follow(recorded.number, &canonical_json(&recorded.entry), &recorded.chain.to_string());
        }
        follower.finish()
    }
}

fn stored<T: serde::Serialize>(
    form: Arc<T>,
    uid: Uid,
    version: i64,
    ownership: Ownership,
    origin: Origin,
) -> Record<T> {
    let digest = Digest::of_value(&form);
    Record { uid, version, ownership, applied: digest, stored: digest, origin, form }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn view(&self) -> Result<Arc<RegistryView>, RegistryError> {
        self.call("view", |storage| Ok(storage.view(&self.instance)))
    }

    async fn write(
        &self,
        record: NewRecord,
        origin: Origin,
        expected: Expected,
        now: Timestamp,
    ) -> Result<Uid, RegistryError> {
        self.call("write", |storage| storage.write(record, origin, &expected, now, &self.instance))
    }

    async fn delete(&self, name: RecordName, expected: Expected) -> Result<(), RegistryError> {
        self.call("delete", |storage| storage.delete(&name, &expected, &self.instance))
    }

    async fn remember(&self, changes: &[Change], _now: Timestamp) -> Result<(), RegistryError> {
        self.call("remember", |storage| {
            let memory = &mut Arc::make_mut(&mut storage.view).memory;
            for change in changes {
                memory.take(change);
            }
            Ok(())
        })
    }

    async fn record(&self, entry: HistoryEntry) -> Result<Digest, RegistryError> {
        self.call("record", |storage| Ok(storage.record(entry)))
    }

    async fn history(&self, limit: u32) -> Result<Vec<Recorded>, RegistryError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.call("history", |storage| Ok(storage.history.iter().rev().take(limit).cloned().collect()))
    }

    async fn verify(&self) -> Result<Verification, RegistryError> {
        self.call("verify", |storage| Ok(storage.verify()))
    }
}
