//! A daemon without a clock's ticks: the real reconciler over a real repository, with records and jobs in memory.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use wharf::clock::{Clock, ManualClock};
use wharf::executor::{Candidates, MemoryExecutor};
use wharf::plan::{Options, samples};
use wharf::reconcile::{Consent, GitCommits, GoalSettings, Reconciler, Rooms, Settings};
use wharf::registry::MemoryRegistry;
use wharf::source::{RemoteOptions, Source, SourceConfig};

use super::generate::BRANCH;

/// The reconciler and the world it keeps.
pub struct Daemon {
    reconciler: Reconciler,
    executor: MemoryExecutor,
    clock: Arc<ManualClock>,
}

impl Daemon {
    /// Follows a repository, a path or a URL.
    pub fn new(repository: &str, mirrors: &Path) -> Result<Self, Box<dyn Error>> {
        let source = Source::open(SourceConfig {
            repository: repository.parse()?,
            reference: BRANCH.parse()?,
            path: "".parse()?,
            working_tree: false,
            mirrors: mirrors.to_owned(),
            remote: RemoteOptions::default(),
        })?;
        let executor = MemoryExecutor::new(Candidates::FromGit);
        let clock = Arc::new(ManualClock::at(samples::time(0)));
        let instance = samples::instance("bench");
        let rooms = Rooms {
            commits: Arc::new(GitCommits::new(source, BRANCH.to_owned(), false)),
            registry: Arc::new(MemoryRegistry::new(instance.clone())),
            executor: Arc::new(executor.clone()),
            clock: clock.clone(),
            ceiling: Arc::default(),
        };
        let goals = GoalSettings { instance, supervisor: None, require_image_match: false, protocol: 1 };
        let settings =
            Settings { goals, options: Options::default(), consent: Consent::default(), actor: "bench".to_owned() };
        Ok(Self { reconciler: Reconciler::new(rooms, settings), executor, clock })
    }

    /// Passes until nothing is left to do.
    pub async fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        let cancel = CancellationToken::new();
        for _ in 0..1000 {
            let pass = self.reconciler.pass(&cancel).await?;
            if pass.applied.progressed {
                continue;
            }
            let Some(next) = self.executor.next_event() else { return Ok(()) };
            let now = next.max(self.clock.now().checked_add(SignedDuration::from_millis(1))?);
            self.clock.set(now);
            self.executor.advance(now);
        }
        Err("it does not come to rest".into())
    }

    /// One look and one plan, as a poll causes them. Gives how many operations the plan holds.
    pub async fn poll(&mut self) -> Result<usize, Box<dyn Error>> {
        self.reconciler.look_again();
        let (_, plan) = self.reconciler.plan(true).await?;
        Ok(plan.changes().count())
    }
}

/// CPU time of this process so far, all threads.
pub fn cpu() -> Result<Duration, Box<dyn Error>> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let part = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    Ok(part(usage.user_time()) + part(usage.system_time()))
}

/// The largest resident set of any child that ended so far, bytes.
pub fn children_peak() -> Result<u64, Box<dyn Error>> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    Ok(u64::try_from(usage.max_rss()).unwrap_or_default() * 1024)
}
