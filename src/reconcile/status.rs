//! What the reconciler knows about itself: the commit in force, what is wrong with a newer one, the newest plan.

use std::sync::Arc;

use jiff::Timestamp;

use super::commits::SharedSnapshot;
use crate::desired::Desired;
use crate::model::{CommitId, Diagnostics};
use crate::plan::Plan;

/// A commit that was taken in.
#[derive(Clone)]
pub struct InForce {
    /// Which.
    pub commit: CommitId,
    /// What it asks for.
    pub desired: Arc<Desired>,
    /// Where its bytes are.
    pub snapshot: SharedSnapshot,
}

/// What is known.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The commit in force.
    pub commit: Option<CommitId>,
    /// The newest commit that was seen.
    pub newest: Option<CommitId>,
    /// Why the source could not be asked, the last time it was.
    pub source_error: Option<String>,
    /// How many looks in a row failed.
    pub source_failures: u32,
    /// Why the newest commit is not in force.
    pub refusal: Option<String>,
    /// The problems of the newest commit that was read.
    pub diagnostics: Diagnostics,
    /// The newest plan.
    pub plan: Option<Arc<Plan>>,
    /// When it was made.
    pub planned: Option<Timestamp>,
}

impl Status {
    pub(super) fn seen(&mut self, commit: CommitId) {
        self.newest = Some(commit);
        self.source_error = None;
        self.source_failures = 0;
    }

    pub(super) fn source_failed(&mut self, message: String) {
        self.source_error = Some(message);
        self.source_failures = self.source_failures.saturating_add(1);
    }

    pub(super) fn refused(&mut self, commit: CommitId, reason: String) {
        tracing::warn!(%commit, %reason, "the commit is not put in force");
        self.refusal = Some(reason);
    }

    pub(super) fn not_applicable(&mut self, commit: CommitId, desired: &Desired) {
        self.diagnostics = desired.diagnostics.clone();
        let first = desired.diagnostics.0.iter().find(|it| it.is_error() && at_policy(it));
        let why = first.map_or_else(|| "its wharf.yaml cannot be applied".to_owned(), |it| it.message.clone());
        self.refused(commit, format!("{why}; the last good commit stays in force until wharf.yaml is mended"));
    }

    pub(super) fn in_force(&mut self, commit: CommitId, desired: &Desired) {
        self.fell_back(commit, desired);
        self.refusal = None;
    }

    pub(super) fn fell_back(&mut self, commit: CommitId, desired: &Desired) {
        self.commit = Some(commit);
        self.diagnostics = desired.diagnostics.clone();
    }

    pub(super) fn planned(&mut self, plan: Arc<Plan>, now: Timestamp) {
        self.plan = Some(plan);
        self.planned = Some(now);
    }

    /// The status as the documented JSON.
    pub fn document(&self) -> serde_json::Value {
        let errors = self.diagnostics.0.iter().filter(|it| it.is_error()).count();
        serde_json::json!({
            "version": 1,
            "commit": self.commit,
            "newest": self.newest,
            "source_error": self.source_error,
            "refusal": self.refusal,
            "errors": errors,
            "diagnostics": self.diagnostics,
            "planned": self.planned,
            "plan": self.plan.as_ref().map(|plan| crate::plan::PlanDocument::from(&**plan)),
        })
    }

    /// Why nothing is in force.
    pub(super) fn why_no_commit(&self) -> String {
        let why = self.refusal.clone().or_else(|| self.source_error.clone());
        why.unwrap_or_else(|| "the source has none".to_owned())
    }
}

fn at_policy(diagnostic: &crate::model::Diagnostic) -> bool {
    diagnostic.place.as_ref().is_some_and(|place| place.file.as_ref() == "wharf.yaml")
}
