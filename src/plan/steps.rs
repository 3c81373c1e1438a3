//! The state of one step of an item's chain: done, under way, to be started, waiting for its next try, or given up.

use jiff::Timestamp;

use super::memory::{Memory, Outcome, Step};
use super::names::JobName;
use super::observed::{ObservedJob, Phase};
use super::operation::{BackingOff, InFlight, Stalled};
use crate::model::ItemName;

/// How far a step is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Progress {
    /// Nothing is left to do.
    Done,
    /// A job is at it.
    UnderWay(JobName),
    /// A job of this attempt number is to be started.
    Start(u32),
    /// It failed, and is tried again later.
    BackingOff(Timestamp),
    /// It failed too often.
    GivenUp,
}

/// Decides how far a step is, from the jobs at it (of any attempt) and what is remembered.
///
/// `arrived` says which phase of a live job is the aim of the step: ready for runs, none for builds and renders.
pub(super) fn progress<'a>(
    jobs: impl Iterator<Item = &'a ObservedJob>,
    outcome: Option<&Outcome>,
    now: Timestamp,
    arrived: impl Fn(&Phase) -> bool,
) -> Progress {
    let mut last_attempt = None;
    for job in jobs {
        if arrived(&job.phase) {
            return Progress::Done;
        }
        if job.phase.is_active() {
            return Progress::UnderWay(job.name.clone());
        }
        last_attempt = last_attempt.max(Some(job.attempt));
    }
    let Some(outcome) = outcome else {
        return Progress::Start(last_attempt.map_or(0, |attempt| attempt + 1));
    };
    let next = last_attempt.unwrap_or(0).max(outcome.attempt) + 1;
    match outcome.next_try {
        _ if outcome.is_exhausted() => Progress::GivenUp,
        Some(time) if time > now => Progress::BackingOff(time),
        _ => Progress::Start(next),
    }
}

/// What is listed for a step that is not done.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Aside {
    pub in_flight: Vec<InFlight>,
    pub backing_off: Vec<BackingOff>,
    pub stalled: Vec<Stalled>,
}

impl Aside {
    /// Lists a job that is under way.
    pub fn under_way(&mut self, item: &ItemName, job: &ObservedJob) {
        let progress = match &job.phase {
            Phase::Starting { progress } => progress.clone(),
            Phase::Stopping => Some("ending".to_owned()),
            _ => None,
        };
        self.in_flight.push(InFlight {
            item: item.clone(),
            job: job.name.clone(),
            role: job.role,
            progress,
            since: job.started,
        });
    }

    /// Lists a step that waits for its next try.
    pub fn waits(&mut self, item: &ItemName, what: &str, outcome: Option<&Outcome>, next_try: Timestamp) {
        self.backing_off.push(BackingOff {
            item: item.clone(),
            step: what.to_owned(),
            failures: outcome.map_or(0, |outcome| outcome.failures),
            next_try,
            reason: outcome.and_then(|outcome| outcome.reason.clone()).unwrap_or_default(),
        });
    }

    /// Lists a step that was given up.
    pub fn gave_up(&mut self, item: &ItemName, what: &str, outcome: Option<&Outcome>) {
        let failures = outcome.map_or(0, |outcome| outcome.failures);
        let reason = outcome.and_then(|outcome| outcome.reason.as_deref()).unwrap_or("no reason was kept");
        self.stalled.push(Stalled {
            name: item.to_string(),
            reason: format!("{what} failed {failures} times: {reason}"),
            help: Some(format!("mend it and commit, or try again as it is: wharf reconcile {item}")),
            tail: outcome.map(|outcome| outcome.tail.clone()).unwrap_or_default(),
        });
    }
}

/// What is remembered of a step.
pub(super) fn remembered<'a>(memory: &'a Memory, step: &Step) -> Option<&'a Outcome> {
    memory.outcomes.get(step)
}
