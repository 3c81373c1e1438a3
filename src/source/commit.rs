//! What a commit says about itself. Whether its signature is to be trusted is decided elsewhere.

use git2::{Commit, Repository};
use jiff::Timestamp;

use super::tree::oid;
use crate::model::CommitId;

/// The longest subject that is kept, in characters.
const LONGEST_SUBJECT: usize = 200;

/// A commit for people and for the history. Its texts come from the repository and may hold anything, control characters too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The commit.
    pub id: CommitId,
    /// Who wrote it, as `Name <address>`.
    pub author: String,
    /// When it was written.
    pub authored: Timestamp,
    /// When it was made; later than `authored` after a rebase.
    pub committed: Timestamp,
    /// The first line of its message, at most 200 characters.
    pub subject: String,
    /// Its signature, where it has one.
    pub signature: Option<CommitSignature>,
}

/// A signature that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSignature {
    /// The armoured signature: OpenPGP or SSH.
    pub armoured: Vec<u8>,
    /// The bytes it signs.
    pub payload: Vec<u8>,
}

/// Reads a commit.
pub(super) fn read(git: &Repository, id: CommitId) -> Result<CommitInfo, git2::Error> {
    let commit = git.find_commit(oid(id.as_bytes())?)?;
    let author = commit.author();
    let name = String::from_utf8_lossy(author.name_bytes()).into_owned();
    let address = String::from_utf8_lossy(author.email_bytes()).into_owned();
    Ok(CommitInfo {
        id,
        author: if address.is_empty() { name } else { format!("{name} <{address}>") },
        authored: timestamp(author.when()),
        committed: timestamp(commit.time()),
        subject: subject(&commit),
        signature: git
            .extract_signature(&oid(id.as_bytes())?, None)
            .ok()
            .map(|(armoured, payload)| CommitSignature { armoured: armoured.to_vec(), payload: payload.to_vec() }),
    })
}

fn subject(commit: &Commit<'_>) -> String {
    let message = String::from_utf8_lossy(commit.message_bytes());
    message.lines().next().unwrap_or_default().trim().chars().take(LONGEST_SUBJECT).collect()
}

/// A time no calendar holds becomes 1970; it is only shown.
fn timestamp(time: git2::Time) -> Timestamp {
    Timestamp::from_second(time.seconds()).unwrap_or(Timestamp::UNIX_EPOCH)
}
