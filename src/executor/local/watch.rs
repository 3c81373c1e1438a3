//! Hears of every new `state.json`: one inotify watch a job directory, for renames only, so that what content prints wakes nobody. No decision is taken here.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::files::storage;
use crate::executor::ExecutorError;
use crate::plan::JobName;
use crate::session::STATE_FILE;

/// What happened since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// These jobs have a new state.
    Jobs(BTreeSet<JobName>),
    /// More than the kernel keeps: any job may have one.
    Any,
}

/// The watches of all running jobs.
#[derive(Debug)]
pub(super) struct Watches {
    events: AsyncFd<Descriptor>,
    jobs: Mutex<HashMap<WatchDescriptor, JobName>>,
}

/// Lets tokio wait for inotify.
#[derive(Debug)]
struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watches {
    /// Begins to listen. Must be called in a runtime.
    pub fn new() -> Result<Self, ExecutorError> {
        let failed = |cause: std::io::Error| storage("watching", Path::new("the jobs"), &cause);
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| failed(errno.into()))?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types that swap their descriptor, which this one does not"
        )]
        let events = AsyncFd::with_interest(Descriptor(inotify), Interest::READABLE).map_err(failed)?;
        Ok(Self { events, jobs: Mutex::new(HashMap::new()) })
    }

    /// Listens to one job. What its session wrote before may have been missed, so the state is read afterwards.
    pub fn add(&self, name: &JobName, directory: &Path) -> Result<(), ExecutorError> {
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        match self.events.get_ref().0.add_watch(directory, flags) {
            Ok(watch) => {
                self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(watch, name.clone());
                Ok(())
            }
            Err(Errno::ENOSPC) => Err(ExecutorError::Storage {
                doing: "watching",
                place: directory.display().to_string(),
                problem: "this user has no inotify watches left; raise fs.inotify.max_user_watches with sysctl"
                    .to_owned(),
            }),
            Err(errno) => Err(storage("watching", directory, &errno.into())),
        }
    }

    /// Listens to a job no more.
    pub fn remove(&self, name: &JobName) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|watch, watched| {
            let keep = watched != name;
            if !keep {
                // It is gone already where the directory is.
                let _ = self.events.get_ref().0.rm_watch(*watch);
            }
            keep
        });
    }

    /// Waits until something happened, and takes all that did.
    pub async fn heard(&self) -> std::io::Result<Heard> {
        loop {
            let mut ready = self.events.readable().await?;
            match ready.get_inner().0.read_events() {
                Ok(events) => {
                    let heard = self.sort(&events);
                    if heard != Heard::Jobs(BTreeSet::new()) {
                        return Ok(heard);
                    }
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn sort(&self, events: &[InotifyEvent]) -> Heard {
        if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)) {
            return Heard::Any;
        }
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let states = events.iter().filter(|event| event.name.as_deref().is_some_and(|name| name == STATE_FILE));
        Heard::Jobs(states.filter_map(|event| jobs.get(&event.wd).cloned()).collect())
    }
}
