//! The lease of a package environment: one build at a time, on every host that shares the directory. No lock of the
//! operating system, because those are not to be trusted on network file systems.
//!
//! The lease is a file beside the environment. Its owner counts a number up in it; a waiter takes the lease over when the
//! owner is known to be dead, or when the number stood still for [`SILENCE`] by the waiter's own clock - two hosts' clocks
//! are never compared.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::session::error::SessionError;
use crate::session::protocol::ProcessIdentity;
use crate::session::state::boot_id;

/// How often the owner shows that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// How long an owner may be silent: several beats, as a busy file server delays them.
const SILENCE: Duration = Duration::from_mins(1);

/// What is in the lease file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    job: String,
    host: String,
    /// Process ids mean something only within it.
    pid_namespace: String,
    #[serde(flatten)]
    owner: ProcessIdentity,
    beat: u64,
}

impl Record {
    fn of_this_process(job: &str) -> Result<Self, SessionError> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let owner = ProcessIdentity::current()?;
        Ok(Self { job: job.to_owned(), host, pid_namespace: pid_namespace(), owner, beat: 0 })
    }

    /// Whether both are by the same owner.
    fn same_owner(&self, other: &Self) -> bool {
        self.owner == other.owner && self.host == other.host && self.pid_namespace == other.pid_namespace
    }

    /// Whether the owner is dead for certain; it may be dead without this being known.
    fn is_known_dead(&self, here: &Self) -> bool {
        if self.host != here.host {
            return false;
        }
        // The same host after a restart; a pod's name, which is its host name, never comes again.
        let rebooted = boot_id().is_ok_and(|boot| boot != self.owner.boot_id);
        rebooted || (self.pid_namespace == here.pid_namespace && !self.owner.is_alive())
    }
}

fn pid_namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The answer to a claim.
pub(super) enum Claim {
    /// It is ours.
    Taken(Lease),
    /// Another build has it: the name of its job.
    Held(String),
}

/// A lease that is held; its heart beats until it is released.
pub(super) struct Lease {
    path: PathBuf,
    record: Record,
    ended: Arc<AtomicBool>,
    heart: Option<JoinHandle<()>>,
}

/// What a waiter saw in the lease file, and since when.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<(Vec<u8>, Instant)>,
}

impl Watch {
    /// Whether the file was the same for this long, as far as this waiter saw it.
    fn is_silent(&mut self, found: &[u8], silence: Duration) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == found => since.elapsed() >= silence,
            _ => {
                self.seen = Some((found.to_vec(), Instant::now()));
                silence.is_zero()
            }
        }
    }
}

impl Lease {
    /// Tries to take the lease of an environment. Call it again and again with one watch while it is held: that is
    /// how a silent owner is noticed.
    pub fn claim(environment: &Path, job: &str, watch: &mut Watch) -> Result<Claim, SessionError> {
        let path = lease_path(environment);
        let record = Record::of_this_process(job)?;
        let failed = |cause| SessionError::write(&path, cause);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(&text(&record)).map_err(failed)?;
                Ok(Claim::Taken(Self::hold(path, record)))
            }
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
                let found = match fs::read(&path) {
                    Ok(found) => found,
                    // Released this moment; the next claim will have it.
                    Err(cause) if cause.kind() == ErrorKind::NotFound => Vec::new(),
                    Err(cause) => return Err(SessionError::read(&path, cause)),
                };
                let owner: Option<Record> = serde_json::from_slice(&found).ok();
                let dead = owner.as_ref().is_some_and(|owner| owner.is_known_dead(&record));
                if dead || watch.is_silent(&found, SILENCE) {
                    // What it started may still write into the environment.
                    owner.iter().filter(|_| dead).for_each(|owner| _ = owner.owner.end_leftovers());
                    take_away(&path, &found).map_err(failed)?;
                }
                Ok(Claim::Held(owner.map_or_else(|| "another build".to_owned(), |owner| owner.job)))
            }
            Err(cause) => Err(failed(cause)),
        }
    }

    fn hold(path: PathBuf, record: Record) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (their_path, mut beating, their_ended) = (path.clone(), record.clone(), Arc::clone(&ended));
        let heart = std::thread::spawn(move || {
            loop {
                std::thread::park_timeout(BEAT);
                if their_ended.load(Ordering::Acquire) || !is_owned(&their_path, &beating) {
                    return;
                }
                beating.beat += 1;
                // In place, and only if it is there: a lease that was taken away must not come back.
                let file = OpenOptions::new().write(true).truncate(true).open(&their_path);
                let _ = file.and_then(|mut file| file.write_all(&text(&beating)));
            }
        });
        Self { path, record, ended, heart: Some(heart) }
    }

    /// Whether nobody took it away meanwhile.
    pub fn is_ours(&self) -> bool {
        is_owned(&self.path, &self.record)
    }

    /// Gives the lease back.
    pub fn release(mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(heart) = self.heart.take() {
            heart.thread().unpark();
            let _ = heart.join();
        }
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Beside the environment, as the environment itself is wiped by whoever has the lease.
fn lease_path(environment: &Path) -> PathBuf {
    let mut name = environment.file_name().unwrap_or_default().to_owned();
    name.push(".lease");
    environment.with_file_name(name)
}

fn text(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

fn is_owned(path: &Path, record: &Record) -> bool {
    let found: Option<Record> = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    found.is_some_and(|found| found.same_owner(record))
}

/// Removes a dead lease: by a rename, so that of two waiters one does it, and put back if it was a new one after all.
fn take_away(path: &Path, judged: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}", pid_namespace(), nix::unistd::getpid()).replace(['[', ']', ':'], "-"));
    let aside = path.with_file_name(name);
    match fs::rename(path, &aside) {
        Ok(()) => {}
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause),
    }
    if fs::read(&aside)? != judged {
        // If somebody took the lease in between, the link fails, and the owner notices at its next beat.
        let _ = fs::hard_link(&aside, path);
    }
    fs::remove_file(&aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(environment: &Path) -> Option<String> {
        match Lease::claim(environment, "build-two", &mut Watch::default()).unwrap() {
            Claim::Taken(lease) => {
                lease.release();
                None
            }
            Claim::Held(owner) => Some(owner),
        }
    }

    #[test]
    fn a_living_owner_keeps_it_and_a_dead_one_loses_it() {
        let directory = tempfile::tempdir().unwrap();
        let environment = directory.path().join("key");
        let Claim::Taken(lease) = Lease::claim(&environment, "build-one", &mut Watch::default()).unwrap() else {
            panic!("nobody holds it")
        };
        assert_eq!(held(&environment), Some("build-one".to_owned()));
        assert!(lease.is_ours());
        lease.release();
        assert_eq!(held(&environment), None);

        let mut dead = Record::of_this_process("build-dead").unwrap();
        dead.owner.start_ticks += 1;
        fs::write(lease_path(&environment), text(&dead)).unwrap();
        assert_eq!(held(&environment), Some("build-dead".to_owned()), "the claim that finds it dead only removes it");
        assert_eq!(held(&environment), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing stays behind");
    }

    #[test]
    fn an_owner_elsewhere_is_dead_only_when_silent() {
        let directory = tempfile::tempdir().unwrap();
        let environment = directory.path().join("key");
        let mut elsewhere = Record::of_this_process("build-far").unwrap();
        elsewhere.host = "another-host".to_owned();
        elsewhere.owner.start_ticks += 1;
        fs::write(lease_path(&environment), text(&elsewhere)).unwrap();
        assert_eq!(held(&environment), Some("build-far".to_owned()));
        let mut watch = Watch::default();
        assert!(!watch.is_silent(b"beat 1", SILENCE));
        assert!(watch.is_silent(b"beat 1", Duration::ZERO));
        assert!(!watch.is_silent(b"beat 2", Duration::from_nanos(1)), "a beat starts the silence anew");
    }

    #[test]
    fn a_new_lease_is_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let environment = directory.path().join("key");
        let Claim::Taken(lease) = Lease::claim(&environment, "build-new", &mut Watch::default()).unwrap() else {
            panic!("nobody holds it")
        };
        take_away(&lease_path(&environment), b"what was judged before").unwrap();
        assert!(lease.is_ours());
        lease.release();
    }
}
