//! What can be wrong with the operator's settings. How it is shown is `cli`'s business.

use std::path::PathBuf;

use super::{ExecutorKind, RegistryKind, supported_pairs};
use crate::model::NameError;

/// A setting that cannot be used. Nothing was started or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    File {
        /// `--config`.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The configuration file says something that is not understood.
    #[error("the configuration file {} cannot be used", .path.display())]
    Content {
        /// `--config`.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: crate::desired::yaml::YamlError,
    },
    /// No repository is named.
    #[error(
        "expected a repository to follow, found none; say --repo URL (or PATH), WHARF_REPO, or `repo:` in the \
         configuration file"
    )]
    NoRepository,
    /// Default directories are below the home directory, and there is none.
    #[error("there is no home directory to keep files in; say {flag} DIR")]
    NoHome {
        /// The flag that names the directory.
        flag: &'static str,
    },
    /// A relative path in a directory that is gone.
    #[error("cannot tell where {} is", .path.display())]
    Path {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// `--interval` is too short.
    #[error("--interval is at least 1 s; `wharf reconcile` looks at once")]
    Interval,
    /// State and data are two directories: one is private, the other is the jobs'.
    #[error(
        "--state-dir and --data-dir are both {}; the first is private, the second is shared with what runs: name two",
        .path.display()
    )]
    OneDirectory {
        /// Both.
        path: PathBuf,
    },
    /// The global supervisor is no absolute path.
    #[error("expected an absolute path for the supervisor, found {found:?}")]
    Supervisor {
        /// As given.
        found: String,
    },
    /// A pair that this version does not have.
    #[error(
        "the registry {registry} with the executor {executor} is not supported by this version; supported pairs: {}. \
         `validate`, `explain` and `diff --against empty` work with any executor",
        supported_pairs()
    )]
    UnsupportedPair {
        /// `--registry`.
        registry: RegistryKind,
        /// `--executor`.
        executor: ExecutorKind,
    },
    /// The instance's name.
    #[error(transparent)]
    Name(#[from] NameError),
}
