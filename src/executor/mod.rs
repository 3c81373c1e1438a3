//! Where jobs run: the trait, its errors, and the list of executors. Each executor is one folder beside this file.

pub mod local;
mod memory;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{Environment, ItemName, Language, Slug};
use crate::plan::{
    BundleId, BundleSpec, ExecutorView, JobName, JobSpec, ObservedJob, PackageKey, Revision, ServiceSpec, Slot, Uid,
};

pub use memory::{Law, MemoryExecutor, Started, Violation};

/// What an executor cannot do.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The thing is not what the plan was computed from.
    #[error("{name} changed since the plan was made: expected {expected}, found {found}")]
    Moved {
        /// Which job or service.
        name: String,
        /// What the precondition says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A secret that an item asks for cannot be read.
    #[error("secret {secret}, key {key}: {problem}")]
    Secret {
        /// The secret's name.
        secret: String,
        /// The key in it.
        key: String,
        /// What is wrong, without its value.
        problem: String,
    },
    /// Files cannot be read or written.
    #[error("{doing} {place}: {problem}")]
    Storage {
        /// What was being done: "writing", "reading".
        doing: &'static str,
        /// Where.
        place: String,
        /// What the system says.
        problem: String,
    },
    /// The data volume is not ours.
    #[error("{place} {problem}")]
    Volume {
        /// Where.
        place: String,
        /// "belongs to the instance x; ...".
        problem: String,
    },
    /// A program cannot be started.
    #[error("starting {program}: {problem}")]
    Start {
        /// Which program.
        program: String,
        /// What the system says.
        problem: String,
    },
}

/// Where items can run.
#[derive(Debug, Clone)]
pub enum Candidates {
    /// On this host alone, whatever Git's environments are.
    Host {
        /// The host as an environment named `localhost`.
        environment: Arc<Environment>,
        /// For each language that is missing: what to install.
        missing: Vec<(Language, String)>,
    },
    /// In the environments that Git names.
    FromGit,
}

/// One file of a bundle that is being written.
#[derive(Debug, Clone)]
pub struct BundleFile {
    /// Path below the item's directory, checked: relative, no `..`.
    pub path: Arc<str>,
    /// Whether it may be executed.
    pub executable: bool,
    /// What it holds.
    pub contents: BundleContents,
}

/// Where a bundle's bytes come from, read one file at a time.
pub type BundleContents = crate::model::BlobId;

/// Reads the files of a bundle while it is written.
pub trait BundleReader: Send + Sync {
    /// The files, in the order of their paths.
    fn files(&self) -> &[BundleFile];
    /// One file's bytes.
    fn read(&self, contents: &BundleContents) -> Result<Vec<u8>, String>;
}

/// Something old that nothing needs any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Garbage {
    /// A finished job's directory.
    Job(JobName),
    /// A former bundle.
    Bundle(Slug, BundleId),
    /// A former result.
    Result(Slug, Revision, Slot),
    /// A package environment.
    PackageEnvironment(PackageKey),
}

/// Which lines of a log.
#[derive(Debug, Clone, Copy)]
pub struct LogRequest {
    /// Start at this byte.
    pub offset: u64,
    /// At most this many bytes.
    pub limit: u64,
}

/// A piece of a log.
#[derive(Debug, Clone)]
pub struct LogPiece {
    /// The bytes, as text; control characters are not taken out here.
    pub text: String,
    /// Where the next piece starts.
    pub next_offset: u64,
    /// Whether the job has ended and nothing will follow.
    pub ended: bool,
}

/// Where jobs run. Every method is idempotent: the name says what is wanted.
#[async_trait]
pub trait Executor: Send + Sync {
    /// What can run items. Cheap: discovered once, and again when asked by a reload.
    async fn candidates(&self) -> Result<Candidates, ExecutorError>;

    /// Everything, from a cache that events keep current.
    async fn view(&self) -> Result<Arc<ExecutorView>, ExecutorError>;

    /// Writes an item's files: under a temporary name, synced, renamed, never changed.
    async fn write_bundle(&self, bundle: &BundleSpec, reader: Arc<dyn BundleReader>) -> Result<(), ExecutorError>;

    /// Starts a job. A job of that name that is there already is left as it is.
    async fn start(&self, job: &JobSpec, now: Timestamp) -> Result<(), ExecutorError>;

    /// Asks a job to end, and does not wait for it: the view shows it as stopping until it is gone, and then no more;
    /// events tell. One that is gone or stopping already is fine.
    async fn stop(&self, job: &JobName, uid: &Uid) -> Result<(), ExecutorError>;

    /// Makes an item's address answer with a target.
    async fn publish(&self, service: &ServiceSpec) -> Result<(), ExecutorError>;

    /// Takes an item's address away.
    async fn unpublish(&self, item: &ItemName, slug: &Slug) -> Result<(), ExecutorError>;

    /// Takes something old away.
    async fn collect(&self, garbage: &Garbage) -> Result<(), ExecutorError>;

    /// Changes whenever the view may have.
    fn events(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Reads a job's log.
    async fn log(&self, job: &ObservedJob, request: LogRequest) -> Result<LogPiece, ExecutorError>;

    /// Ends everything this instance runs, and waits until it is gone.
    async fn down(&self) -> Result<u32, ExecutorError>;
}
