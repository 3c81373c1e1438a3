//! From an item and its environment to what it should be: bundle, package key, revision (objects.md). Choosing the
//! environment is `select`'s work.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::job::{ContentSpec, JobEnvironment, PackageSpec, Resources};
use super::names::{BundleId, PackageKey, Revision};
use super::observed::Origin;
use super::wanted::{Presentation, Timetable, Wanted, WantedItem};
use crate::desired::package_files::inlined;
use crate::model::{
    Digest, Environment, Guid, Instance, Item, Kind, Language, PackageManager, PackageSource, Policy, Seconds,
    Selected, missing_server_packages,
};

/// How long a port may take to open when nobody says otherwise.
const DEFAULT_INIT_TIMEOUT: Seconds = Seconds(60);

/// What is the same for every item that is resolved.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The policy in force.
    pub policy: &'a Policy,
    /// Whose items they are.
    pub instance: &'a Instance,
    /// The operator's supervisor, for environments that name none.
    pub supervisor: Option<&'a str>,
    /// The session protocol that jobs speak: a new one is a new revision.
    pub protocol: u32,
}

/// What an item should be, given the environment it was selected to run in (`None` for static items).
///
/// `demands` is the digest its selection is recorded with.
pub fn resolve(item: &Item, place: Option<(&Selected, &Environment)>, demands: Digest, site: &Site<'_>) -> Wanted {
    let manifest = &item.manifest;
    let bundle = bundle_id(item);
    let content = place.map(|(selected, environment)| {
        let environment = job_environment(selected, environment, site.supervisor);
        Arc::new(ContentSpec {
            appmode: manifest.appmode,
            entrypoint: manifest.entrypoint.clone(),
            packages: packages(item, &environment, &bundle, site.policy),
            bundle: bundle.clone(),
            environment,
            variables: item.settings.env.clone(),
            resources: resources(item),
            init_timeout: item.settings.init_timeout.unwrap_or(DEFAULT_INIT_TIMEOUT),
            protocol: site.protocol,
        })
    });
    let identity = item.settings.id.as_deref().unwrap_or(item.name.as_str());
    let interactive = manifest.appmode.is_interactive();
    let wanted = WantedItem {
        name: item.name.clone(),
        slug: item.name.slug(),
        guid: Guid::derived(site.instance, "content", identity).to_string(),
        id: item.settings.id.clone(),
        appmode: manifest.appmode,
        tree: item.tree,
        revision: Revision::of(&Digest::of_value(&(&bundle, &content))),
        bundle,
        selected: place.map(|(selected, _)| selected.clone()),
        demands,
        processes: if interactive { item.settings.min_processes.unwrap_or(1) } else { 0 },
        index: (manifest.appmode.kind() == Kind::Static).then(|| index(item)).flatten(),
        timetable: timetable(item),
        suspend: item.settings.suspend.unwrap_or(false),
        presentation: Presentation {
            title: item.settings.title.clone(),
            description: item.settings.description.clone(),
            owner: item.settings.owner.clone(),
            tags: item.settings.tags.clone(),
        },
        content,
    };
    let origin = Origin { path: item.manifest_place.file.to_string(), blob: item.manifest_blob };
    Wanted::new(Arc::new(wanted), origin)
}

/// The name of an item's files. `content.yaml` is not among them: a new title rewrites nothing.
pub fn bundle_id(item: &Item) -> BundleId {
    let mut text = Vec::with_capacity(item.files.len() * 64);
    for file in item.files.iter().filter(|file| file.path.as_ref() != "content.yaml") {
        text.extend_from_slice(file.path.as_bytes());
        text.push(0);
        text.extend_from_slice(file.blob.as_bytes());
        text.push(u8::from(file.executable));
    }
    BundleId::of(&Digest::of(text))
}

fn job_environment(selected: &Selected, environment: &Environment, supervisor: Option<&str>) -> JobEnvironment {
    JobEnvironment {
        image: selected.environment.clone(),
        digest: environment.digest.clone(),
        installations: selected.installations.clone(),
        supervisor: environment.supervisor.clone().or_else(|| supervisor.map(str::to_owned)),
        volume_mounts: environment.volume_mounts.clone(),
    }
}

fn resources(item: &Item) -> Resources {
    let settings = &item.settings;
    Resources {
        cpu_request: settings.cpu_request,
        cpu_limit: settings.cpu_limit,
        memory_request: settings.memory_request,
        memory_limit: settings.memory_limit,
    }
}

fn index(item: &Item) -> Option<String> {
    match &item.manifest.entrypoint {
        Some(crate::model::Entrypoint::File { path }) => Some(path.clone()),
        _ => item.has_file("index.html").then(|| "index.html".to_owned()),
    }
}

fn timetable(item: &Item) -> Option<Timetable> {
    let rendered = item.manifest.appmode.kind() == Kind::Rendered;
    let cron = item.settings.schedule.clone().filter(|_| rendered)?;
    Some(Timetable { cron, timezone: item.settings.timezone.clone().unwrap_or_else(|| "UTC".to_owned()) })
}

/// What a package key is a hash of (objects.md, "Package key").
#[derive(Serialize)]
struct KeyParts<'a> {
    image: &'a crate::model::ImageRef,
    digest: &'a Option<String>,
    interpreter: &'a crate::model::SelectedInstallation,
    requirements: &'a str,
    constraints: &'a str,
    locks: &'a BTreeMap<&'a str, &'a str>,
    server_packages: &'a [String],
    manager: PackageManager,
    source: &'a PackageSource,
    /// A local path in the requirements reads the item's own files.
    bundle: Option<&'a BundleId>,
}

/// The package environment of an item; `None` where there is nothing to install, or the image holds the packages.
fn packages(item: &Item, environment: &JobEnvironment, bundle: &BundleId, policy: &Policy) -> Option<PackageSpec> {
    let manifest = &item.manifest;
    let interpreter = environment.installations.get(&Language::Python)?;
    let wanted = manifest.python_management.or(item.settings.default_py_environment_management).unwrap_or(true);
    if !wanted {
        return None;
    }
    let file = manifest.python_packages.as_ref();
    let whole = file.map(|file| inlined(&file.path, &item.package_files)).unwrap_or_default();
    let requirements = whole.requirements.as_str();
    let server_packages = missing_server_packages(manifest.appmode, requirements);
    let server_packages: Vec<String> = server_packages.into_iter().map(str::to_owned).collect();
    if server_packages.is_empty() && !lists_a_package(requirements) {
        return None;
    }
    let source = policy.packages.get(&Language::Python).cloned().unwrap_or_default();
    let asked = file.and_then(|file| file.manager);
    let manager = if source.uv && asked == Some(PackageManager::Uv) { PackageManager::Uv } else { PackageManager::Pip };
    let locks = ["pylock.toml", "uv.lock"]
        .into_iter()
        .filter_map(|name| Some((name, item.package_files.get(name)?.as_str())))
        .collect();
    let local = reads_own_files(requirements).then_some(bundle);
    let key = PackageKey::of(&Digest::of_value(&KeyParts {
        image: &environment.image,
        digest: &environment.digest,
        interpreter,
        requirements,
        constraints: &whole.constraints,
        locks: &locks,
        server_packages: &server_packages,
        manager,
        source: &source,
        bundle: local,
    }));
    Some(PackageSpec {
        key,
        language: Language::Python,
        requirements: whole.requirements,
        constraints: whole.constraints,
        server_packages,
        manager,
        index_url: source.index_url,
        extra_index_urls: source.extra_index_urls,
        bundle: local.cloned(),
    })
}

/// The lines of a requirements file that are no comment and not blank.
fn requirement_lines(requirements: &str) -> impl Iterator<Item = &str> {
    requirements.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn lists_a_package(requirements: &str) -> bool {
    requirement_lines(requirements)
        .any(|line| !line.starts_with('-') || line.starts_with("-e") || line.starts_with("--e"))
}

/// Whether a requirement is a path below the item's directory: `.`, `./lib`, `-e .`, `file:lib`, `name @ file:./lib`.
fn reads_own_files(requirements: &str) -> bool {
    requirement_lines(requirements).any(|line| {
        let line = line.strip_prefix("--editable").or_else(|| line.strip_prefix("-e")).unwrap_or(line);
        let line = line.trim_start_matches(['=', ' ']);
        let target = line.split_once('@').map_or(line, |(_, target)| target.trim());
        let archive = [".whl", ".tar.gz", ".zip"].iter().any(|ending| target.to_ascii_lowercase().ends_with(ending));
        target.starts_with('.') || target.starts_with("file:") || archive && !target.contains("://")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_are_recognised() {
        for local in [".", "./lib", "-e .", "--editable=./x", "x @ file:./x", "wheels/x-1.whl"] {
            assert!(reads_own_files(local), "{local}");
        }
        for other in ["flask", "flask>=2  # ./x", "# ./lib", "-r more.txt"] {
            assert!(!reads_own_files(other), "{other}");
        }
        assert!(!lists_a_package("# nothing\n--index-url https://example.com\n"));
    }
}
