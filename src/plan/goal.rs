//! What should be, once every item was given its environment: the plan's first input. Made by `resolve.rs` and the reconciler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::observed::Origin;
use super::wanted::Wanted;
use crate::model::{Digest, Environment, ImageRef, ItemName, Policy};

/// An environment's record as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedEnvironment {
    /// The environment.
    pub form: Arc<Environment>,
    /// The digest of its canonical JSON.
    pub digest: Digest,
    /// Where it stands in Git.
    pub origin: Origin,
}

/// What should become of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemGoal {
    /// It should be this.
    Wanted(Arc<Wanted>),
    /// It cannot be read or has no environment: its last good state stays.
    Keep {
        /// Why, in one line.
        reason: String,
        /// What to do next.
        help: Option<String>,
    },
    /// This host lacks its language: reported, and no failure.
    NotRunnableHere {
        /// What is missing and what to install.
        reason: String,
    },
}

/// Choices of the operator that shape a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether objects of somebody else are taken over.
    pub adopt: bool,
    /// Whether schedules fire (only in `wharf run`).
    pub fire_schedules: bool,
}

/// What should be.
#[derive(Debug, Clone, Copy)]
pub struct Goal<'a> {
    /// Environments by image.
    pub environments: &'a BTreeMap<ImageRef, WantedEnvironment>,
    /// Environments whose entry is broken: their records stay as they are.
    pub broken_environments: &'a BTreeMap<ImageRef, String>,
    /// Whether every environment file was read; otherwise no environment is deleted.
    pub environments_complete: bool,
    /// Items by name.
    pub items: &'a BTreeMap<ItemName, ItemGoal>,
    /// Notes that came up while the items were resolved.
    pub notes: &'a BTreeSet<super::operation::Note>,
    /// Budgets, limits, drift.
    pub policy: &'a Policy,
    /// The operator's choices.
    pub options: Options,
}
