//! What can go wrong between the repository and the rooms that read it. One enum; causes stay in `source`.

use std::path::PathBuf;
use std::time::Duration;

use super::transport::TransportError;
use super::url::{AddressError, RefName, Subdirectory};
use crate::desired::snapshot::Unreadable;
use crate::model::CommitId;

/// Why a look at the source failed. Nothing is ever changed because of one: the last good commit stays in force.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The repository, ref or path is not one.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The remote could not be asked: it is down, refuses us, or is no Git server.
    #[error("cannot read the repository {repository}; nothing is changed until it can be read")]
    Remote {
        /// The address, without credentials.
        repository: String,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// The remote answered, and what it said was not understood.
    #[error(
        "the repository {repository} answered something that is not Git's protocol; nothing is changed until it does"
    )]
    Protocol {
        /// The address, without credentials.
        repository: String,
        /// What libgit2 said.
        #[source]
        source: git2::Error,
    },
    /// The repository exists and holds no commit.
    #[error("the repository {repository} has no commits yet; push one, and it is applied")]
    Empty {
        /// The address, without credentials.
        repository: String,
    },
    /// The repository has no such branch or tag, perhaps no longer.
    #[error(
        "the repository {repository} has no branch or tag {reference}{}; check --ref, nothing is changed until it leads to a commit",
        hint(near)
    )]
    RefGone {
        /// The address, without credentials.
        repository: String,
        /// What was asked for.
        reference: RefName,
        /// A few of the branches it has.
        near: Vec<String>,
    },
    /// The repository has no such commit, or does not give it out.
    #[error("the repository {repository} has no commit {commit}, or no branch or tag leads to it; check --ref")]
    CommitGone {
        /// The address, without credentials.
        repository: String,
        /// What was asked for.
        commit: CommitId,
    },
    /// The ref names a tree or a blob.
    #[error("expected {reference} to lead to a commit, found a {found}; use a branch, a tag of a commit, or a commit")]
    NotACommit {
        /// What was asked for.
        reference: String,
        /// What kind of object it is.
        found: &'static str,
    },
    /// The commit has no such directory.
    #[error("the commit {} has no directory {path} (--path): {problem}; check --path and --ref", .commit.short())]
    PathGone {
        /// The commit that was read.
        commit: CommitId,
        /// `--path`.
        path: Subdirectory,
        /// How far the way led.
        problem: String,
    },
    /// A commit that was there is damaged.
    #[error("the commit {} cannot be read from {repository}", .commit.short())]
    Damaged {
        /// The address, without credentials.
        repository: String,
        /// The commit that was read.
        commit: CommitId,
        /// The object that is missing or broken.
        #[source]
        source: Unreadable,
    },
    /// A local path that is no repository.
    #[error("expected a Git repository at {}{}", .path.display(), .hint)]
    NotARepository {
        /// The path.
        path: PathBuf,
        /// What to do instead.
        hint: String,
    },
    /// A local repository of another user.
    #[error(
        "the repository {} belongs to another user, and Git's owner check refuses it; \
         if you trust it: git config --global --add safe.directory {}",
        .path.display(), .path.display()
    )]
    NotOurs {
        /// The path.
        path: PathBuf,
    },
    /// `--working-tree` with something that has none.
    #[error("expected a directory of this machine for --working-tree, found {repository}; leave --working-tree out")]
    NoWorkingTree {
        /// What was given.
        repository: String,
    },
    /// A question about commits, with `--working-tree`.
    #[error("the working tree {repository} is not a commit and has no history; leave --working-tree out")]
    NoHistory {
        /// What was given.
        repository: String,
    },
    /// A snapshot of a working tree that is no longer kept.
    #[error("the state {} of the working tree is gone, files changed since; look again", .state.short())]
    Moved {
        /// What was asked for.
        state: CommitId,
    },
    /// More files than a working tree may have.
    #[error("{} holds more than {limit} {what}; give a smaller --path, or add a .gitignore", .path.display())]
    TooMuch {
        /// Where reading stopped.
        path: PathBuf,
        /// The bound.
        limit: usize,
        /// Files, or directories inside each other.
        what: &'static str,
    },
    /// A file or directory of this machine.
    #[error("cannot {doing} {}", .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A token file that holds no token.
    #[error("expected one line with a token in {}, found {found}", .path.display())]
    Token {
        /// `--token-file`.
        path: PathBuf,
        /// What it holds instead; never the content.
        found: &'static str,
    },
    /// Another process has been using the mirror for too long.
    #[error("the mirror {} has been in use by another process for {} s; end that one, or try again", .path.display(), .waited.as_secs())]
    Busy {
        /// The mirror.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// libgit2 could not do its part on this machine's files.
    #[error("cannot {doing} in {}", .path.display())]
    Git {
        /// What was tried.
        doing: &'static str,
        /// In which repository.
        path: PathBuf,
        /// What libgit2 said.
        #[source]
        source: git2::Error,
    },
    /// Reading was stopped by a bug of Wharf.
    #[error("reading the repository stopped unexpectedly; this is a bug of Wharf, please report it")]
    Panicked(#[source] tokio::task::JoinError),
}

impl SourceError {
    pub(super) fn git(doing: &'static str, path: &std::path::Path) -> impl FnOnce(git2::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Git { doing, path, source }
    }

    pub(super) fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

fn hint(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(" (it has {})", near.join(", ")) }
}
