//! Does what a plan says, in its order, and reports how each operation went. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::executor::{BundleReader, Executor, ExecutorError, Garbage};
use crate::model::ItemName;
use crate::plan::{
    Action, BundleSpec, Change, Operation, Outcome, Payload, Plan, Precondition, Step, Subject, backoff,
};
use crate::registry::{Expected, NewRecord, OperationResult, RecordName, Registry, RegistryError};

/// Items worked on at once.
const CONCURRENCY: usize = 16;

/// Gives the files of a bundle while it is written.
pub trait Bundles: Send + Sync {
    /// A reader of the bundle's files, or why the commit in force has none.
    fn reader(&self, bundle: &BundleSpec) -> Result<Arc<dyn BundleReader>, String>;
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error("{0}")]
    Bundle(String),
    #[error("the plan holds {0}, which this version cannot do")]
    Unsupported(String),
}

impl ApplyError {
    /// The world moved since the plan was made: the next pass sees it as it is, and nobody is to blame.
    const fn is_moved(&self) -> bool {
        matches!(self, Self::Registry(RegistryError::Moved { .. }) | Self::Executor(ExecutorError::Moved { .. }))
    }
}

/// What became of a plan.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// One entry an operation that was tried, housekeeping apart.
    pub results: Vec<OperationResult>,
    /// Whether anything was done, so that another pass may find more that is due.
    pub progressed: bool,
    /// Whether something was not as the plan saw it: the next pass sees it as it is.
    pub moved: bool,
    /// Failures to remember, and those to forget.
    pub changes: Vec<Change>,
    /// The first failure of an operation that belongs to no item.
    pub failed: bool,
}

/// The rooms an operation reaches into.
pub struct Hands<'a> {
    /// Where records live.
    pub registry: &'a dyn Registry,
    /// Where jobs run.
    pub executor: &'a dyn Executor,
    /// Where files come from.
    pub bundles: &'a dyn Bundles,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Failures of writes so far.
    pub outcomes: &'a BTreeMap<Step, Outcome>,
}

/// Does every operation that is due. Environments come first; items go on at the same time, each in its own order, and
/// one that fails holds back only what follows it. When `cancel` is cancelled nothing new is begun.
pub async fn apply(plan: &Plan, hands: &Hands<'_>, cancel: &CancellationToken) -> Applied {
    let mut applied = Applied::default();
    let due = |operation: &&Operation| operation.due && !operation.housekeeping;
    let (first, last): (Vec<_>, Vec<_>) = plan
        .operations
        .iter()
        .filter(due)
        .filter(|operation| operation.item.is_none())
        .partition(|operation| operation.action != Action::Delete);
    for operation in first {
        applied.take(None, hands.sequence(&[operation], cancel).await);
    }
    let mut items: BTreeMap<&ItemName, Vec<&Operation>> = BTreeMap::new();
    for operation in plan.operations.iter().filter(due) {
        if let Some(item) = &operation.item {
            items.entry(item).or_default().push(operation);
        }
    }
    let work = items.into_iter().map(|(item, operations)| async move {
        let done = hands.sequence(&operations, cancel).await;
        (item, done)
    });
    let mut work = futures::stream::iter(work).buffer_unordered(CONCURRENCY);
    while let Some((item, done)) = work.next().await {
        let change = hands.outcome(item, &done);
        applied.changes.extend(change);
        applied.take(Some(item), done);
    }
    for operation in last {
        applied.take(None, hands.sequence(&[operation], cancel).await);
    }
    for operation in plan.operations.iter().filter(|operation| operation.housekeeping && operation.due) {
        if cancel.is_cancelled() {
            break;
        }
        if let Err(error) = hands.collect(operation).await {
            tracing::warn!(subject = %operation.subject, %error, "could not take away what is old");
        }
    }
    applied
}

/// What came of operations done one after the other.
#[derive(Default)]
struct Sequence {
    results: Vec<OperationResult>,
    error: Option<ApplyError>,
}

impl Applied {
    fn take(&mut self, item: Option<&ItemName>, done: Sequence) {
        let succeeded = done.results.iter().any(|result| result.error.is_none());
        self.moved |= done.error.as_ref().is_some_and(ApplyError::is_moved);
        self.progressed |= succeeded;
        self.failed |= item.is_none() && done.error.is_some();
        self.results.extend(done.results);
    }
}

impl Hands<'_> {
    async fn sequence(&self, operations: &[&Operation], cancel: &CancellationToken) -> Sequence {
        let mut done = Sequence::default();
        let mut failed: BTreeSet<&Subject> = BTreeSet::new();
        for operation in operations {
            if cancel.is_cancelled() || !failed.is_empty() {
                break;
            }
            let begun = Instant::now();
            let result = self.operation(operation).await;
            done.results.push(OperationResult {
                operation: format!("{} {} {}", operation.action, operation.subject.kind(), operation.subject),
                item: operation.item.clone(),
                reason: operation.reason.clone(),
                error: result.as_ref().err().map(ToString::to_string),
                milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
            if let Err(error) = result {
                tracing::warn!(subject = %operation.subject, action = %operation.action, %error, "an operation failed");
                failed.insert(&operation.subject);
                done.error = Some(error);
            }
        }
        done
    }

    /// How a failed or mended item is remembered.
    fn outcome(&self, item: &ItemName, done: &Sequence) -> Option<Change> {
        let step = Step::Write { item: item.clone() };
        let known = self.outcomes.get(&step);
        match &done.error {
            Some(error) if !error.is_moved() => {
                let failures =
                    known.map_or(0, |outcome| outcome.failures).saturating_add(1).min(crate::plan::MAX_RETRIES);
                let now = self.clock.now();
                Some(Change::Outcome(
                    step,
                    Outcome {
                        job: None,
                        attempt: 0,
                        failures,
                        succeeded: false,
                        next_try: Some(now.checked_add(backoff(failures)).unwrap_or(now)),
                        reason: Some(error.to_string()),
                        tail: Vec::new(),
                        recorded: now,
                    },
                ))
            }
            Some(_) => None,
            None => known.is_some().then_some(Change::Forget(step)),
        }
    }

    async fn operation(&self, operation: &Operation) -> Result<(), ApplyError> {
        match (&operation.payload, operation.action) {
            (Payload::Environment { form, origin }, action) if action != Action::Delete => {
                let record = NewRecord::Environment(form.clone());
                self.registry.write(record, origin.clone(), expected(operation), self.clock.now()).await?;
            }
            (Payload::Content { form, origin }, action) if action != Action::Delete => {
                let record = NewRecord::Content(form.clone());
                self.registry.write(record, origin.clone(), expected(operation), self.clock.now()).await?;
            }
            (Payload::Bundle(spec), Action::Create) => {
                let reader = self.bundles.reader(spec).map_err(ApplyError::Bundle)?;
                self.executor.write_bundle(spec, reader).await?;
            }
            (Payload::Job(spec), Action::Create) => self.executor.start(spec, self.clock.now()).await?,
            (Payload::Service(spec), action) if action != Action::Delete => self.executor.publish(spec).await?,
            (Payload::Nothing, Action::Delete) => self.delete(operation).await?,
            _ => return Err(unsupported(operation)),
        }
        Ok(())
    }

    async fn delete(&self, operation: &Operation) -> Result<(), ApplyError> {
        match (&operation.subject, &operation.precondition, &operation.item) {
            (Subject::Environment(image), _, _) => {
                let name = RecordName::Environment(image.clone());
                self.registry.delete(name, expected(operation)).await?;
            }
            (Subject::Content(item), _, _) => {
                self.registry.delete(RecordName::Content(item.clone()), expected(operation)).await?;
            }
            (Subject::Job(name), Precondition::Present { uid, .. }, _) => self.executor.stop(name, uid).await?,
            (Subject::Service(_), _, Some(item)) => self.executor.unpublish(item, &item.slug()).await?,
            _ => return Err(unsupported(operation)),
        }
        Ok(())
    }

    async fn collect(&self, operation: &Operation) -> Result<(), ApplyError> {
        let garbage = match (&operation.payload, &operation.subject) {
            (Payload::Bundle(spec), _) => Garbage::Bundle(spec.slug.clone(), spec.id.clone()),
            (Payload::Result { slug, revision, slot }, _) => Garbage::Result(slug.clone(), revision.clone(), *slot),
            (Payload::Nothing, Subject::Job(name)) => Garbage::Job(name.clone()),
            _ => return Err(unsupported(operation)),
        };
        Ok(self.executor.collect(&garbage).await?)
    }
}

fn unsupported(operation: &Operation) -> ApplyError {
    ApplyError::Unsupported(format!("{} {}", operation.action, operation.subject.kind()))
}

fn expected(operation: &Operation) -> Expected {
    match &operation.precondition {
        Precondition::Absent => Expected::Absent,
        Precondition::Present { uid, digest } => Expected::Present { uid: uid.clone(), stored: *digest },
    }
}
