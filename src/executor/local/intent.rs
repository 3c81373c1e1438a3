//! What the executor writes down before it starts a job, and the job as its session reads it. Nothing is started here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::{Layout, forwarder_name};
use super::process::unique;
use super::secrets::SecretReference;
use crate::executor::ExecutorError;
use crate::model::{Entrypoint, EnvironmentValue, ItemName, Language, PackageManager, Slug};
use crate::plan::{BundleId, JobName, JobSpec, PackageKey, Revision, Role, Slot, Uid};
use crate::session::protocol::{
    Build, ContentUser, Forward, Install, Installer, PROTOCOL, PythonInstall, Render, Run, SessionEntrypoint,
    SessionJob, SessionLimits, Work,
};

/// Seconds that content gets to end by itself.
pub(super) const STOP_GRACE_SECONDS: u64 = 10;
/// Seconds that a build may install packages: compiling the largest ones takes minutes, and one that hangs keeps a build
/// slot from others.
const BUILD_TIMEOUT_SECONDS: u64 = 30 * 60;
/// Seconds that a render may take: documents compute, but one that hangs is never rendered again.
const RENDER_TIMEOUT_SECONDS: u64 = 60 * 60;

/// `intent.json`: what is known of a job beyond what its session is told. The directory that holds it is the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The job's name.
    pub name: JobName,
    /// Identity of this very job.
    pub uid: Uid,
    /// The item it is for.
    pub item: ItemName,
    /// The item's short name.
    pub slug: Slug,
    /// When it was asked for.
    pub started: Timestamp,
    /// What it is.
    pub task: Task,
    /// Where the values of secrets come from, by variable. The values are never written down.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretReference>,
}

/// What a job directory is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Task {
    /// A job of the plan.
    Job {
        /// Build, run or render.
        role: Role,
        /// Its revision.
        revision: Revision,
        /// Which of the revision's jobs.
        slot: Slot,
        /// Which try.
        attempt: u32,
        /// The files it uses.
        bundle: BundleId,
        /// The package environment that it makes or uses.
        package: Option<PackageKey>,
    },
    /// Holds an item's port.
    Forward {
        /// The port.
        port: u16,
    },
}

impl Intent {
    /// The intent to do a job of the plan.
    pub fn of(spec: &JobSpec, now: Timestamp) -> Self {
        let content = &spec.content;
        let task = Task::Job {
            role: spec.role,
            revision: spec.revision.clone(),
            slot: spec.slot,
            attempt: spec.attempt,
            bundle: content.bundle.clone(),
            package: content.packages.as_ref().map(|packages| packages.key.clone()),
        };
        Self {
            name: spec.name.clone(),
            uid: Uid(unique()),
            item: spec.item.clone(),
            slug: spec.slug.clone(),
            started: now,
            task,
            secrets: variables(spec).1,
        }
    }

    /// The intent to hold an item's port.
    pub fn forward(item: &ItemName, slug: &Slug, port: u16, now: Timestamp) -> Self {
        Self {
            name: forwarder_name(slug),
            uid: Uid(unique()),
            item: item.clone(),
            slug: slug.clone(),
            started: now,
            task: Task::Forward { port },
            secrets: BTreeMap::new(),
        }
    }

    /// Build, run or render; `None` for a forwarder.
    pub const fn role(&self) -> Option<Role> {
        match &self.task {
            Task::Job { role, .. } => Some(*role),
            Task::Forward { .. } => None,
        }
    }

    /// The package environment it makes or uses.
    pub const fn package(&self) -> Option<&PackageKey> {
        match &self.task {
            Task::Job { package, .. } => package.as_ref(),
            Task::Forward { .. } => None,
        }
    }

    /// Whether it uses these files.
    pub fn uses_bundle(&self, slug: &Slug, id: &BundleId) -> bool {
        matches!(&self.task, Task::Job { bundle, .. } if self.slug == *slug && bundle == id)
    }
}

/// The plain variables and the references to secrets. A build gets neither: its package key does not know them, and
/// equal keys must give equal environments.
fn variables(spec: &JobSpec) -> (BTreeMap<String, String>, BTreeMap<String, SecretReference>) {
    let (mut plain, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    if spec.role == Role::Build {
        return (plain, secrets);
    }
    for (name, value) in &spec.content.variables {
        match value {
            EnvironmentValue::Plain(value) => {
                plain.insert(name.clone(), value.clone());
            }
            EnvironmentValue::Secret { secret, key } => {
                secrets.insert(name.clone(), SecretReference { secret: secret.clone(), key: key.clone() });
            }
        }
    }
    (plain, secrets)
}

/// What this host adds to every job.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// Whom content becomes.
    pub user: Option<ContentUser>,
    /// Where content listens.
    pub address: IpAddr,
}

/// The job as its session reads it.
pub(super) fn session_job(spec: &JobSpec, layout: &Layout, host: &Host) -> Result<SessionJob, ExecutorError> {
    let content = &spec.content;
    let (env, secrets) = variables(spec);
    let interpreters = content.environment.installations.iter();
    Ok(SessionJob {
        revision: Some(spec.revision.to_string()),
        environment: content.environment.image.to_string(),
        env,
        secrets: secrets.into_keys().collect(),
        interpreters: interpreters
            .map(|(language, one)| (language.key().to_owned(), PathBuf::from(&one.path)))
            .collect(),
        supervisor: content.environment.supervisor.as_ref().map(PathBuf::from),
        user: host.user,
        limits: SessionLimits {
            memory_bytes: content.resources.memory_limit.map(|memory| memory.0),
            cpu_millis: content.resources.cpu_limit.map(|cpu| cpu.0),
        },
        ..bare_job(&spec.name, &spec.item, work(spec, layout, host)?)
    })
}

/// The session that holds an item's port.
pub(super) fn forward_job(intent: &Intent, address: IpAddr, port: u16) -> SessionJob {
    let work = Work::Forward(Forward { title: intent.item.to_string(), address, port });
    bare_job(&intent.name, &intent.item, work)
}

fn bare_job(name: &JobName, item: &ItemName, work: Work) -> SessionJob {
    SessionJob {
        protocol: PROTOCOL,
        job: name.to_string(),
        item: item.to_string(),
        revision: None,
        environment: crate::model::ImageRef::LOCALHOST.to_owned(),
        env: BTreeMap::new(),
        secrets: Vec::new(),
        inherit_environment: false,
        interpreters: BTreeMap::new(),
        supervisor: None,
        user: None,
        limits: SessionLimits::default(),
        stop_grace_seconds: STOP_GRACE_SECONDS,
        echo_log: false,
        work,
    }
}

fn work(spec: &JobSpec, layout: &Layout, host: &Host) -> Result<Work, ExecutorError> {
    let content = &spec.content;
    let bundle = layout.bundle(&spec.slug, &content.bundle);
    let title = spec.item.to_string();
    let appmode = content.appmode.key().to_owned();
    let packages = content.packages.iter().map(|one| (one.language.key().to_owned(), layout.environment(&one.key)));
    Ok(match spec.role {
        Role::Build => Work::Build(build(spec, layout)?),
        Role::Run => Work::Run(Run {
            title,
            bundle,
            appmode,
            entrypoint: entrypoint(content.entrypoint.as_ref()),
            packages: packages.collect(),
            address: host.address,
            port: 0,
            init_timeout_seconds: content.init_timeout.0,
        }),
        Role::Render => Work::Render(Render {
            title,
            bundle,
            appmode,
            entrypoint: entrypoint(content.entrypoint.as_ref()),
            packages: packages.collect(),
            output: layout.result(&spec.slug, &spec.revision, spec.slot),
            timeout_seconds: Some(RENDER_TIMEOUT_SECONDS),
        }),
    })
}

fn build(spec: &JobSpec, layout: &Layout) -> Result<Build, ExecutorError> {
    let packages = spec.content.packages.as_ref().ok_or_else(|| ExecutorError::Start {
        program: spec.name.to_string(),
        problem: "a build job has to say which packages it installs, and this one names none".to_owned(),
    })?;
    if packages.language != Language::Python {
        return Err(ExecutorError::Start {
            program: spec.name.to_string(),
            problem: format!(
                "this version of Wharf installs packages of Python, and this job asks for {}",
                packages.language
            ),
        });
    }
    let install = PythonInstall {
        requirements: packages.requirements.clone(),
        constraints: packages.constraints.clone(),
        server_packages: packages.server_packages.clone(),
        installer: match packages.manager {
            PackageManager::Pip => Installer::Pip,
            PackageManager::Uv => Installer::Uv,
        },
        uv: None,
        bundle: packages.bundle.as_ref().map(|bundle| layout.bundle(&spec.slug, bundle)),
        index_url: packages.index_url.clone(),
        extra_index_urls: packages.extra_index_urls.clone(),
    };
    let cache_dir = layout.cache(packages.language.key(), &spec.content.environment.image);
    Ok(Build {
        path: layout.environment(&packages.key),
        cache_dir,
        install: Install::Python(install),
        timeout_seconds: Some(BUILD_TIMEOUT_SECONDS),
    })
}

fn entrypoint(entrypoint: Option<&Entrypoint>) -> SessionEntrypoint {
    match entrypoint {
        Some(Entrypoint::Module { module, object }) => {
            SessionEntrypoint::Module { module: module.clone(), object: object.clone() }
        }
        Some(Entrypoint::File { path }) => SessionEntrypoint::File { path: path.clone() },
        Some(Entrypoint::Directory) | None => SessionEntrypoint::Directory,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::model::{Cpu, Memory};
    use crate::plan::samples::{build_job, document, render_job, run_job, time, wanted};

    /// The same job with a plain variable, a secret and limits.
    fn furnished(mut spec: JobSpec) -> JobSpec {
        let mut content = spec.content.as_ref().clone();
        let secret = EnvironmentValue::Secret { secret: "database".to_owned(), key: "password".to_owned() };
        content.variables.insert("PASSWORD".to_owned(), secret);
        content.variables.insert("GREETING".to_owned(), EnvironmentValue::Plain("hello".to_owned()));
        content.resources.cpu_limit = Some(Cpu(1500));
        content.resources.memory_limit = Some(Memory(1 << 30));
        content.environment.supervisor = Some("/usr/local/bin/supervisor".to_owned());
        spec.content = Arc::new(content);
        spec
    }

    #[test]
    fn a_session_is_told_what_the_plan_wants() {
        let layout = Layout::new(Path::new("/data"));
        let host = Host { user: Some(ContentUser { uid: 65532, gid: 65532 }), address: [127, 0, 0, 1].into() };
        let (app, report) = (wanted("reports/app", 1), document("reports/monthly", 1, None));
        for (name, spec) in [
            ("build", build_job(&app, 0)),
            ("run", run_job(&app, 1, 2)),
            ("render", render_job(&report, Slot::Due(time(3600)), 0)),
        ] {
            let spec = furnished(spec);
            insta::assert_json_snapshot!(name, session_job(&spec, &layout, &host).unwrap());
            let intent = Intent::of(&spec, time(0));
            assert_eq!(intent.secrets.is_empty(), spec.role == Role::Build);
            let text = serde_json::to_string(&intent).unwrap();
            assert_eq!(serde_json::from_str::<Intent>(&text).unwrap(), intent);
        }
    }

    #[test]
    fn packages_that_cannot_be_installed_are_refused() {
        let layout = Layout::new(Path::new("/data"));
        let host = Host { user: None, address: [127, 0, 0, 1].into() };
        let mut spec = build_job(&wanted("app", 1), 0);
        let mut content = spec.content.as_ref().clone();
        content.packages.as_mut().unwrap().language = Language::R;
        spec.content = Arc::new(content.clone());
        assert!(session_job(&spec, &layout, &host).unwrap_err().to_string().contains("asks for R"));
        content.packages = None;
        spec.content = Arc::new(content);
        assert!(session_job(&spec, &layout, &host).unwrap_err().to_string().contains("names none"));
    }
}
