//! One commit, read as a whole: policy, environments and items in the order in which they depend on each other.

use std::sync::Arc;

use super::cache::{Cache, Reading};
use super::ceiling::{self, Admission, Ceiling};
use super::environment_files::{self, Joined};
use super::policy::{self, PolicyFile};
use super::snapshot::{Entry, EntryKind, Snapshot};
use super::walk::{self, Context};
use super::{Desired, ReadError, crosscheck, yaml};
use crate::model::{Code, Diagnostic, Diagnostics, Digest, Place, Policy, TreeId};

/// The policy is no regular file, or cannot be read.
pub const POLICY_FILE: Code = Code::new("E0613");

/// The policy's name.
const POLICY: &str = "wharf.yaml";

/// Reads what a commit asks for, within what the operator allows. The cache makes it fast and changes nothing else.
pub fn read(snapshot: &dyn Snapshot, ceiling: &Ceiling, cache: &Cache) -> Result<Desired, ReadError> {
    let root = snapshot.root();
    let unreadable = |source| ReadError::Unreadable { directory: String::new(), source };
    let entries = snapshot.directory(root).map_err(unreadable)?;
    if entries.is_empty() {
        return Err(ReadError::Empty);
    }
    let mut problems = Vec::new();
    let asked = policy(snapshot, &entries, &mut problems);
    let (narrowed, refused) = ceiling::narrow(ceiling, &asked);
    problems.extend(refused);
    let applicable = narrowed.is_some();
    let policy = narrowed.unwrap_or_else(|| fallback(ceiling));
    let former = cache.readings();
    let context = Context::new(snapshot, &policy, directory(&entries, "content").is_some());
    let roots: Vec<_> = former.iter().map(|reading| Arc::clone(&reading.root)).collect();
    let walked = walk::walk(&context, &roots)?;
    let old: Vec<_> = former.iter().map(|reading| Arc::clone(&reading.files)).collect();
    let files = environment_files::read(snapshot, directory(&entries, environment_files::DIRECTORY), &old)?;
    let admission = Admission::of(&policy, ceiling)?;
    let rules = Digest::of(format!("{} {ceiling:?}", context.digest));
    let known = former.iter().find(|reading| Arc::ptr_eq(&reading.files, &files) && reading.joined.0 == rules);
    let joined = known.map_or_else(
        || Arc::new(environment_files::join_files(&files, |all| admission.admit(all))),
        |reading| Arc::clone(&reading.joined.1),
    );
    drop(context);
    cache.keep(Reading { root: Arc::clone(&walked), files, joined: (rules, Arc::clone(&joined)) });
    Ok(assemble(policy, applicable, problems, &joined, &walked))
}

fn assemble(
    policy: Policy,
    applicable: bool,
    mut problems: Vec<Diagnostic>,
    joined: &Joined,
    walked: &walk::Node,
) -> Desired {
    let items = crosscheck::items(&walked.found);
    problems.extend(joined.problems.iter().cloned());
    problems.extend(walked.problems.iter().map(|problem| Diagnostic::clone(problem)));
    problems.extend(walked.found.iter().flat_map(|found| found.diagnostics.iter().cloned()));
    problems.extend(items.problems);
    Desired {
        policy: Arc::new(policy),
        environments: joined.environments.clone(),
        broken_environments: joined.broken.clone(),
        environments_complete: joined.complete,
        items: items.items,
        broken_items: items.broken,
        diagnostics: Diagnostics(problems).sorted(),
        applicable,
    }
}

/// What is read by when the commit's own policy is broken: the commit is not applied, but its problems are all shown.
fn fallback(ceiling: &Ceiling) -> Policy {
    ceiling::narrow(ceiling, &PolicyFile::absent()).0.unwrap_or_default()
}

fn directory(entries: &[Entry], name: &str) -> Option<TreeId> {
    entries.iter().find_map(|entry| match entry.kind {
        EntryKind::Directory(tree) if entry.name == name.as_bytes() => Some(tree),
        _ => None,
    })
}

/// The policy that the commit asks for. A policy that is there in any form and cannot be read is broken, never absent.
fn policy(snapshot: &dyn Snapshot, entries: &[Entry], problems: &mut Vec<Diagnostic>) -> PolicyFile {
    let named = |name: &str| entries.iter().find(|entry| entry.name == name.as_bytes());
    let broken = |message: String, file: &str, help: &str| {
        let problem = Diagnostic::error(POLICY_FILE, Place::file(file), message).with_help(help);
        PolicyFile { policy: None, diagnostics: vec![problem], ..PolicyFile::absent() }
    };
    let read = match (named(POLICY).map(|entry| entry.kind), named("wharf.yml")) {
        (None, None) => PolicyFile::absent(),
        (None, Some(_)) => {
            let message = "expected the policy in wharf.yaml, found wharf.yml, which is not read".to_owned();
            broken(message, "wharf.yml", "rename it; until then the commit is not applied")
        }
        (Some(EntryKind::File { blob, .. }), _) => match snapshot.blob(blob, yaml::MAX_BYTES as u64) {
            Ok(bytes) => policy::read_policy(POLICY, &bytes),
            Err(error) => {
                let help = "commit a readable file; until then the commit is not applied";
                broken(format!("expected the policy, found that {error}"), POLICY, help)
            }
        },
        (Some(_), _) => {
            let message = "expected a regular file, found a link or a directory".to_owned();
            broken(message, POLICY, "commit the policy itself; until then the commit is not applied")
        }
    };
    problems.extend(read.diagnostics.iter().cloned());
    read
}
