//! The local executor: jobs are sessions on this host, found again by their files. What a session does inside is `session`; what should run is the plan's decision.
//!
//! | file | what it is about |
//! | --- | --- |
//! | `config` | what the operator says |
//! | `volume`, `layout`, `files` | the data directory |
//! | `interpreters`, `probe`, `user` | what this host can run, and as whom |
//! | `intent`, `world` | one job: written down, and as it is seen |
//! | `jobs`, `adopt`, `process`, `watch` | starting, finding again, ending, listening |
//! | `services` | addresses |
//! | `bundle`, `collect`, `secrets` | files, garbage and logs, secrets |

mod adopt;
mod bundle;
mod collect;
mod config;
mod files;
mod intent;
mod interpreters;
mod jobs;
mod layout;
mod locks;
mod probe;
mod process;
mod secrets;
mod services;
mod user;
mod volume;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

pub use config::{DEFAULT_PORTS, DEFAULT_USER, LocalConfig, Purpose, SessionProgram, UserMode};
pub use services::Served;

use super::{BundleReader, Candidates, Executor, ExecutorError, Garbage, LogPiece, LogRequest};
use crate::model::{ItemName, Slug};
use crate::plan::{BundleSpec, ExecutorView, JobName, JobSpec, ObservedJob, ServiceSpec, Uid};
use files::blocking;
use intent::Host;
use interpreters::{Found, Places};
use layout::Layout;
use locks::Locks;
use watch::Watches;
use world::World;

/// Runs jobs as sessions on this host.
#[derive(Debug)]
pub struct LocalExecutor {
    inner: Arc<Inner>,
    config: LocalConfig,
    found: Mutex<Candidates>,
    /// Keeps other processes out of the data directory.
    _lock: Option<File>,
}

/// What the tasks of an executor share.
#[derive(Debug)]
struct Inner {
    layout: Layout,
    host: Host,
    /// Where items listen.
    listen: IpAddr,
    session: SessionProgram,
    secrets_dir: Option<PathBuf>,
    ports: RangeInclusive<u16>,
    serve_base_url: Option<String>,
    build_slots: usize,
    purpose: Purpose,
    world: Mutex<World>,
    watches: Watches,
    locks: Locks,
    /// What each forwarder was told last.
    written_backends: tokio::sync::Mutex<BTreeMap<Slug, Vec<SocketAddr>>>,
    notices: Mutex<Vec<String>>,
    changed: channel::Sender<u64>,
    closed: CancellationToken,
}

impl LocalExecutor {
    /// Opens the data directory, finds out what this host can run, and takes in the jobs that are there. Also what the
    /// operator should know, as sentences. Must be called in a runtime.
    pub async fn open(config: LocalConfig) -> Result<(Self, Vec<String>), ExecutorError> {
        let layout = Layout::new(&config.data_dir);
        let lock = {
            let (layout, config) = (layout.clone(), config.clone());
            blocking(move || volume::open(&layout, &config)).await?
        };
        let mut found = interpreters::discover(&config, Places::of_this_host()).await?;
        let all: Vec<_> = found.installations.values().flatten().collect();
        let own = nix::unistd::geteuid().as_raw();
        let mut decision = user::decide(&config, own, &all)?;
        if let Some(user) = decision.user {
            leave_out_unreachable(&mut found, user.uid);
        }
        decision.warnings.append(&mut found.left_out);
        let inner =
            Arc::new(Inner::new(&config, layout, Host { user: decision.user, address: Ipv4Addr::LOCALHOST.into() })?);
        let services = {
            let layout = inner.layout.clone();
            blocking(move || Ok((collect::inventory(&layout)?, services::read_services(&layout)?))).await?
        };
        inner.load(services.0, services.1);
        inner.adopt().await?;
        inner.show_services();
        inner.spawn(Arc::clone(&inner).listen());
        if inner.purpose == Purpose::Drive {
            inner.resume().await;
        }
        let executor = Self { found: Mutex::new(candidates(&found, &config)), inner, config, _lock: lock };
        Ok((executor, decision.warnings))
    }

    /// Looks for interpreters again; what the operator should know, as sentences.
    pub async fn rediscover(&self) -> Result<Vec<String>, ExecutorError> {
        let mut found = interpreters::discover(&self.config, Places::of_this_host()).await?;
        if let Some(user) = self.inner.host.user {
            leave_out_unreachable(&mut found, user.uid);
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = candidates(&found, &self.config);
        Ok(found.left_out)
    }

    /// The files that answer for an item, where files do.
    pub fn served(&self, item: &ItemName) -> Option<Served> {
        self.inner.served(&item.slug())
    }

    /// What happened that people should know and no plan shows, such as a port that had to change. Each is told once.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.inner.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for LocalExecutor {
    /// Ends the tasks of this executor. The sessions go on.
    fn drop(&mut self) {
        self.inner.closed.cancel();
    }
}

impl Inner {
    fn new(config: &LocalConfig, layout: Layout, host: Host) -> Result<Self, ExecutorError> {
        Ok(Self {
            world: Mutex::new(World::new(host.address, ExecutorView::default())),
            layout,
            host,
            listen: config.address,
            session: session_program(config)?,
            secrets_dir: config.secrets_dir.clone(),
            ports: config.ports.clone(),
            serve_base_url: config.serve_base_url.clone(),
            build_slots: config.build_slots(),
            purpose: config.purpose,
            watches: Watches::new()?,
            locks: Locks::default(),
            written_backends: tokio::sync::Mutex::default(),
            notices: Mutex::default(),
            changed: channel::Sender::new(0),
            closed: CancellationToken::new(),
        })
    }

    /// Takes in what the data directory holds, jobs apart.
    fn load(&self, view: ExecutorView, services: BTreeMap<Slug, services::StoredService>) {
        let mut world = self.world();
        *world = World::new(self.host.address, view);
        world.services = services;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the view may have changed.
    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn notice(&self, text: String) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Runs a task until it ends or the executor is dropped.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closed = self.closed.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Ends everything; how many sessions ran.
    async fn down(self: &Arc<Self>) -> Result<u32, ExecutorError> {
        let (jobs, slugs): (Vec<_>, Vec<_>) = {
            let mut world = self.world();
            world.queue.clear();
            let live =
                world.jobs().filter(|known| known.intent.role().is_some() && (known.is_live() || known.stopping));
            (
                live.map(|known| (known.intent.clone(), known.life == world::Life::Alive)).collect(),
                world.services.keys().cloned().collect(),
            )
        };
        // Addresses first: nobody is sent to a process that is ending.
        let addresses = futures::future::join_all(slugs.iter().map(|slug| self.withdraw(slug))).await;
        let stopped = futures::future::join_all(jobs.iter().map(|(intent, _)| self.stop_and_wait(intent))).await;
        let mut count = u32::try_from(jobs.iter().filter(|(_, alive)| *alive).count()).unwrap_or(u32::MAX);
        for ran in addresses {
            count += u32::from(ran?);
        }
        stopped.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(count)
    }
}

#[async_trait]
impl Executor for LocalExecutor {
    async fn candidates(&self) -> Result<Candidates, ExecutorError> {
        Ok(self.found.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn view(&self) -> Result<Arc<ExecutorView>, ExecutorError> {
        Ok(self.inner.world().view())
    }

    async fn write_bundle(&self, bundle: &BundleSpec, reader: Arc<dyn BundleReader>) -> Result<(), ExecutorError> {
        layout::check_component(bundle.slug.as_str())?;
        let _guard = self.inner.locks.of(&format!("bundle/{}/{}", bundle.slug, bundle.id)).await;
        let (layout, spec) = (self.inner.layout.clone(), bundle.clone());
        let written = blocking(move || bundle::write(&layout, &spec, reader.as_ref())).await;
        // Whatever came of it: one that was there all along, or failed after it had its name, is to be seen too.
        let seen = self.inner.refresh_bundles(&bundle.slug).await;
        written.and(seen)
    }

    async fn start(&self, job: &JobSpec, now: Timestamp) -> Result<(), ExecutorError> {
        self.inner.start(job, now).await
    }

    async fn stop(&self, job: &JobName, uid: &Uid) -> Result<(), ExecutorError> {
        self.inner.stop(job, uid).await
    }

    async fn publish(&self, service: &ServiceSpec) -> Result<(), ExecutorError> {
        self.inner.publish(service).await
    }

    async fn unpublish(&self, _: &ItemName, slug: &Slug) -> Result<(), ExecutorError> {
        self.inner.unpublish(slug).await
    }

    async fn collect(&self, garbage: &Garbage) -> Result<(), ExecutorError> {
        self.inner.collect(garbage).await
    }

    fn events(&self) -> channel::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    async fn log(&self, job: &ObservedJob, request: LogRequest) -> Result<LogPiece, ExecutorError> {
        self.inner.log(job, request).await
    }

    async fn down(&self) -> Result<u32, ExecutorError> {
        self.inner.down().await
    }
}

/// The program that does jobs: the one the operator names, or this one with `session`.
fn session_program(config: &LocalConfig) -> Result<SessionProgram, ExecutorError> {
    if let Some(session) = &config.session {
        return Ok(session.clone());
    }
    let program = std::env::current_exe().map_err(|cause| ExecutorError::Start {
        program: "wharf session".to_owned(),
        problem: format!("the path of this program cannot be found out ({cause}); is /proc mounted?"),
    })?;
    Ok(SessionProgram { program, arguments: vec!["session".to_owned()] })
}

fn candidates(found: &Found, config: &LocalConfig) -> Candidates {
    let (environment, missing) = interpreters::environment(found, config);
    Candidates::Host { environment, missing }
}

/// Takes out what content could not start, with one sentence for each directory that is in the way.
fn leave_out_unreachable(found: &mut Found, user: u32) {
    let mut obstacles: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for installations in found.installations.values_mut() {
        installations.retain(|one| match user::obstacle(Path::new(&one.path), user) {
            None => true,
            Some(place) => {
                obstacles.entry(place).or_default().push(one.path.clone());
                false
            }
        });
    }
    found.installations.retain(|_, installations| !installations.is_empty());
    found.left_out.extend(obstacles.into_iter().map(|(place, paths)| {
        format!("left out {}: {} is closed to user {user}, whom content becomes", paths.join(", "), place.display())
    }));
}
