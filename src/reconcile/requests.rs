//! What people ask of a reconciler while it runs: suspend, resume, approve, try again, end. Answers are plain values.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Reconciler;
use crate::model::ItemName;
use crate::plan::{Change, PlanDocument, Step};

/// A request. `None` for an item means everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// What is known.
    Status,
    /// The newest plan.
    Plan,
    /// Look at the source now; try failed steps of an item (or all) again.
    Reconcile {
        /// Which.
        item: Option<ItemName>,
    },
    /// Leave an item (or everything) alone.
    Suspend {
        /// Which.
        item: Option<ItemName>,
    },
    /// Take care of it again.
    Resume {
        /// Which.
        item: Option<ItemName>,
    },
    /// Let a blocked set through.
    Approve {
        /// The id that the plan shows.
        id: String,
    },
    /// Compute the selection of items afresh.
    Reselect {
        /// Which.
        items: Vec<ItemName>,
    },
    /// End everything that runs here.
    Down,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It was done.
    Done {
        /// What was done, for people.
        message: String,
    },
    /// It was not done.
    Refused {
        /// Why, and what to do next.
        message: String,
    },
    /// What was asked for, as the documented JSON.
    Document {
        /// The JSON.
        document: serde_json::Value,
    },
}

impl Reconciler {
    /// Does what is asked. Changes show in the next pass.
    pub async fn handle(&mut self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Document { document: self.status().document() },
            Request::Plan => match &self.status().plan {
                Some(plan) => match serde_json::to_value(PlanDocument::from(&**plan)) {
                    Ok(document) => Answer::Document { document },
                    Err(error) => Answer::Refused { message: format!("the plan cannot be written as JSON: {error}") },
                },
                None => Answer::Refused { message: "there is no plan yet; try again in a moment".to_owned() },
            },
            Request::Reconcile { item } => self.try_again(item).await,
            Request::Suspend { item } => self.suspend(item, true).await,
            Request::Resume { item } => self.suspend(item, false).await,
            Request::Approve { id } => self.approve(&id).await,
            Request::Reselect { items } => self.reselect(items).await,
            Request::Down => match self.rooms.executor.down().await {
                Ok(ended) => {
                    Answer::Done { message: format!("ended {}", crate::plan::count(ended, "process", "processes")) }
                }
                Err(error) => Answer::Refused { message: error.to_string() },
            },
        }
    }

    async fn remember(&self, changes: &[Change], done: String) -> Answer {
        match self.rooms.registry.remember(changes, self.rooms.clock.now()).await {
            Ok(()) => Answer::Done { message: done },
            Err(error) => Answer::Refused { message: error.to_string() },
        }
    }

    /// Whether an item is known; a typing error is answered, not remembered.
    async fn unknown(&self, item: &ItemName) -> Option<Answer> {
        let in_commit = self
            .in_force
            .as_ref()
            .is_some_and(|it| it.desired.items.contains_key(item) || it.desired.broken_items.contains_key(item));
        let recorded = self.rooms.registry.view().await.is_ok_and(|view| view.contents.contains_key(item));
        let message = format!("there is no item {item}; wharf ps lists them");
        (!in_commit && !recorded).then_some(Answer::Refused { message })
    }

    async fn suspend(&mut self, item: Option<ItemName>, suspend: bool) -> Answer {
        let verb = if suspend { "suspended" } else { "resumed" };
        match item {
            None => self.remember(&[Change::AllSuspended(suspend)], format!("{verb} everything")).await,
            Some(item) => {
                if let Some(refusal) = self.unknown(&item).await {
                    return refusal;
                }
                let message = format!("{verb} {item}");
                self.remember(&[Change::Suspended(item, suspend)], message).await
            }
        }
    }

    async fn reselect(&mut self, items: Vec<ItemName>) -> Answer {
        for item in &items {
            if let Some(refusal) = self.unknown(item).await {
                return refusal;
            }
        }
        let message = format!("will be selected afresh: {}", names(&items));
        let changes: Vec<Change> = items.into_iter().map(|item| Change::Reselect(item, true)).collect();
        self.remember(&changes, message).await
    }

    /// Forgets failures, so that every failed step is due at once, and looks at the source.
    async fn try_again(&mut self, item: Option<ItemName>) -> Answer {
        self.look_again();
        if let Some(item) = &item
            && let Some(refusal) = self.unknown(item).await
        {
            return refusal;
        }
        let view = match self.rooms.registry.view().await {
            Ok(view) => view,
            Err(error) => return Answer::Refused { message: error.to_string() },
        };
        let builds: BTreeSet<_> = item
            .iter()
            .flat_map(|item| view.memory.revisions.get(item).into_iter().flatten())
            .filter_map(|form| form.content.as_ref()?.packages.as_ref().map(|packages| packages.key.clone()))
            .collect();
        let concerned = |step: &Step| match (&item, step) {
            (None, _) => true,
            (Some(_), Step::Build(key)) => builds.contains(key),
            (Some(item), step) => step.item() == Some(item),
        };
        // The failures are forgotten, the attempt's number is not: its name was used.
        let changes: Vec<Change> = view
            .memory
            .outcomes
            .iter()
            .filter(|(step, outcome)| !outcome.succeeded && concerned(step))
            .map(|(step, outcome)| {
                let fresh = crate::plan::Outcome { failures: 0, next_try: None, ..outcome.clone() };
                Change::Outcome(step.clone(), fresh)
            })
            .collect();
        drop(view);
        let what = item.map_or_else(|| "everything".to_owned(), |item| item.to_string());
        self.remember(&changes, format!("looking at {what} again")).await
    }

    async fn approve(&mut self, id: &str) -> Answer {
        if self.status().plan.is_none()
            && let Err(error) = self.plan(false).await
        {
            return Answer::Refused { message: error.to_string() };
        }
        let blocked =
            self.status().plan.as_ref().and_then(|plan| plan.blocked.iter().find(|it| it.approval == id).cloned());
        match blocked {
            Some(blocked) => {
                let message = format!(
                    "approved: {} of {}",
                    crate::plan::count(u32::try_from(blocked.things.len()).unwrap_or(u32::MAX), "thing", "things"),
                    blocked.budget
                );
                self.remember(&[Change::Approve(blocked.things.into_iter().collect())], message).await
            }
            None => Answer::Refused {
                message: format!("nothing waits for the approval {id}; wharf diff shows what is held back and its id"),
            },
        }
    }
}

fn names(items: &[ItemName]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
