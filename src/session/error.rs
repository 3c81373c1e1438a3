//! What can go wrong in a session, each with what to do about it. How a content process ended is not an error: see `reason.rs`.

use std::io;
use std::path::{Path, PathBuf};

/// Why a session cannot do its work. The text becomes the reason in `state.json` and is read by people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is no job.
    #[error("expected a job description at {path}, found none: an executor starts sessions, not a person", path = path.display())]
    NoJob {
        /// Where it should be.
        path: PathBuf,
    },
    /// The executor is another version.
    #[error("{path} speaks session protocol {found}, this program speaks {expected}: use the same version of Wharf everywhere", path = path.display())]
    Protocol {
        /// The job.
        path: PathBuf,
        /// What is spoken here.
        expected: u32,
        /// What the job speaks.
        found: u32,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {cause}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{path} is not what this version of Wharf writes: {cause}", path = path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// Standard input held no secrets.
    #[error("expected the secrets as one JSON object of names and values on standard input, found something else")]
    Secrets,
    /// A promised secret is not there.
    #[error("the secret {name} was not given to this job: check that it exists where the operator keeps secrets")]
    SecretMissing {
        /// Its name.
        name: String,
    },
    /// The job names no interpreter for a language it needs.
    #[error("the job names no {language} interpreter, and {appmode} needs one")]
    NoInterpreter {
        /// The language's key.
        language: String,
        /// What needs it.
        appmode: String,
    },
    /// A program that must be there is not.
    #[error("{what} {path} {trouble}", path = path.display())]
    Program {
        /// What it is for: `the Python interpreter`, `the supervisor`.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        trouble: &'static str,
    },
    /// This version starts no such content.
    #[error("{appmode} content cannot be {verb} by this version of Wharf")]
    Appmode {
        /// The appmode's key.
        appmode: String,
        /// `started` or `rendered`.
        verb: &'static str,
    },
    /// The entrypoint is of the wrong sort, or leaves the item.
    #[error("{appmode} content starts from {expected}, found {found}")]
    Entrypoint {
        /// The appmode's key.
        appmode: String,
        /// What it can start from.
        expected: &'static str,
        /// What the job says.
        found: String,
    },
    /// The package environment was never finished.
    #[error("the package environment {path} is not complete: its build has not finished", path = path.display())]
    Incomplete {
        /// The environment.
        path: PathBuf,
    },
    /// The port is taken.
    #[error("port {port} of {address} is in use by another program: end that program, or give the item another port")]
    PortInUse {
        /// Where.
        address: std::net::IpAddr,
        /// Which.
        port: u16,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on port {port} of {address}: {cause}")]
    Listen {
        /// Where.
        address: std::net::IpAddr,
        /// Which.
        port: u16,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The operating system refused something.
    #[error("cannot {what}: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl SessionError {
    pub(super) fn read(path: impl AsRef<Path>, cause: io::Error) -> Self {
        Self::Read { path: path.as_ref().to_owned(), cause }
    }

    pub(super) fn write(path: impl AsRef<Path>, cause: io::Error) -> Self {
        Self::Write { path: path.as_ref().to_owned(), cause }
    }

    pub(super) fn system(what: &'static str, cause: impl Into<io::Error>) -> Self {
        Self::System { what, cause: cause.into() }
    }
}
