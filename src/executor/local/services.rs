//! The addresses of items: sticky ports, the forwarders that hold them, which files are shown. Listening is the session's work; serving files is the daemon's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::config::Purpose;
use super::files::{blocking, names_in, read_json, remove_tree, rename, storage, write_json};
use super::intent::{Intent, Task, forward_job};
use super::layout::{CURRENT_LINK, Layout, check_component, forwarder_name, result_name};
use super::process::unique;
use super::world::{Known, Life, World};
use crate::executor::ExecutorError;
use crate::model::{Digest, ItemName, Slug};
use crate::plan::{ObservedService, Ownership, ServiceSpec, Target, Uid};
use crate::session::protocol::Backends;

/// How long a forwarder may take to listen.
const LISTEN_DEADLINE: Duration = Duration::from_secs(20);
/// How many forwarders are started at once.
const FORWARDERS_AT_ONCE: usize = 8;
/// How many ports are tried when each turns out to be taken.
const PORT_TRIES: u32 = 16;
/// A forwarder that lived shorter is restarted with a delay, so that a broken one does not keep the host busy.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// The delay.
const REVIVE_DELAY: Duration = Duration::from_secs(5);

/// `services/<slug>.json`: an item's address, also over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredService {
    /// Whose.
    pub item: ItemName,
    /// The item's short name.
    pub slug: Slug,
    /// Identity of this very service.
    pub uid: Uid,
    /// The item's port, chosen once.
    pub port: Option<u16>,
    /// What is published; nothing after `down`, which keeps the port.
    pub spec: Option<ServiceSpec>,
}

impl StoredService {
    /// What answers.
    pub fn target(&self) -> Option<&Target> {
        self.spec.as_ref().map(|spec| &spec.target)
    }

    /// Whether processes answer, and so a forwarder has to run.
    pub fn needs_forwarder(&self) -> bool {
        self.target() == Some(&Target::Processes)
    }
}

/// The files that answer for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The item.
    pub item: ItemName,
    /// The directory that is served.
    pub directory: PathBuf,
    /// The document shown first, below it.
    pub index: Option<String>,
}

impl Inner {
    /// Makes an item's address answer.
    pub(super) async fn publish(self: &Arc<Self>, spec: &ServiceSpec) -> Result<(), ExecutorError> {
        check_component(spec.slug.as_str())?;
        let _guard = self.locks.of(&service_lock(&spec.slug)).await;
        let former = self.world().services.get(&spec.slug).cloned();
        let service = StoredService {
            item: spec.item.clone(),
            slug: spec.slug.clone(),
            uid: former.as_ref().map_or_else(|| Uid(unique()), |former| former.uid.clone()),
            port: former.and_then(|former| former.port),
            spec: Some(spec.clone()),
        };
        match &spec.target {
            Target::Processes => self.answer(service).await,
            Target::Bundle { .. } => {
                self.record_service(service).await?;
                self.end_forwarder(&spec.slug).await.map(|_| ())
            }
            Target::Result { revision, slot } => {
                let (layout, slug, name) = (self.layout.clone(), spec.slug.clone(), result_name(revision, *slot));
                blocking(move || link_current(&layout, &slug, &name)).await?;
                self.record_service(service).await?;
                self.end_forwarder(&spec.slug).await.map(|_| ())
            }
        }
    }

    /// Takes an item's address away, and frees its port.
    pub(super) async fn unpublish(self: &Arc<Self>, slug: &Slug) -> Result<(), ExecutorError> {
        check_component(slug.as_str())?;
        let _guard = self.locks.of(&service_lock(slug)).await;
        self.world().services.remove(slug);
        self.show_service(slug);
        self.end_forwarder(slug).await?;
        let path = self.layout.service(slug);
        blocking(move || remove_tree(&path)).await
    }

    /// Makes the processes of a service's revision answer at its port. Needs the service's lock.
    async fn answer(self: &Arc<Self>, mut service: StoredService) -> Result<(), ExecutorError> {
        let slug = service.slug.clone();
        for _ in 0..PORT_TRIES {
            let port = self.choose_port(&service)?;
            if let Some(former) = service.port.filter(|former| *former != port) {
                tracing::warn!(item = %service.item, former, port, "another program holds the item's port, so it gets another");
                self.notice(format!(
                    "{}: port {former} is held by another program, so this item listens on {port} now; end that program and unpublish the item to have a fresh choice",
                    service.item
                ));
            }
            service.port = Some(port);
            self.record_service(service.clone()).await?;
            self.refresh_backends(&slug).await;
            self.ensure_forwarder(&service, port).await?;
            let Some(failure) = self.wait_until_listening(&slug).await? else {
                self.show_service(&slug);
                return Ok(());
            };
            if is_free(SocketAddr::new(self.listen, port)) {
                return Err(ExecutorError::Start { program: forwarder_name(&slug).to_string(), problem: failure });
            }
        }
        Err(ExecutorError::Start {
            program: forwarder_name(&slug).to_string(),
            problem: format!(
                "{PORT_TRIES} ports in a row were taken by other programs; give items other ports with local.ports"
            ),
        })
    }

    /// The item's port if it can have it, else the next that is free from the place its name points at.
    fn choose_port(&self, service: &StoredService) -> Result<u16, ExecutorError> {
        let world = self.world();
        let ours = world.job(&forwarder_name(&service.slug)).filter(|known| known.life == Life::Alive);
        if let Some(Task::Forward { port }) = ours.map(|known| &known.intent.task)
            && service.port == Some(*port)
        {
            return Ok(*port);
        }
        let free = |port: &u16| is_free(SocketAddr::new(self.listen, *port));
        if let Some(port) = service.port.filter(free) {
            return Ok(port);
        }
        let others = world.services.values().filter(|other| other.slug != service.slug);
        let taken: BTreeSet<u16> = others.filter_map(|other| other.port).collect();
        let mut ports = preferred_ports(&service.item, *self.ports.start(), *self.ports.end());
        ports.find(|port| !taken.contains(port) && Some(*port) != service.port && free(port)).ok_or_else(|| {
            ExecutorError::Start {
                program: forwarder_name(&service.slug).to_string(),
                problem: format!(
                    "all ports from {} to {} are taken; give items more of them with local.ports",
                    self.ports.start(),
                    self.ports.end()
                ),
            }
        })
    }

    /// Starts the forwarder of an item unless it runs on the right port.
    async fn ensure_forwarder(self: &Arc<Self>, service: &StoredService, port: u16) -> Result<(), ExecutorError> {
        let name = forwarder_name(&service.slug);
        let known = self.world().job(&name).cloned();
        let fits = |known: &Known| known.life == Life::Alive && known.intent.task == Task::Forward { port };
        if known.as_ref().is_some_and(fits) {
            return Ok(());
        }
        self.end_forwarder(&service.slug).await?;
        let intent = Arc::new(Intent::forward(&service.item, &service.slug, port, Timestamp::now()));
        self.write_intent(&intent, forward_job(&intent, self.listen, port)).await?;
        self.world().insert(Known::new(intent, Life::Unstarted));
        self.refresh_backends(&service.slug).await;
        self.launch(&name).await
    }

    /// Ends the forwarder of an item; whether one ran. Needs the service's lock.
    pub(super) async fn end_forwarder(self: &Arc<Self>, slug: &Slug) -> Result<bool, ExecutorError> {
        let name = forwarder_name(slug);
        let Some(intent) = self.world().job(&name).map(|known| Arc::clone(&known.intent)) else { return Ok(false) };
        let ran = self.end_session(&intent).await?;
        self.forget(&name).await?;
        self.written_backends.lock().await.remove(slug);
        Ok(ran)
    }

    /// Waits until the forwarder listens; why it does not, if so.
    async fn wait_until_listening(&self, slug: &Slug) -> Result<Option<String>, ExecutorError> {
        let name = forwarder_name(slug);
        let mut changed = self.changed.subscribe();
        let listening = async {
            loop {
                let outcome =
                    self.world().job(&name).map_or(Some(Some("it was ended meanwhile".to_owned())), |known| {
                        if known.is_listening() { Some(None) } else { known.failure().map(Some) }
                    });
                match outcome {
                    Some(outcome) => return outcome,
                    None if changed.changed().await.is_err() => return None,
                    None => {}
                }
            }
        };
        tokio::time::timeout(LISTEN_DEADLINE, listening).await.map_err(|_| ExecutorError::Start {
            program: name.to_string(),
            problem: format!(
                "it does not listen after {} s; its log is in {}",
                LISTEN_DEADLINE.as_secs(),
                self.layout.job(&name).display()
            ),
        })
    }

    /// Brings back a forwarder that ended although its item is published.
    pub(super) fn revive(self: &Arc<Self>, intent: &Arc<Intent>) {
        let lived = Timestamp::now().duration_since(intent.started);
        let delay = if lived.unsigned_abs() < SHORT_LIFE { REVIVE_DELAY } else { Duration::ZERO };
        let (inner, intent) = (Arc::clone(self), Arc::clone(intent));
        self.spawn(async move {
            tokio::time::sleep(delay).await;
            let _guard = inner.locks.of(&service_lock(&intent.slug)).await;
            let service = {
                let world = inner.world();
                let ended =
                    world.job(&intent.name).is_some_and(|known| known.intent.uid == intent.uid && !known.stopping);
                world.services.get(&intent.slug).filter(|service| ended && service.needs_forwarder()).cloned()
            };
            if let Some(service) = service.filter(|_| inner.purpose == Purpose::Drive) {
                tracing::warn!(item = %intent.item, "the forwarder of an item ended, and is started again");
                if let Err(error) = inner.answer(service).await {
                    tracing::error!(item = %intent.item, %error, "the item's address does not answer");
                }
            }
        });
    }

    /// Starts the forwarders that should run and do not: after a reboot, or a kill.
    pub(super) async fn resume_forwarders(self: &Arc<Self>) {
        let services: Vec<StoredService> =
            self.world().services.values().filter(|service| service.needs_forwarder()).cloned().collect();
        // Side by side: after a reboot there is one for every item.
        futures::stream::iter(services)
            .for_each_concurrent(FORWARDERS_AT_ONCE, |service| self.resume_forwarder(service))
            .await;
    }

    async fn resume_forwarder(self: &Arc<Self>, service: StoredService) {
        let _guard = self.locks.of(&service_lock(&service.slug)).await;
        let runs = self.world().job(&forwarder_name(&service.slug)).is_some_and(|known| known.life == Life::Alive);
        if runs {
            // Which processes are ready may have changed while nobody listened.
            self.refresh_backends(&service.slug).await;
            return;
        }
        let item = service.item.clone();
        if let Err(error) = self.answer(service).await {
            tracing::error!(%item, %error, "the item's address does not answer");
        }
    }

    /// Tells the forwarder which processes are ready, if that changed.
    pub(super) async fn refresh_backends(&self, slug: &Slug) {
        let directory = self.layout.job(&forwarder_name(slug));
        let target = {
            let world = self.world();
            let revision =
                world.services.get(slug).and_then(|service| service.spec.as_ref()).map(|spec| &spec.revision);
            let known = world.job(&forwarder_name(slug)).is_some();
            revision.filter(|_| known).map(|revision| world.ready(slug, revision))
        };
        let Some(backends) = target.filter(|_| self.purpose.owns()) else { return };
        let mut written = self.written_backends.lock().await;
        // Read again under the lock: the last writer has to write what is true now.
        let backends = {
            let world = self.world();
            let spec = world.services.get(slug).and_then(|service| service.spec.as_ref());
            spec.map_or(backends, |spec| world.ready(slug, &spec.revision))
        };
        if written.get(slug) == Some(&backends) {
            return;
        }
        let file = Backends { backends: backends.clone() };
        match blocking(move || Ok(file.write(&directory))).await {
            Ok(Ok(())) => {
                written.insert(slug.clone(), backends);
            }
            Ok(Err(error)) => tracing::warn!(%slug, %error, "cannot tell the forwarder which processes are ready"),
            Err(error) => tracing::warn!(%slug, %error, "cannot tell the forwarder which processes are ready"),
        }
    }

    /// Writes a service down and shows it.
    async fn record_service(&self, service: StoredService) -> Result<(), ExecutorError> {
        let slug = service.slug.clone();
        if self.world().services.get(&slug) != Some(&service) {
            let (path, written) = (self.layout.service(&slug), service.clone());
            blocking(move || write_json(&path, &written, 0o644)).await?;
            self.world().services.insert(slug.clone(), service);
        }
        self.show_service(&slug);
        Ok(())
    }

    /// Takes what is published away, but keeps the port.
    pub(super) async fn withdraw(self: &Arc<Self>, slug: &Slug) -> Result<bool, ExecutorError> {
        let _guard = self.locks.of(&service_lock(slug)).await;
        let service = self.world().services.get(slug).cloned();
        if let Some(service) = service {
            self.record_service(StoredService { spec: None, ..service }).await?;
        }
        self.end_forwarder(slug).await
    }

    /// Brings the view of every service up to date.
    pub(super) fn show_services(&self) {
        let slugs: Vec<Slug> = self.world().services.keys().cloned().collect();
        for slug in &slugs {
            self.show_service(slug);
        }
    }

    /// Brings the view of a service up to date.
    pub(super) fn show_service(&self, slug: &Slug) {
        let mut world = self.world();
        let observed = world.services.get(slug).and_then(|service| self.observed(service, &world));
        world.change_item(slug, |item| item.service = observed);
        drop(world);
        self.tell();
    }

    fn observed(&self, service: &StoredService, world: &World) -> Option<ObservedService> {
        let spec = service.spec.as_ref()?;
        let url = match spec.target {
            // It is written down before anybody listens there, and nobody should be sent to it by then.
            Target::Processes => {
                let listening = world.job(&forwarder_name(&service.slug)).is_some_and(Known::is_listening);
                let port = service.port.filter(|_| listening);
                port.map(|port| format!("http://{}/", SocketAddr::new(reachable(self.listen), port)))
            }
            Target::Bundle { .. } | Target::Result { .. } => {
                let base = self.serve_base_url.as_deref();
                base.map(|base| format!("{}/{}/", base.trim_end_matches('/'), encoded(service.item.as_str())))
            }
        };
        Some(ObservedService {
            uid: service.uid.clone(),
            ownership: Ownership::Ours,
            revision: spec.revision.clone(),
            target: spec.target.clone(),
            digest: spec.digest(),
            url,
        })
    }

    /// The files that answer for an item.
    pub(super) fn served(&self, slug: &Slug) -> Option<Served> {
        let world = self.world();
        let service = world.services.get(slug)?;
        let (directory, index) = match service.target()? {
            Target::Processes => return None,
            Target::Bundle { id, index } => (self.layout.bundle(slug, id), index.clone()),
            Target::Result { revision, slot } => {
                (self.layout.result(slug, revision, *slot), Some("index.html".to_owned()))
            }
        };
        Some(Served { item: service.item.clone(), directory, index })
    }
}

/// Reads every `services/<slug>.json`.
pub(super) fn read_services(layout: &Layout) -> Result<BTreeMap<Slug, StoredService>, ExecutorError> {
    let mut services = BTreeMap::new();
    for name in names_in(&layout.services())? {
        let is_service = Path::new(&name).extension().is_some_and(|extension| extension == "json");
        if is_service && let Some(service) = read_json::<StoredService>(&layout.services().join(&name))? {
            check_component(service.slug.as_str())?;
            services.insert(service.slug.clone(), service);
        }
    }
    Ok(services)
}

fn service_lock(slug: &Slug) -> String {
    format!("service/{slug}")
}

/// Where to go for somebody who listens everywhere.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Whether nobody listens there now. Connections that are just closing do not count.
fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// All ports of the range, beginning where the item's name points at: the same item gets the same port on every host
/// where it is free.
fn preferred_ports(item: &ItemName, first: u16, last: u16) -> impl Iterator<Item = u16> {
    let count = u32::from(last.saturating_sub(first)) + 1;
    let digest = Digest::of(item.as_str());
    let [a, b, c, d, ..] = *digest.as_bytes();
    let start = u32::from_be_bytes([a, b, c, d]) % count;
    (0..count).filter_map(move |step| u16::try_from(u32::from(first) + (start + step) % count).ok())
}

/// Makes `results/<slug>/current` point at a result, at one stroke.
fn link_current(layout: &Layout, slug: &Slug, name: &str) -> Result<(), ExecutorError> {
    let directory = layout.results_of(slug);
    let result = directory.join(name);
    if !result.is_dir() {
        return Err(ExecutorError::Storage {
            doing: "showing",
            place: result.display().to_string(),
            problem: "expected a finished result there, found none; render the item again with wharf reconcile"
                .to_owned(),
        });
    }
    let (link, temporary) = (directory.join(CURRENT_LINK), directory.join(format!("{CURRENT_LINK}.{}.tmp", unique())));
    symlink(name, &temporary).map_err(|cause| storage("linking", &temporary, &cause))?;
    rename(&temporary, &link)
}

/// An item's name in a URL's path: everything but unreserved characters and `/` is percent-encoded (RFC 3986, 2.3).
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            text.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase();
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_tried_once_from_the_items_own_place() {
        let item: ItemName = "reports/hello".parse().unwrap();
        let ports: Vec<u16> = preferred_ports(&item, 41000, 41009).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 10);
        assert_eq!(preferred_ports(&item, 41000, 41009).next(), ports.first().copied());
        assert_eq!(preferred_ports(&item, 65535, 65535).collect::<Vec<_>>(), [65535]);
    }

    #[test]
    fn names_are_encoded_for_urls() {
        assert_eq!(encoded("reports/über uns?"), "reports/%C3%BCber%20uns%3F");
    }
}
