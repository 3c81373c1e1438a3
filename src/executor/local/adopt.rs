//! Finds the jobs that a former process left: sessions that still run are adopted, what was only written down is started. New jobs are `jobs.rs`.

use std::fs::{OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Inner;
use super::files::{blocking, is_leftover, names_in, quietly, read_json, rename};
use super::intent::{Intent, Task};
use super::layout::{INTENT_FILE, SESSION_LOG, STOP_FILE};
use super::process;
use super::world::{Known, Life, Lost};
use crate::executor::ExecutorError;
use crate::plan::{JobName, Role};
use crate::session::boot_id;
use crate::session::protocol::{Outcome, SessionState};

/// How often a session that was started and said nothing yet is looked at. Only the milliseconds after a crash of the
/// daemon know such sessions.
const SILENT_SESSION: Duration = Duration::from_millis(200);

impl Inner {
    /// Takes in every job directory.
    pub(super) async fn adopt(self: &Arc<Self>) -> Result<(), ExecutorError> {
        let inner = Arc::clone(self);
        let found = blocking(move || inner.scan()).await?;
        for known in found {
            let (intent, life, identity) = (Arc::clone(&known.intent), known.life.clone(), known.identity.clone());
            let stopping = known.stopping;
            self.world().insert(known);
            match (life, identity) {
                (Life::Alive, Some(_)) => self.follow(Arc::clone(&intent)),
                (Life::Alive, None) => self.follow_silent(Arc::clone(&intent)),
                (Life::Lost(_), Some(identity)) if self.purpose.owns() => {
                    quietly(move || process::kill_members(&identity)).await;
                }
                _ => {}
            }
            if stopping && self.purpose.owns() {
                self.finish_later(intent);
            }
        }
        Ok(())
    }

    fn scan(&self) -> Result<Vec<Known>, ExecutorError> {
        let mut found = Vec::new();
        for name in names_in(&self.layout.jobs())? {
            if name.starts_with('.') || is_leftover(&name) {
                continue;
            }
            let directory = self.layout.jobs().join(&name);
            match read_json::<Intent>(&directory.join(INTENT_FILE)) {
                Ok(Some(intent)) if intent.name.as_str() == name => found.push(self.look_at(intent, &directory)?),
                other => self.set_aside(&name, other.err())?,
            }
        }
        // In the order in which they were asked for, so that builds queue as they did.
        found.sort_by(|a, b| (a.intent.started, &a.intent.name).cmp(&(b.intent.started, &b.intent.name)));
        Ok(found)
    }

    /// How a job stands that a former process wrote down.
    fn look_at(&self, intent: Intent, directory: &Path) -> Result<Known, ExecutorError> {
        // Watched before it is read, so that no change falls between the two.
        self.watches.add(&intent.name, directory)?;
        let state = SessionState::read(directory).unwrap_or_else(|error| {
            tracing::warn!(job = %intent.name, %error, "cannot read a session's state");
            None
        });
        let life = match &state {
            Some(state) if state.is_alive() => Life::Alive,
            Some(state) if was_shut_down(state) => Life::Lost(lost(state)),
            Some(state) if state.exit.is_some() => Life::Ended,
            Some(state) => Life::Lost(lost(state)),
            None => unannounced(directory),
        };
        if life != Life::Alive {
            self.watches.remove(&intent.name);
        }
        let identity = state.as_ref().map(|state| state.identity.clone());
        let stopping = intent.role().is_some() && directory.join(STOP_FILE).exists();
        Ok(Known { stopping, identity, state, ..Known::new(Arc::new(intent), life) })
    }

    /// A directory that is no job of ours is in the way of one; it is kept where nothing looks.
    fn set_aside(&self, name: &str, error: Option<ExecutorError>) -> Result<(), ExecutorError> {
        let why = error.map_or_else(|| "it holds no description of a job".to_owned(), |error| error.to_string());
        tracing::warn!(job = name, %why, "a job directory cannot be read, and is put aside");
        if !self.purpose.owns() {
            return Ok(());
        }
        rename(&self.layout.jobs().join(name), &self.layout.stopped().join(process::unique()))
    }

    /// Waits until a session that was started, and has said nothing yet, does, or ends.
    fn follow_silent(self: &Arc<Self>, intent: Arc<Intent>) {
        let inner = Arc::clone(self);
        self.spawn(async move {
            let directory = inner.layout.job(&intent.name);
            loop {
                tokio::time::sleep(SILENT_SESSION).await;
                let state = inner.read_state(&intent.name).await;
                if let Some(state) = state {
                    let identity = Some(state.identity.clone());
                    inner.world().change(&intent, |known| {
                        known.identity = identity;
                        known.state = Some(state);
                    });
                    inner.after_change(&intent).await;
                    return inner.follow(intent);
                }
                let path = directory.clone();
                let life = blocking(move || Ok(unannounced(&path))).await.unwrap_or(Life::Unstarted);
                if life != Life::Alive {
                    return inner.session_ended(&intent, None).await;
                }
            }
        });
    }

    /// Starts what a former process only came to write down.
    pub(super) async fn resume(self: &Arc<Self>) {
        let unstarted: Vec<Arc<Intent>> = {
            let world = self.world();
            let waiting = world.jobs().filter(|known| known.life == Life::Unstarted && !known.stopping);
            let mut waiting: Vec<_> = waiting.map(|known| Arc::clone(&known.intent)).collect();
            waiting.sort_by(|a, b| (a.started, &a.name).cmp(&(b.started, &b.name)));
            waiting
        };
        let (forwarders, jobs): (Vec<_>, Vec<_>) =
            unstarted.into_iter().partition(|intent| matches!(intent.task, Task::Forward { .. }));
        // A forwarder is started with its service, which says on which port.
        drop(forwarders);
        let (builds, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|one| one.role() == Some(Role::Build));
        for build in builds {
            let mut world = self.world();
            world.change(&build, |known| known.life = Life::Queued);
            world.queue.push_back(build.name.clone());
        }
        for job in others {
            self.launch_or_lose(&job).await;
        }
        self.start_queued().await;
        self.resume_forwarders().await;
    }

    /// Takes in new states for as long as the executor is open.
    pub(super) async fn listen(self: Arc<Self>) {
        loop {
            let names: Vec<JobName> = match self.watches.heard().await {
                Ok(super::watch::Heard::Jobs(names)) => names.into_iter().collect(),
                Ok(super::watch::Heard::Any) => self.world().jobs().map(|known| known.intent.name.clone()).collect(),
                Err(cause) => {
                    tracing::error!(%cause, "cannot listen to the jobs any more; restart wharf");
                    return;
                }
            };
            for name in names {
                self.take_state(&name).await;
            }
        }
    }

    async fn take_state(self: &Arc<Self>, name: &JobName) {
        let alive =
            self.world().job(name).filter(|known| known.life == Life::Alive).map(|known| Arc::clone(&known.intent));
        let Some(intent) = alive else { return };
        let Some(state) = self.read_state(name).await else { return };
        let changed = self.world().change(&intent, |known| known.state = Some(state));
        if changed {
            self.after_change(&intent).await;
        }
    }
}

/// Whether a session was asked to end before this boot, most likely by the host that shut down.
fn was_shut_down(state: &SessionState) -> bool {
    let stopped = state.exit.as_ref().is_some_and(|exit| exit.outcome == Outcome::Stopped);
    stopped && boot_id().is_ok_and(|boot| boot != state.identity.boot_id)
}

/// A session that is not there any more and did not say how it ended, or only that its host went down.
fn lost(state: &SessionState) -> Lost {
    let rebooted = boot_id().is_ok_and(|boot| boot != state.identity.boot_id);
    let reason = if rebooted { "the host was restarted" } else { "the session was killed" };
    Lost { reason: reason.to_owned(), tail: Vec::new(), counts: !rebooted, at: Timestamp::now() }
}

/// How a job stands whose session has written nothing. The lock on its output is taken before the session is started
/// and kept by it, so that there is no moment in between. Looked at with a shared lock: somebody else who looks at the
/// same time is no session.
fn unannounced(directory: &Path) -> Life {
    let Ok(file) = OpenOptions::new().read(true).open(directory.join(SESSION_LOG)) else { return Life::Unstarted };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Life::Alive,
        _ => Life::Unstarted,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn whoever_looks_is_not_taken_for_a_session() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(unannounced(directory.path()), Life::Unstarted);
        let log = File::create(directory.path().join(SESSION_LOG)).unwrap();
        assert_eq!(unannounced(directory.path()), Life::Unstarted);
        log.lock_shared().unwrap();
        assert_eq!(unannounced(directory.path()), Life::Unstarted, "another wharf that looks too");
        log.unlock().unwrap();
        log.lock().unwrap();
        assert_eq!(unannounced(directory.path()), Life::Alive);
    }
}
