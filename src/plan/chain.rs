//! An item's operations while they are collected. It knows how an operation is put together, not which are needed.

use jiff::Timestamp;
use serde_json::Value;

use super::item::ItemPlan;
use super::observed::{ObservedJob, Ownership};
use super::operation::{Action, Operation, Payload, Precondition, Subject, Wait};
use super::steps::Aside;
use crate::model::{Digest, ItemName};

/// Collects the operations of one item.
pub(super) struct Chain {
    item: ItemName,
    operations: Vec<Operation>,
    pub aside: Aside,
    next_wake: Option<Timestamp>,
}

impl Chain {
    pub fn new(item: &ItemName) -> Self {
        Self { item: item.clone(), operations: Vec::new(), aside: Aside::default(), next_wake: None }
    }

    pub fn finish(self) -> ItemPlan {
        ItemPlan { operations: self.operations, aside: self.aside, next_wake: self.next_wake }
    }

    /// Something becomes due at this time.
    pub fn wake(&mut self, time: Timestamp) {
        self.next_wake = Some(self.next_wake.map_or(time, |earlier| earlier.min(time)));
    }

    /// Adds an operation that waits for nothing.
    pub fn push(
        &mut self,
        action: Action,
        subject: Subject,
        reason: &str,
        before: Option<Value>,
        precondition: Precondition,
        payload: Payload,
    ) {
        self.operations.push(Operation {
            action,
            subject,
            item: Some(self.item.clone()),
            reason: reason.to_owned(),
            before,
            after: Vec::new(),
            precondition,
            payload,
            housekeeping: false,
            due: true,
        });
    }

    /// Whether an operation on this subject was planned.
    pub fn touches(&self, subject: &Subject) -> bool {
        self.operations.iter().any(|operation| operation.subject == *subject)
    }

    /// Makes the last operation wait.
    pub fn last_waits(&mut self, after: impl IntoIterator<Item = Wait>) {
        if let Some(operation) = self.operations.last_mut() {
            operation.after.extend(after);
        }
    }

    /// Ends a job of ours; one of somebody else's is left alone.
    pub fn end_job(&mut self, job: &ObservedJob, reason: &str, after: Option<Wait>) {
        if job.ownership == Ownership::Foreign {
            return;
        }
        let precondition = Precondition::Present { uid: job.uid.clone(), digest: Digest::of(job.name.as_str()) };
        let subject = Subject::Job(job.name.clone());
        self.push(Action::Delete, subject, reason, None, precondition, Payload::Nothing);
        self.last_waits(after);
    }
}
