//! The plan as JSON: the stable form behind `wharf diff --output json`, described by `schemas/plan.v1.json`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::operation::{
    Action, BackingOff, Blocked, Cost, InFlight, Note, Operation, Payload, Plan, Precondition, Stalled, Subject, Wait,
};

/// The version of this form. A field may be added to it; none changes its meaning or goes.
pub const PLAN_VERSION: u32 = 1;

/// A plan as it is printed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Plan", description = "What wharf would do to make the world equal to the commit.")]
pub struct PlanDocument<'a> {
    /// The version of this form: 1.
    pub version: u32,
    /// A hash of the operations and of what they were computed from.
    pub id: &'a str,
    /// Whether there is nothing left to do: `diff` exits 0.
    pub empty: bool,
    /// What it costs.
    pub cost: Cost,
    /// What is done, in its order.
    pub operations: Vec<OperationDocument<'a>>,
    /// What was started and is not at its end.
    pub in_flight: &'a [InFlight],
    /// What failed and is tried again.
    pub backing_off: &'a [BackingOff],
    /// What cannot get on without a person.
    pub stalled: &'a [Stalled],
    /// What a budget holds back.
    pub blocked: &'a [Blocked],
    /// What is worth knowing.
    pub notes: &'a [Note],
}

/// One operation as it is printed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperationDocument<'a> {
    /// What is done.
    pub action: Action,
    /// To what.
    pub subject: &'a Subject,
    /// For which item; environments have none.
    pub item: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// The subject as it is; null where it is not there.
    pub before: Option<&'a Value>,
    /// The subject as it will be; null where it goes.
    #[schemars(with = "Option<Value>")]
    pub after: After<'a>,
    /// What must hold before it is issued.
    pub waits_for: &'a [Wait],
    /// Whether it is issued in the next pass.
    pub due: bool,
    /// What must still be true of the subject then.
    pub precondition: &'a Precondition,
    /// Whether it only takes away what is old: no reason for `diff` to exit 1.
    pub housekeeping: bool,
}

/// What an operation leads to. It is written from the payload as it is, so that a large plan is held in memory once.
#[derive(Debug)]
pub struct After<'a>(&'a Operation);

impl Serialize for After<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.payload {
            _ if self.0.action == Action::Delete => serializer.serialize_none(),
            Payload::Environment { form, .. } => form.serialize(serializer),
            Payload::Content { form, .. } => form.serialize(serializer),
            Payload::Bundle(spec) => spec.serialize(serializer),
            Payload::Job(spec) => spec.serialize(serializer),
            Payload::Service(spec) => spec.serialize(serializer),
            Payload::Result { .. } | Payload::Nothing => serializer.serialize_none(),
        }
    }
}

impl<'a> From<&'a Operation> for OperationDocument<'a> {
    fn from(operation: &'a Operation) -> Self {
        Self {
            action: operation.action,
            subject: &operation.subject,
            item: operation.item.as_ref().map(crate::model::ItemName::as_str),
            reason: &operation.reason,
            before: operation.before.as_ref(),
            after: After(operation),
            waits_for: &operation.after,
            due: operation.due,
            precondition: &operation.precondition,
            housekeeping: operation.housekeeping,
        }
    }
}

impl<'a> From<&'a Plan> for PlanDocument<'a> {
    fn from(plan: &'a Plan) -> Self {
        Self {
            version: PLAN_VERSION,
            id: plan.id.as_str(),
            empty: plan.is_empty(),
            cost: plan.cost,
            operations: plan.operations.iter().map(OperationDocument::from).collect(),
            in_flight: &plan.in_flight,
            backing_off: &plan.backing_off,
            stalled: &plan.stalled,
            blocked: &plan.blocked,
            notes: &plan.notes,
        }
    }
}
