//! What former readings found, so that the next one costs what changed. Nothing here decides; every answer is the same
//! without it.
//!
//! The last few readings are kept whole, and a new one walks beside them: a directory whose tree id is the same is taken
//! over with everything below it. What no kept reading holds is freed with the last one that held it, so the cache
//! cannot grow beyond a few commits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::environment_files::{EnvironmentFiles, Joined};
use super::walk::Node;
use crate::model::Digest;

/// How many readings are kept: the commit that runs, the one that comes, and both sides of a comparison.
const KEPT: usize = 4;

/// One reading of a commit.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Its directories and items.
    pub root: Arc<Node>,
    /// Its environment files.
    pub files: Arc<EnvironmentFiles>,
    /// The environments, and the digest of the rules they were joined under.
    pub joined: (Digest, Arc<Joined>),
}

/// The last few readings. One cache serves one repository; another repository finds nothing in it.
#[derive(Debug, Default)]
pub struct Cache {
    readings: Mutex<VecDeque<Reading>>,
}

impl Cache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The readings, newest first. A panic of another thread leaves them whole: they are only replaced.
    pub(super) fn readings(&self) -> Vec<Reading> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Keeps a reading, and frees the oldest. One that found the same as a kept one takes its place.
    pub(super) fn keep(&self, reading: Reading) {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.retain(|kept| !(Arc::ptr_eq(&kept.root, &reading.root) && Arc::ptr_eq(&kept.files, &reading.files)));
        readings.push_front(reading);
        readings.truncate(KEPT);
    }
}
