//! The rules that every registry shares: when a record may be written or deleted, and how its identity is made. Nothing is stored here.

use jiff::Timestamp;

use super::{Expected, RecordName, RegistryError};
use crate::model::Digest;
use crate::plan::{Ownership, Uid};

/// A record as far as a precondition looks at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) uid: &'a Uid,
    pub(super) stored: &'a Digest,
    pub(super) ownership: Ownership,
    /// Whether its form can be read: one that cannot be counts as absent, as it does in the view.
    pub(super) readable: bool,
}

/// Whether a record may be written.
pub(super) fn check_write(
    name: &RecordName,
    expected: &Expected,
    found: Option<Found<'_>>,
) -> Result<(), RegistryError> {
    let fits = match (expected, found) {
        (Expected::Absent, None) => true,
        (Expected::Absent, Some(found)) => !found.readable && found.ownership == Ownership::Ours,
        (Expected::Present { uid, stored }, Some(found)) => uid == found.uid && stored == found.stored,
        (Expected::Present { .. }, None) => false,
    };
    if fits { Ok(()) } else { Err(moved(name, expected, found)) }
}

/// Whether a record may be deleted. `Absent` says that there is nothing to delete.
pub(super) fn check_delete(
    name: &RecordName,
    expected: &Expected,
    found: Option<Found<'_>>,
) -> Result<(), RegistryError> {
    check_write(name, expected, found)?;
    match found {
        Some(Found { ownership: Ownership::Foreign, .. }) => Err(RegistryError::Moved {
            name: name.to_string(),
            expected: "one of this instance's own".to_owned(),
            found: "one of another instance, which is never deleted".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn moved(name: &RecordName, expected: &Expected, found: Option<Found<'_>>) -> RegistryError {
    let present = |uid: &Uid, stored: &Digest| format!("{} with the content {}", uid.0, stored.prefix(10));
    RegistryError::Moved {
        name: name.to_string(),
        expected: match expected {
            Expected::Absent => "none".to_owned(),
            Expected::Present { uid, stored } => present(uid, stored),
        },
        found: found.map_or_else(|| "none".to_owned(), |found| present(found.uid, found.stored)),
    }
}

/// The identity of a new record. `number` is counted up by the storage with each new record and never repeats there.
pub(super) fn new_uid(name: &RecordName, now: Timestamp, number: i64) -> Uid {
    Uid(Digest::of(format!("{}\0{}\0{now}\0{number}", name.kind(), name.as_str())).prefix(32))
}
