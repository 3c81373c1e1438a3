//! An executor whose jobs are entries in memory: for tests and simulations. Time passes only when it is told to, and it keeps
//! watch over laws that a plan must not break. Nothing is run.

mod watch;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::{BundleReader, Candidates, Executor, ExecutorError, Garbage, LogPiece, LogRequest};
use crate::fault::{Fault, FaultHook};
use crate::model::{ItemName, Slug};
use crate::plan::{
    BundleId, BundleSpec, ExecutorView, JobName, JobSpec, ObservedJob, ObservedService, Role, ServiceSpec, Uid,
};

pub use watch::{Law, Started, Violation};
use world::{StoppingLasts, World};

/// An executor in memory. Clones share the world, so that it survives the crash of a daemon that held another clone.
#[derive(Debug, Clone)]
pub struct MemoryExecutor {
    shared: Arc<Mutex<World>>,
    events: Arc<tokio::sync::watch::Sender<u64>>,
    candidates: Candidates,
}

impl MemoryExecutor {
    /// A world in which nothing was started yet.
    pub fn new(candidates: Candidates) -> Self {
        Self { shared: Arc::default(), events: Arc::new(tokio::sync::watch::Sender::new(0)), candidates }
    }

    /// Lets a hook decide about every later call, by the names of the trait's methods.
    pub fn inject(&self, faults: FaultHook) {
        self.lock().faults = faults;
    }

    /// How long jobs of a role take from now on: until a build or render ends, until a run is ready. The defaults are
    /// 30, 10 and 2 seconds.
    pub fn lasts(&self, role: Role, duration: SignedDuration) {
        self.lock().durations.insert(role, duration);
    }

    /// How long jobs take to end from now on when they are asked to. The default is a second.
    pub fn stopping_lasts(&self, duration: SignedDuration) {
        self.lock().stopping_lasts = StoppingLasts(duration);
    }

    /// Lets every later job of this item and role fail instead of coming to its end.
    pub fn fail(&self, item: &ItemName, role: Role, reason: &str) {
        self.lock().failures.insert((item.clone(), role), reason.to_owned());
    }

    /// Lets later jobs of this item and role go well again.
    pub fn mend(&self, item: &ItemName, role: Role) {
        self.lock().failures.remove(&(item.clone(), role));
    }

    /// Lets time pass: what is due until `now` comes to its end, in the order in which it is due. Says how many jobs did.
    pub fn advance(&self, now: Timestamp) -> usize {
        self.change(|world| world.advance(now))
    }

    /// When the next job comes to its end by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.lock().next_event()
    }

    /// Ends a job's process as a crash does. Says whether it was alive.
    pub fn crash_process(&self, job: &JobName, now: Timestamp) -> bool {
        self.change(|world| world.end(job, now, "its process ended with exit code 1", true))
    }

    /// Ends every process as a restart of the host does. Says how many were alive.
    pub fn reboot(&self, now: Timestamp) -> usize {
        let alive: Vec<JobName> =
            self.jobs().into_iter().filter(|job| job.phase.is_active()).map(|job| job.name).collect();
        let end = |world: &mut World, job| world.end(job, now, "the host was restarted", false);
        self.change(|world| alive.iter().filter(|job| end(world, job)).count())
    }

    /// Takes something away as a person with a shell would. Says whether it was there.
    pub fn lose(&self, garbage: &Garbage) -> bool {
        self.change(|world| world.take_away(garbage))
    }

    /// Edits an item's address as a person would. Says whether there is one. The edit must change the digest too.
    pub fn edit_service(&self, slug: &Slug, edit: impl FnOnce(&mut ObservedService)) -> bool {
        self.change(|world| world.service_mut(slug).map(edit).is_some())
    }

    /// Every job that is there, by its name.
    pub fn jobs(&self) -> Vec<ObservedJob> {
        self.lock().observed_jobs().cloned().collect()
    }

    /// Every job that was ever started, in the order of the starts.
    pub fn starts(&self) -> Vec<Started> {
        self.lock().watch.starts.clone()
    }

    /// Every law that was broken so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().watch.violations.clone()
    }

    /// The files of a bundle that was written whole.
    pub fn bundle_files(&self, slug: &Slug, bundle: &BundleId) -> Option<BTreeMap<Arc<str>, Vec<u8>>> {
        self.lock().files.get(&(slug.clone(), bundle.clone())).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let result = act(&mut self.lock());
        self.events.send_modify(|number| *number += 1);
        result
    }

    /// Runs one call under the fault that the hook wants for it.
    fn call<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut World) -> Result<T, ExecutorError>,
    ) -> Result<T, ExecutorError> {
        let failed = |problem: &str| {
            Err(ExecutorError::Storage { doing: name, place: "memory".to_owned(), problem: problem.to_owned() })
        };
        let mut world = self.lock();
        match world.faults.decide(name) {
            Fault::None => act(&mut world),
            Fault::Error => failed("a fault before it was done"),
            Fault::ErrorAfterDoing => act(&mut world).and_then(|_| failed("a fault after it was done")),
        }
    }

    /// The same for a call that changes the world.
    fn changing_call<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut World) -> Result<T, ExecutorError>,
    ) -> Result<T, ExecutorError> {
        let result = self.call(name, act);
        self.events.send_modify(|number| *number += 1);
        result
    }
}

#[async_trait]
impl Executor for MemoryExecutor {
    async fn candidates(&self) -> Result<Candidates, ExecutorError> {
        self.call("candidates", |_| Ok(self.candidates.clone()))
    }

    async fn view(&self) -> Result<Arc<ExecutorView>, ExecutorError> {
        self.call("view", |world| Ok(Arc::clone(&world.view)))
    }

    async fn write_bundle(&self, bundle: &BundleSpec, reader: Arc<dyn BundleReader>) -> Result<(), ExecutorError> {
        self.changing_call("write_bundle", |world| world.write_bundle(bundle, reader.as_ref()))
    }

    async fn start(&self, job: &JobSpec, now: Timestamp) -> Result<(), ExecutorError> {
        self.changing_call("start", |world| world.start(job, now))
    }

    async fn stop(&self, job: &JobName, uid: &Uid) -> Result<(), ExecutorError> {
        self.changing_call("stop", |world| world.stop(job, uid))
    }

    async fn publish(&self, service: &ServiceSpec) -> Result<(), ExecutorError> {
        self.changing_call("publish", |world| {
            world.publish(service);
            Ok(())
        })
    }

    async fn unpublish(&self, _item: &ItemName, slug: &Slug) -> Result<(), ExecutorError> {
        self.changing_call("unpublish", |world| {
            world.unpublish(slug);
            Ok(())
        })
    }

    async fn collect(&self, garbage: &Garbage) -> Result<(), ExecutorError> {
        self.changing_call("collect", |world| {
            world.collect(garbage);
            Ok(())
        })
    }

    fn events(&self) -> tokio::sync::watch::Receiver<u64> {
        self.events.subscribe()
    }

    async fn log(&self, job: &ObservedJob, request: LogRequest) -> Result<LogPiece, ExecutorError> {
        self.call("log", |world| Ok(world.log(&job.name, request)))
    }

    async fn down(&self) -> Result<u32, ExecutorError> {
        self.changing_call("down", |world| Ok(world.down()))
    }
}

#[cfg(test)]
mod tests;
