//! A repository of this machine, read in place: nothing is copied, nothing is ever written to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{ObjectType, Repository};

use super::error::SourceError;
use super::objects::{Objects, Owner, open_users};
use super::tree::{bytes, oid};
use super::url::RefName;
use crate::model::CommitId;

/// A repository somebody else works in.
#[derive(Debug)]
pub(super) struct LocalRepository {
    objects: Arc<Objects>,
    name: String,
    /// The directory of `HEAD`; in a linked worktree another one than `common`.
    git_directory: PathBuf,
    /// The directory of branches, tags and objects.
    common_directory: PathBuf,
}

impl LocalRepository {
    /// Opens the repository at exactly this path: a working directory, a bare repository or a linked worktree.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let git = open_users(path)?;
        let (git_directory, common_directory) = (git.path().to_owned(), git.commondir().to_owned());
        let objects = Arc::new(Objects::new(path.to_owned(), Owner::User));
        Ok(Self { objects, name: path.display().to_string(), git_directory, common_directory })
    }

    pub(super) const fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    pub(super) fn git_directory(&self) -> &Path {
        &self.git_directory
    }

    pub(super) fn common_directory(&self) -> &Path {
        &self.common_directory
    }

    /// The commit a ref leads to now.
    pub(super) fn resolve(&self, reference: &RefName) -> Result<CommitId, SourceError> {
        self.objects.with(|git| self.resolve_in(git, reference))?
    }

    fn resolve_in(&self, git: &Repository, reference: &RefName) -> Result<CommitId, SourceError> {
        let failed = |error| SourceError::git("read a ref", self.objects.path())(error);
        if let RefName::Commit(commit) = reference {
            let gone = |_| SourceError::CommitGone { repository: self.name.clone(), commit: *commit };
            let object = oid(commit.as_bytes()).and_then(|id| git.find_object(id, None)).map_err(gone)?;
            return peeled(&object, reference);
        }
        let mut candidates = reference.candidates();
        if let RefName::Short(name) = reference {
            // What a person writes to compare with what was fetched last: origin/main.
            candidates.push(format!("refs/remotes/{name}"));
        }
        for name in candidates {
            match git.find_reference(&name).and_then(|found| found.resolve()) {
                Ok(found) => {
                    let target = found.peel(ObjectType::Any).map_err(failed)?;
                    return peeled(&target, reference);
                }
                Err(error) if error.code() == git2::ErrorCode::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut near = Vec::new();
        for branch in git.branches(None).map_err(failed)?.flatten() {
            near.extend(branch.0.name_bytes().ok().map(|name| String::from_utf8_lossy(name).into_owned()));
        }
        let repository = self.name.clone();
        if near.is_empty() {
            return Err(SourceError::Empty { repository });
        }
        near.truncate(super::NEAR);
        Err(SourceError::RefGone { repository, reference: reference.clone(), near })
    }
}

/// Follows tags down to a commit.
pub(super) fn peeled(object: &git2::Object<'_>, reference: &RefName) -> Result<CommitId, SourceError> {
    object.peel_to_commit().map(|commit| CommitId::from_bytes(bytes(commit.id()))).map_err(|_| {
        let found = object.kind().map_or("broken object", |kind| kind.str());
        SourceError::NotACommit { reference: reference.to_string(), found }
    })
}
