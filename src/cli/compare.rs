//! Plans without the world: a commit against nothing, or against the world that another commit leads to. Nothing real is touched.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{CliError, Context, commit, world};
use crate::clock::{Clock, ManualClock};
use crate::executor::MemoryExecutor;
use crate::model::CommitId;
use crate::plan::{Options, Plan, SourceIdentity};
use crate::reconcile::{Commits, CommitsError, Consent, GitCommits, Pass, Reconciler, Rooms, SharedSnapshot};
use crate::registry::MemoryRegistry;
use crate::source::RefName;

/// Passes after which a world that still changes is taken as it is: settling takes a handful.
const MOST_PASSES: usize = 500;
/// Where the imagined world's time starts: plans depend on no absolute time, so equal commits give equal plans.
const START: Timestamp = Timestamp::UNIX_EPOCH;

/// The plan of a commit against an empty world.
pub async fn with_nothing(context: &Context, options: Options) -> Result<Arc<Plan>, CliError> {
    let source = commit::open(&context.config)?;
    let commits = world::git(&source, &context.config);
    let mut imagined = Imagined::new(context, Arc::new(commits), options).await?;
    imagined.plan().await
}

/// The plan of `--ref` against the world that `from` leads to.
pub async fn commits(context: &Context, from: &RefName, options: Options) -> Result<Arc<Plan>, CliError> {
    let source = commit::open(&context.config)?;
    let base = source.resolve(from.clone()).await?;
    let head = source.look().await?.commit;
    let two = Arc::new(TwoCommits { now: Mutex::new(base), git: world::git(&source, &context.config) });
    let mut imagined = Imagined::new(context, Arc::clone(&two) as Arc<dyn Commits>, options).await?;
    imagined.settle().await?;
    *two.now.lock().unwrap_or_else(PoisonError::into_inner) = head;
    imagined.reconciler.look_again();
    imagined.plan().await
}

/// A commit that was not taken in: the plan would speak of another one.
pub fn refused(reconciler: &Reconciler) -> Result<(), CliError> {
    let status = reconciler.status();
    match (&status.source_error, &status.refusal) {
        (Some(reason), _) | (None, Some(reason)) => Err(CliError::NotInForce { reason: reason.clone() }),
        (None, None) => Ok(()),
    }
}

/// A registry and an executor in memory, with a clock that only moves when something is due.
struct Imagined {
    reconciler: Reconciler,
    executor: MemoryExecutor,
    clock: Arc<ManualClock>,
}

impl Imagined {
    async fn new(context: &Context, commits: Arc<dyn Commits>, options: Options) -> Result<Self, CliError> {
        let config = &context.config;
        let executor = MemoryExecutor::new(world::candidates(context).await?);
        let clock = Arc::new(ManualClock::at(START));
        let rooms = Rooms {
            commits,
            registry: Arc::new(MemoryRegistry::new(config.instance.clone())),
            executor: Arc::new(executor.clone()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ceiling: Arc::new(config.ceiling.clone()),
        };
        // A pull request may be rebased: its head need not descend from its base.
        let consent = Consent { rewinds: true, source: true };
        let settings = world::settings(config, options, consent, "diff");
        Ok(Self { reconciler: Reconciler::new(rooms, settings), executor, clock })
    }

    async fn plan(&mut self) -> Result<Arc<Plan>, CliError> {
        let (_, plan) = self.reconciler.plan(false).await?;
        refused(&self.reconciler)?;
        Ok(plan)
    }

    /// Applies the commit until nothing is left to do.
    async fn settle(&mut self) -> Result<(), CliError> {
        let never = CancellationToken::new();
        for _ in 0..MOST_PASSES {
            let pass = self.reconciler.pass(&never).await?;
            refused(&self.reconciler)?;
            if !self.advance(&pass) {
                break;
            }
        }
        Ok(())
    }

    /// Lets time go to whatever is due next. False when nothing will change by itself.
    fn advance(&self, pass: &Pass) -> bool {
        if pass.applied.progressed {
            return true;
        }
        if pass.plan.is_settled() {
            return false;
        }
        let retry = pass.plan.backing_off.iter().map(|it| it.next_try).min();
        let Some(next) = self.executor.next_event().into_iter().chain(retry).min() else { return false };
        let least = self.clock.now().checked_add(SignedDuration::from_millis(1)).unwrap_or(next);
        self.clock.set(next.max(least));
        self.executor.advance(self.clock.now());
        true
    }
}

/// One commit first, another one later.
struct TwoCommits {
    now: Mutex<CommitId>,
    git: GitCommits,
}

#[async_trait]
impl Commits for TwoCommits {
    async fn look(&self) -> Result<CommitId, CommitsError> {
        Ok(*self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn snapshot(&self, commit: CommitId) -> Result<SharedSnapshot, CommitsError> {
        self.git.snapshot(commit).await
    }

    async fn descends(&self, _: CommitId, _: CommitId) -> Result<bool, CommitsError> {
        Ok(true)
    }

    fn identity(&self) -> SourceIdentity {
        self.git.identity()
    }
}
