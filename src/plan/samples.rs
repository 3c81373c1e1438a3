//! Small, whole values of this room's types for tests and simulations. A seed stands for a change in Git. Nothing of it is used by the product.

#![expect(clippy::expect_used, reason = "samples are for tests, which may panic on a name they spelled wrong")]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    BundleId, BundleSpec, ContentSpec, JobEnvironment, JobName, JobSpec, Origin, Outcome, PackageKey, PackageSpec,
    Presentation, Resources, Revision, Role, ServiceSpec, Slot, Step, Target, Timetable, WantedItem,
};
use crate::model::{
    Appmode, BlobId, CommitId, Digest, Entrypoint, Environment, Guid, ImageRef, Installation, Instance, ItemName,
    Language, Matching, PackageManager, Seconds, Selected, SelectedInstallation, TreeId,
};

/// A time: this many seconds after the start of 2026.
pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).expect("seconds within the range of a timestamp")
}

/// An item's name.
pub fn name(name: &str) -> ItemName {
    name.parse().expect("a valid item name")
}

/// An image's name.
pub fn image(name: &str) -> ImageRef {
    name.parse().expect("a valid image name")
}

/// An instance's name.
pub fn instance(name: &str) -> Instance {
    name.parse().expect("a valid instance name")
}

fn twenty_bytes(text: &str) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&Digest::of(text).as_bytes()[..20]);
    bytes
}

/// A commit.
pub fn commit(seed: u32) -> CommitId {
    CommitId::from_bytes(twenty_bytes(&format!("commit {seed}")))
}

/// Where a record came from.
pub fn origin(path: &str, seed: u32) -> Origin {
    Origin { path: path.to_owned(), blob: BlobId::from_bytes(twenty_bytes(&format!("blob {path} {seed}"))) }
}

/// An environment with CPython 3.12.4; the seed is in its title.
pub fn environment(name: &str, seed: u32) -> Arc<Environment> {
    let python = Installation { version: version("3.12.4"), path: "/opt/python/3.12.4/bin/python3".to_owned() };
    Arc::new(Environment {
        name: image(name),
        guid: None,
        title: Some(format!("environment {seed}")),
        description: None,
        matching: Matching::Any,
        supervisor: None,
        installations: BTreeMap::from([(Language::Python, vec![python])]),
        volume_mounts: Vec::new(),
        digest: None,
        redirect: None,
    })
}

fn version(text: &str) -> crate::model::Version {
    text.parse().expect("three numbers")
}

/// An interactive item with packages of its own and one process. Another seed is another tree, bundle and revision; the
/// packages change with every tenth seed.
pub fn wanted(name: &str, seed: u32) -> Arc<WantedItem> {
    Arc::new(item(name, seed, Appmode::PythonFastapi))
}

/// The same with this many processes.
pub fn wanted_processes(name: &str, seed: u32, processes: u32) -> Arc<WantedItem> {
    Arc::new(WantedItem { processes, ..item(name, seed, Appmode::PythonFastapi) })
}

/// A document that is rendered once a revision, and by a schedule if there is one.
pub fn document(name: &str, seed: u32, cron: Option<&str>) -> Arc<WantedItem> {
    let timetable = cron.map(|cron| Timetable { cron: cron.to_owned(), timezone: "UTC".to_owned() });
    Arc::new(WantedItem { timetable, processes: 0, ..item(name, seed, Appmode::JupyterStatic) })
}

/// An item whose files are served as they are.
pub fn static_site(name: &str, seed: u32) -> Arc<WantedItem> {
    Arc::new(WantedItem {
        selected: None,
        content: None,
        processes: 0,
        index: Some("index.html".to_owned()),
        ..item(name, seed, Appmode::Static)
    })
}

fn item(name: &str, seed: u32, appmode: Appmode) -> WantedItem {
    let name = self::name(name);
    let shape = Digest::of(format!("{name} {seed}"));
    let bundle = BundleId::of(&Digest::of(format!("bundle {name} {seed}")));
    let content = content(&name, seed, appmode, bundle.clone());
    WantedItem {
        slug: name.slug(),
        guid: Guid::derived(&instance("sample"), "content", name.as_str()).to_string(),
        id: None,
        appmode,
        tree: TreeId::from_bytes(twenty_bytes(&format!("tree {name} {seed}"))),
        revision: Revision::of(&shape),
        bundle,
        selected: Some(Selected {
            environment: content.environment.image.clone(),
            installations: content.environment.installations.clone(),
        }),
        demands: Digest::of("python 3.12"),
        content: Some(Arc::new(content)),
        processes: 1,
        index: None,
        timetable: None,
        suspend: false,
        presentation: Presentation { title: Some(format!("{name} {seed}")), ..Presentation::default() },
        name,
    }
}

fn content(name: &ItemName, seed: u32, appmode: Appmode, bundle: BundleId) -> ContentSpec {
    let python = SelectedInstallation { version: version("3.12.4"), path: "/opt/python/3.12.4/bin/python3".to_owned() };
    let packages = PackageSpec {
        key: PackageKey::of(&Digest::of(format!("packages {name} {}", seed / 10))),
        language: Language::Python,
        requirements: format!("# {}\nfastapi==0.115.0\n", seed / 10),
        constraints: String::new(),
        server_packages: vec!["uvicorn==0.38.0".to_owned()],
        manager: PackageManager::Pip,
        index_url: None,
        extra_index_urls: Vec::new(),
        bundle: None,
    };
    ContentSpec {
        appmode,
        entrypoint: Some(Entrypoint::Module { module: "app".to_owned(), object: None }),
        bundle,
        environment: JobEnvironment {
            image: image("ghcr.io/example/python:3.12"),
            digest: None,
            installations: BTreeMap::from([(Language::Python, python)]),
            supervisor: None,
            volume_mounts: Vec::new(),
        },
        packages: Some(packages),
        variables: BTreeMap::new(),
        resources: Resources::default(),
        init_timeout: Seconds(60),
        protocol: 1,
    }
}

fn spec_of(item: &WantedItem) -> Arc<ContentSpec> {
    item.content.clone().expect("an item that is not static")
}

/// The key of an item's packages.
pub fn package_key(item: &WantedItem) -> PackageKey {
    spec_of(item).packages.clone().expect("an item with packages").key
}

/// The job that builds an item's packages.
pub fn build_job(item: &WantedItem, attempt: u32) -> JobSpec {
    job(item, JobName::build(&package_key(item), attempt), Role::Build, Slot::Once, attempt)
}

/// One process of an item.
pub fn run_job(item: &WantedItem, ordinal: u32, attempt: u32) -> JobSpec {
    let name = JobName::run(&item.slug, &item.revision, ordinal, attempt);
    job(item, name, Role::Run, Slot::Ordinal(ordinal), attempt)
}

/// One render of an item.
pub fn render_job(item: &WantedItem, slot: Slot, attempt: u32) -> JobSpec {
    job(item, JobName::render(&item.slug, &item.revision, slot, attempt), Role::Render, slot, attempt)
}

fn job(item: &WantedItem, name: JobName, role: Role, slot: Slot, attempt: u32) -> JobSpec {
    JobSpec {
        name,
        role,
        item: item.name.clone(),
        slug: item.slug.clone(),
        revision: item.revision.clone(),
        slot,
        attempt,
        content: spec_of(item),
    }
}

/// An item's files.
pub fn bundle(item: &WantedItem) -> BundleSpec {
    BundleSpec { item: item.name.clone(), slug: item.slug.clone(), id: item.bundle.clone() }
}

/// An item's address.
pub fn service(item: &WantedItem) -> ServiceSpec {
    ServiceSpec {
        item: item.name.clone(),
        slug: item.slug.clone(),
        revision: item.revision.clone(),
        target: Target::Processes,
    }
}

/// The step that a run of an item is remembered under.
pub fn run_step(item: &WantedItem, ordinal: u32) -> Step {
    Step::Job {
        item: item.name.clone(),
        role: Role::Run,
        revision: item.revision.clone(),
        slot: Slot::Ordinal(ordinal),
    }
}

/// A job that failed this often in a row.
pub fn failure(job: &JobSpec, failures: u32, now: Timestamp) -> Outcome {
    Outcome {
        job: Some(job.name.clone()),
        attempt: job.attempt,
        failures,
        succeeded: false,
        next_try: Some(now + super::backoff(failures)),
        reason: Some("its port did not open within 60 s".to_owned()),
        tail: vec!["Traceback (most recent call last):".to_owned(), "ModuleNotFoundError: fastapi".to_owned()],
        recorded: now,
    }
}
