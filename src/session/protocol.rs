//! What an executor and a session say to each other: the job it is given, the state it tells. Plain data and its serde form; reading and writing is `state.rs`.
//!
//! An executor makes a job directory, calls [`SessionJob::write`], starts `wharf session DIR` (or `wharf-session DIR`)
//! with the secrets as one JSON object on its standard input, and from then on only reads [`SessionState`] and, to end
//! the job, sends SIGTERM to the session's process id. The session answers nothing else: it outlives who started it.
//!
//! | in the job directory | written by | holds |
//! | --- | --- | --- |
//! | `job.json` | executor | [`SessionJob`] |
//! | `backends.json` | executor, again and again | [`Backends`], for [`Work::Forward`] only |
//! | `state.json` | session | [`SessionState`], always whole |
//! | `log`, `log.1` | session | what the content prints, see `log.rs` |
//! | `app/`, `home/`, `tmp/`, `output/` | session | scratch of the content |

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of everything in this file. It is part of every revision: raising it starts everything anew.
pub const PROTOCOL: u32 = 1;

/// `job.json`: all a session needs to know, except the values of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionJob {
    /// [`PROTOCOL`] of who wrote it.
    pub protocol: u32,
    /// The job's name, `run-<slug>-<revision>-<ordinal>-<attempt>` and the like.
    pub job: String,
    /// The item's full name; of a build, the first item that asked for it.
    pub item: String,
    /// The item's revision, for the log's first lines.
    #[serde(default)]
    pub revision: Option<String>,
    /// The environment's name: an image, or `localhost`.
    pub environment: String,
    /// Variables of the content, plain values.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Names of the secrets the content gets as variables. Their values come as one JSON object on standard input, or,
    /// where they are absent there, from the session's own variables (a pod's `secretKeyRef`).
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Whether the content inherits the session's variables: true in a container, whose image sets what its programs
    /// need; false on a host, whose variables are the operator's own affair.
    #[serde(default)]
    pub inherit_environment: bool,
    /// The interpreters by language key (`python`, `r`, `quarto`, `nodejs`, `tensorflow`), absolute paths.
    #[serde(default)]
    pub interpreters: BTreeMap<String, PathBuf>,
    /// A program that starts the content's program: `<supervisor> <program> <arguments>`.
    #[serde(default)]
    pub supervisor: Option<PathBuf>,
    /// Whom the content becomes if the session is root; without it, and for anyone else, it stays who the session is.
    #[serde(default)]
    pub user: Option<ContentUser>,
    /// What the content may use.
    #[serde(default)]
    pub limits: SessionLimits,
    /// Seconds between the request to end and the kill.
    #[serde(default = "default_grace")]
    pub stop_grace_seconds: u64,
    /// Whether log lines are repeated on the session's standard output: true in a pod. Somebody must read it then.
    #[serde(default)]
    pub echo_log: bool,
    /// What is to be done.
    pub work: Work,
}

const fn default_grace() -> u64 {
    10
}

/// A numeric user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentUser {
    /// User id.
    pub uid: u32,
    /// Group id; supplementary groups are dropped.
    pub gid: u32,
}

/// What the content may use; absent means as much as the host has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLimits {
    /// Memory in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// CPU in thousandths of a core. Kept only where a cgroup of version 2 can be made.
    #[serde(default)]
    pub cpu_millis: Option<u64>,
}

/// What a session does; one of the roles of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Make a package environment.
    Build(Build),
    /// Keep one content process running.
    Run(Run),
    /// Render a document once.
    Render(Render),
    /// Hold an item's port and pass connections on to the processes that are ready.
    Forward(Forward),
}

/// Make a package environment. Nobody uses it before its `complete.json` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Where it will be, for good: virtual environments cannot be moved.
    pub path: PathBuf,
    /// Where downloads are kept, shared by every build of one image.
    pub cache_dir: PathBuf,
    /// What is installed.
    pub install: Install,
    /// Seconds after which the installation is ended and failed, waiting for another build of the same environment not
    /// counted; absent means it may take as long as it needs.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
}

/// The packages of a build, one variant a language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Install {
    /// A virtual environment.
    Python(PythonInstall),
}

/// The packages of a virtual environment. The interpreter is the job's `python`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonInstall {
    /// `requirements.txt` with everything it includes inlined.
    pub requirements: String,
    /// What bounds them: the constraints files, inlined.
    #[serde(default)]
    pub constraints: String,
    /// Requirements that are added, pinned: what `model::server_packages` says and the item does not list.
    #[serde(default)]
    pub server_packages: Vec<String>,
    /// Who installs.
    #[serde(default)]
    pub installer: Installer,
    /// Where uv is; without it `uv` on the PATH. Unused with pip.
    #[serde(default)]
    pub uv: Option<PathBuf>,
    /// The item's files at the commit, for requirements that name a path; the session installs from a copy.
    #[serde(default)]
    pub bundle: Option<PathBuf>,
    /// The package index; without it the host's own setting, or else the public one.
    #[serde(default)]
    pub index_url: Option<String>,
    /// Further indexes.
    #[serde(default)]
    pub extra_index_urls: Vec<String>,
}

/// Who installs Python packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Installer {
    /// pip, from the virtual environment itself.
    #[default]
    Pip,
    /// uv.
    Uv,
}

/// What starts an item. The same form as `model::Entrypoint`, which the session does not depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEntrypoint {
    /// A Python module, and the object in it.
    Module {
        /// Dotted name without `.py`.
        module: String,
        /// The object; without it the first of `app`, `application`, `create_app`, `make_app` that exists.
        object: Option<String>,
    },
    /// A file below the item's directory.
    File {
        /// Its path.
        path: String,
    },
    /// The directory itself.
    Directory,
}

/// Keep one content process running, until it ends or the session is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The item's title, for people.
    pub title: String,
    /// The item's files at the commit; never changed. The content gets a copy, `app/` in the job directory.
    pub bundle: PathBuf,
    /// The appmode's key as manifests write it.
    pub appmode: String,
    /// What starts it.
    pub entrypoint: SessionEntrypoint,
    /// The package environments by language key; a language without one uses its interpreter as it is.
    #[serde(default)]
    pub packages: BTreeMap<String, PathBuf>,
    /// Where the content listens: the loopback address on a host, the unspecified one in a pod.
    pub address: IpAddr,
    /// The port, or 0 for a free one; the one taken is in the state.
    pub port: u16,
    /// Seconds until its port has to accept.
    pub init_timeout_seconds: u64,
}

/// Render a document once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Render {
    /// The item's title, for people.
    pub title: String,
    /// The item's files at the commit.
    pub bundle: PathBuf,
    /// The appmode's key as manifests write it.
    pub appmode: String,
    /// The document.
    pub entrypoint: SessionEntrypoint,
    /// The package environments by language key.
    #[serde(default)]
    pub packages: BTreeMap<String, PathBuf>,
    /// The directory that will hold the result, with an `index.html`: there whole, or not at all. If it
    /// exists, nothing is rendered.
    pub output: PathBuf,
    /// Seconds after which a render is ended and failed; absent means it may take as long as it needs.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
}

/// Hold an item's port: the Service of the local executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The item's title, for the page that is shown while no process is ready.
    pub title: String,
    /// Where to listen.
    pub address: IpAddr,
    /// The item's own port, the same for as long as the item exists. 0 takes a free one.
    pub port: u16,
}

/// `backends.json`: the processes a forwarder may use, at least none. Read again whenever it was replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backends {
    /// Where ready processes listen.
    pub backends: Vec<SocketAddr>,
}

/// `state.json`: how a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// [`PROTOCOL`] of the session.
    pub protocol: u32,
    /// The job's name.
    pub job: String,
    /// Who the session is; with [`SessionState::is_alive`] it can be found again after the daemon was restarted.
    #[serde(flatten)]
    pub identity: ProcessIdentity,
    /// The content's process, also its process group's id.
    pub child_pid: Option<i32>,
    /// How far it is.
    pub phase: Phase,
    /// What a build is installing, in words.
    pub progress: Option<String>,
    /// The port of a run or forward.
    pub port: Option<u16>,
    /// How the limits are kept.
    pub confinement: Confinement,
    /// When the session began, in milliseconds since 1970.
    pub started_at: u64,
    /// When it was ready.
    pub ready_at: Option<u64>,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// How it ended; with [`Phase::Exited`], always there.
    pub exit: Option<Exit>,
}

/// Names one process for good: process ids come again, these three together do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The process id.
    pub pid: i32,
    /// When the process began, in clock ticks since the boot.
    pub start_ticks: u64,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It prepares, or its content does not accept yet.
    Starting,
    /// A build is installing packages.
    Installing,
    /// A render is running.
    Running,
    /// The port accepts.
    Ready,
    /// It was asked to stop, and waits for its content.
    Stopping,
    /// It is over.
    Exited,
}

/// What keeps the memory limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confinement {
    /// Nothing: no limit was asked for, or there is no content process.
    #[default]
    None,
    /// A cgroup: the content's processes together.
    Cgroup,
    /// RLIMIT_DATA: each of the content's processes by itself.
    Rlimit,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The content's exit code, unless a signal ended it or it never began.
    pub code: Option<i32>,
    /// The signal that ended the content.
    pub signal: Option<i32>,
    /// One sentence for people.
    pub reason: String,
    /// What it means.
    pub outcome: Outcome,
    /// The content's last lines (at most 20), secrets masked.
    pub tail: Vec<String>,
}

/// What an end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A build or render has done its work; an interactive process ended with code 0 by itself.
    Succeeded,
    /// It could not.
    Failed,
    /// It was asked to stop, and did.
    Stopped,
}
