//! Starts jobs, waits for their sessions, ends them. What a session's state means is `world.rs`; finding sessions of a former process is `adopt.rs`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::Inner;
use super::config::Purpose;
use super::files::{
    blocking, make_directory, names_in, quietly, remove_tree, rename, storage, sync_directory, write_new,
};
use super::intent::{Intent, STOP_GRACE_SECONDS, Task, session_job};
use super::layout::{INTENT_FILE, Layout, SESSION_LOG, STOP_FILE, check_component};
use super::process;
use super::secrets;
use super::world::{Known, Life, Lost};
use crate::executor::ExecutorError;
use crate::plan::{JobName, JobSpec, Role, Uid};
use crate::session::protocol::{SessionJob, SessionState, Work};

/// How much longer than the content's grace a session gets before it is killed.
const STOP_RESERVE: Duration = Duration::from_secs(5);
/// How long the kernel may take over a killed process.
const KILL_DEADLINE: Duration = Duration::from_secs(30);
/// How long after a stopped job could not be put aside it is looked at again.
const STOP_RETRY: Duration = Duration::from_secs(30);
/// How long the directories of stopped jobs are kept for their logs.
const KEEP_STOPPED: Duration = Duration::from_hours(1);
/// How many of a session's own last words are shown.
const LAST_WORDS: usize = 20;

impl Inner {
    /// Starts a job, unless there is one of that name.
    pub(super) async fn start(self: &Arc<Self>, spec: &JobSpec, now: Timestamp) -> Result<(), ExecutorError> {
        check_component(spec.name.as_str())?;
        let _guard = self.locks.of(spec.name.as_str()).await;
        let former = self.world().job(&spec.name).map(|known| known.life.clone());
        match former {
            None => {}
            // Written down by a process that was opened only to look, or whose start failed half-way.
            Some(Life::Unstarted) => return self.launch(&spec.name).await,
            Some(_) => return Ok(()),
        }
        let job = session_job(spec, &self.layout, &self.host)?;
        let intent = Arc::new(Intent::of(spec, now));
        self.write_intent(&intent, job).await?;
        let waits = {
            let mut world = self.world();
            let waits = spec.role == Role::Build && world.busy_builds() >= self.build_slots;
            if waits {
                world.queue.push_back(spec.name.clone());
            }
            world.insert(Known::new(Arc::clone(&intent), if waits { Life::Queued } else { Life::Unstarted }));
            waits
        };
        self.tell();
        if waits {
            return Ok(());
        }
        let launched = self.launch(&spec.name).await;
        if launched.is_err() {
            // Nothing was started, so nothing is to be seen either: the next try begins anew.
            self.forget(&spec.name).await?;
        }
        launched
    }

    /// Writes the job directory; from then on the job is wanted, whatever happens.
    pub(super) async fn write_intent(&self, intent: &Arc<Intent>, job: SessionJob) -> Result<(), ExecutorError> {
        let (layout, intent, user) = (self.layout.clone(), Arc::clone(intent), self.host.user);
        blocking(move || {
            prepare_places(&layout, &job, user.map(|user| (user.uid, user.gid)))?;
            write_directory(&layout, &intent, &job)
        })
        .await
    }

    /// Starts the session of a job whose directory is there. Boxed, because the end of a session may start another.
    pub(super) fn launch<'a>(self: &'a Arc<Self>, name: &'a JobName) -> BoxFuture<'a, Result<(), ExecutorError>> {
        Box::pin(self.launch_session(name))
    }

    async fn launch_session(self: &Arc<Self>, name: &JobName) -> Result<(), ExecutorError> {
        let Some(intent) = self.world().job(name).map(|known| Arc::clone(&known.intent)) else { return Ok(()) };
        let directory = self.layout.job(name);
        self.watches.add(name, &directory)?;
        let (program, secrets_dir) = (self.session.clone(), self.secrets_dir.clone());
        let references = intent.secrets.clone();
        let started = blocking(move || {
            let secrets = secrets::read_all(secrets_dir.as_deref(), &references)?;
            let mut command = Command::new(&program.program);
            command.args(&program.arguments).arg(&directory);
            spawn(command, &directory, secrets.is_some()).map(|child| (child, secrets))
        })
        .await;
        let (child, secrets) = match started {
            Ok(started) => started,
            Err(error) => {
                self.watches.remove(name);
                return Err(error);
            }
        };
        let identity = child.id().and_then(|pid| process::identify(i32::try_from(pid).ok()?));
        self.world().change(&intent, |known| {
            known.life = Life::Alive;
            known.identity = identity;
        });
        self.tell();
        let inner = Arc::clone(self);
        self.spawn(async move {
            let words = attend(child, secrets).await;
            inner.session_ended(&intent, words).await;
        });
        Ok(())
    }

    /// Waits for a session that a former process started.
    pub(super) fn follow(self: &Arc<Self>, intent: Arc<Intent>) {
        let inner = Arc::clone(self);
        self.spawn(async move {
            let identity = inner.world().job(&intent.name).and_then(|known| known.identity.clone());
            let Some(identity) = identity else { return };
            if let Err(cause) = process::ended(&identity).await {
                tracing::warn!(job = %intent.name, %cause, "cannot wait for a session; its end will be noticed late");
                return;
            }
            inner.session_ended(&intent, None).await;
        });
    }

    /// Takes in that a session is over: its last state, or, where it has none, that it was lost.
    pub(super) async fn session_ended(self: &Arc<Self>, intent: &Arc<Intent>, words: Option<String>) {
        self.watches.remove(&intent.name);
        let state = self.read_state(&intent.name).await;
        let identity = self.world().job(&intent.name).and_then(|known| known.identity.clone());
        let exited = state.as_ref().is_some_and(|state| state.exit.is_some());
        if let Some(identity) = identity.filter(|_| !exited && self.purpose.owns()) {
            // What it started has lost its parent, and nobody else knows of it.
            quietly(move || process::kill_members(&identity)).await;
        }
        let lost = if exited { None } else { Some(self.lost(&intent.name, state.is_some(), words).await) };
        self.world().change(intent, |known| {
            known.state = state.or(known.state.take());
            known.life = lost.map_or(Life::Ended, Life::Lost);
        });
        self.after_change(intent).await;
        self.start_queued().await;
        if matches!(intent.task, Task::Forward { .. }) {
            self.revive(intent);
        }
    }

    /// Why a session ended that did not say so itself.
    async fn lost(&self, name: &JobName, began: bool, words: Option<String>) -> Lost {
        let path = self.layout.job(name).join(SESSION_LOG);
        let text = blocking(move || Ok(fs::read_to_string(path).unwrap_or_default())).await.unwrap_or_default();
        let mut tail: Vec<String> = text.lines().rev().take(LAST_WORDS).map(str::to_owned).collect();
        tail.reverse();
        let ending = words.map_or_else(String::new, |words| format!(" ({words})"));
        let reason = match tail.last() {
            Some(last) if !began => format!("its session ended before it began: {last}"),
            None if !began => format!("its session ended before it began{ending}"),
            _ => format!("the session was killed{ending}"),
        };
        Lost { reason, tail, counts: true, at: Timestamp::now() }
    }

    /// What its session says of a job; a state that cannot be read is none.
    pub(super) async fn read_state(&self, name: &JobName) -> Option<SessionState> {
        let directory = self.layout.job(name);
        let read = blocking(move || Ok(SessionState::read(&directory))).await;
        match read {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => {
                tracing::warn!(job = %name, %error, "cannot read a session's state");
                None
            }
            Err(error) => {
                tracing::warn!(job = %name, %error, "cannot read a session's state");
                None
            }
        }
    }

    /// Starts builds that waited, as many as there are free slots.
    pub(super) async fn start_queued(self: &Arc<Self>) {
        loop {
            let next = {
                let mut world = self.world();
                if self.purpose != Purpose::Drive || world.busy_builds() >= self.build_slots {
                    return;
                }
                let Some(name) = world.queue.pop_front() else { return };
                let Some(intent) = world.job(&name).map(|known| Arc::clone(&known.intent)) else { continue };
                world.change(&intent, |known| known.life = Life::Unstarted);
                intent
            };
            self.launch_or_lose(&next).await;
        }
    }

    /// Starts a job that nobody waits for; where that fails, the job has failed.
    pub(super) async fn launch_or_lose(self: &Arc<Self>, intent: &Arc<Intent>) {
        if let Err(error) = self.launch(&intent.name).await {
            let lost = Lost { reason: error.to_string(), tail: Vec::new(), counts: true, at: Timestamp::now() };
            self.world().change(intent, |known| known.life = Life::Lost(lost));
            self.tell();
        }
    }

    /// Asks a job of the plan to end. Until it has, which may take as long as it likes to, it is shown as stopping, and
    /// then no more.
    pub(super) async fn stop(self: &Arc<Self>, name: &JobName, uid: &Uid) -> Result<(), ExecutorError> {
        let _guard = self.locks.of(name.as_str()).await;
        let Some(known) = self.world().job(name).cloned() else { return Ok(()) };
        if known.intent.uid != *uid {
            return Err(ExecutorError::Moved {
                name: name.to_string(),
                expected: uid.0.clone(),
                found: known.intent.uid.0.clone(),
            });
        }
        if known.stopping {
            return Ok(());
        }
        if self.ask_to_end(&known.intent).await? {
            self.finish_later(known.intent);
            return Ok(());
        }
        self.put_aside(&known.intent).await
    }

    /// The same, and waits for it.
    pub(super) async fn stop_and_wait(self: &Arc<Self>, intent: &Arc<Intent>) -> Result<(), ExecutorError> {
        self.stop(&intent.name, &intent.uid).await?;
        self.finish_stop(intent).await
    }

    /// Takes a job that was asked to end out of the view once it did.
    pub(super) fn finish_later(self: &Arc<Self>, intent: Arc<Intent>) {
        let inner = Arc::clone(self);
        self.spawn(async move {
            while let Err(error) = inner.finish_stop(&intent).await {
                tracing::warn!(job = %intent.name, %error, "a stopped job is still there; looking again soon");
                tokio::time::sleep(STOP_RETRY).await;
            }
        });
    }

    async fn finish_stop(self: &Arc<Self>, intent: &Arc<Intent>) -> Result<(), ExecutorError> {
        self.see_the_end(intent).await?;
        let _guard = self.locks.of(intent.name.as_str()).await;
        let is_there = self.known(intent).is_some();
        if is_there { self.put_aside(intent).await } else { Ok(()) }
    }

    /// This very job, as it is known now.
    fn known(&self, intent: &Intent) -> Option<Known> {
        self.world().job(&intent.name).filter(|known| known.intent.uid == intent.uid).cloned()
    }

    /// Ends a session and waits until it and all it started are gone; whether there was one.
    pub(super) async fn end_session(self: &Arc<Self>, intent: &Arc<Intent>) -> Result<bool, ExecutorError> {
        let asked = self.ask_to_end(intent).await?;
        if asked {
            self.see_the_end(intent).await?;
        }
        Ok(asked)
    }

    /// Asks a session to end, and shows the job as stopping; whether there was one.
    async fn ask_to_end(&self, intent: &Arc<Intent>) -> Result<bool, ExecutorError> {
        let Some(known) = self.known(intent).filter(|known| known.life == Life::Alive) else { return Ok(false) };
        if intent.role().is_some() {
            let path = self.layout.job(&intent.name).join(STOP_FILE);
            // Before the signal, so that no later process takes this end for somebody else's doing. A disk that is too
            // full for an empty file must not keep the job alive.
            quietly(move || drop(File::create(path))).await;
        }
        self.world().change(intent, |known| known.stopping = true);
        // Nobody is sent to it from here on.
        self.after_change(intent).await;
        // One without an identity was a zombie before it could be looked at; its end is under way.
        if let Some(identity) = known.identity
            && let Err(cause) = process::ask_to_end(&identity)
        {
            self.world().change(intent, |known| known.stopping = false);
            self.tell();
            return Err(cannot_end(intent, &cause));
        }
        Ok(true)
    }

    /// Waits until a session that was asked to end is gone with all it started, and sees to it when that takes too long.
    async fn see_the_end(&self, intent: &Arc<Intent>) -> Result<(), ExecutorError> {
        let grace = Duration::from_secs(STOP_GRACE_SECONDS) + STOP_RESERVE;
        if self.wait_until_ended(intent, grace).await {
            return Ok(());
        }
        if let Some(identity) = self.known(intent).and_then(|known| known.identity) {
            tracing::warn!(job = %intent.name, "its session did not end when asked to, and is killed");
            blocking(move || Ok(process::kill_all(&identity))).await?.map_err(|cause| cannot_end(intent, &cause))?;
        }
        if self.wait_until_ended(intent, KILL_DEADLINE).await {
            return Ok(());
        }
        Err(cannot_end(intent, &std::io::Error::from(std::io::ErrorKind::TimedOut)))
    }

    /// Whether a session ended within a time.
    async fn wait_until_ended(&self, intent: &Intent, time: Duration) -> bool {
        let mut changed = self.changed.subscribe();
        let ended = async {
            loop {
                let alive = self.known(intent).is_some_and(|known| known.life == Life::Alive);
                if !alive || changed.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(time, ended).await.is_ok()
    }

    /// Takes an ended job out of the view; its directory is kept for a while under another name, because the same
    /// desired job has the same name when it is wanted again.
    async fn put_aside(&self, intent: &Arc<Intent>) -> Result<(), ExecutorError> {
        let (layout, name, uid) = (self.layout.clone(), intent.name.clone(), intent.uid.clone());
        blocking(move || {
            let (from, to) = (layout.job(&name), layout.stopped_job(&uid));
            if from.exists() {
                rename(&from, &to)?;
                // The time of the directory says when it was put there.
                let _ = File::open(&to).and_then(|directory| directory.set_modified(std::time::SystemTime::now()));
            }
            sweep_stopped(&layout)
        })
        .await?;
        self.world().remove(&intent.name);
        self.tell();
        Ok(())
    }

    /// Removes a job that has ended, with its directory.
    pub(super) async fn forget(&self, name: &JobName) -> Result<(), ExecutorError> {
        let directory = self.layout.job(name);
        blocking(move || remove_tree(&directory)).await?;
        self.world().remove(name);
        self.tell();
        Ok(())
    }

    /// What follows from a new state, besides the view of the job itself: results, package environments, backends.
    pub(super) async fn after_change(&self, intent: &Intent) {
        // Also where it was asked to stop meanwhile: what it left is there.
        let succeeded = self.world().job(&intent.name).is_some_and(Known::has_succeeded);
        match intent.role() {
            Some(Role::Build) if succeeded => self.refresh_environment(intent.package()).await,
            Some(Role::Render) if succeeded => self.refresh_results(&intent.slug).await,
            Some(Role::Run) => self.refresh_backends(&intent.slug).await,
            None => self.show_service(&intent.slug),
            _ => {}
        }
        self.tell();
    }
}

fn cannot_end(intent: &Intent, cause: &std::io::Error) -> ExecutorError {
    ExecutorError::Start { program: intent.name.to_string(), problem: format!("its session cannot be ended: {cause}") }
}

/// Makes the directories that a job writes into, and gives the shared cache to whom content becomes.
fn prepare_places(layout: &Layout, job: &SessionJob, user: Option<(u32, u32)>) -> Result<(), ExecutorError> {
    match &job.work {
        Work::Build(build) => {
            make_directory(&build.cache_dir, 0o755)?;
            if let Some((uid, gid)) = user {
                std::os::unix::fs::chown(&build.cache_dir, Some(uid), Some(gid))
                    .map_err(|cause| storage("giving away", &build.cache_dir, &cause))?;
            }
            Ok(())
        }
        Work::Render(render) => {
            make_directory(render.output.parent().unwrap_or(layout.root()), 0o755)?;
            // Whole, but its render was forgotten: nobody shows it, and a render does not write over anything.
            remove_tree(&render.output)
        }
        Work::Run(_) | Work::Forward(_) => Ok(()),
    }
}

/// Writes `jobs/<name>` under another name and gives it its own when it is whole.
fn write_directory(layout: &Layout, intent: &Intent, job: &SessionJob) -> Result<(), ExecutorError> {
    let directory = layout.job(&intent.name);
    let temporary = directory.with_extension("tmp");
    remove_tree(&temporary)?;
    make_directory(&temporary, 0o700)?;
    let path = temporary.join(INTENT_FILE);
    let text = serde_json::to_vec_pretty(intent).unwrap_or_default();
    write_new(&path, &text, 0o600).map_err(|cause| storage("writing", &path, &cause))?;
    job.write(&temporary).map_err(|error| ExecutorError::Storage {
        doing: "writing the job",
        place: temporary.display().to_string(),
        problem: error.to_string(),
    })?;
    sync_directory(&temporary)?;
    rename(&temporary, &directory)?;
    sync_directory(&layout.jobs())
}

/// Starts a session. Its own output goes to a file that it keeps locked for as long as it lives: the lock is there from
/// before the session, so that a later process knows for sure whether one was started.
fn spawn(mut command: Command, directory: &Path, has_secrets: bool) -> Result<Child, ExecutorError> {
    let path = directory.join(SESSION_LOG);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let log = log.and_then(|log| log.lock().map(|()| log)).map_err(|cause| storage("writing", &path, &cause))?;
    let second = log.try_clone().map_err(|cause| storage("writing", &path, &cause))?;
    // The daemon's own settings may hold tokens and are nothing to a session.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WHARF_")) {
        command.env_remove(name);
    }
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command
        .current_dir("/")
        .stdin(if has_secrets { Stdio::piped() } else { Stdio::null() })
        .stdout(log)
        .stderr(second)
        .spawn()
        .map_err(|cause| ExecutorError::Start {
            program,
            problem: format!("{cause}; check that it is installed and executable"),
        })
}

/// Passes the secrets on and waits for the end; what the system says about it.
async fn attend(mut child: Child, secrets: Option<SecretString>) -> Option<String> {
    if let (Some(mut input), Some(secrets)) = (child.stdin.take(), secrets) {
        // A session that is gone already says more by its end.
        let _ = input.write_all(secrets.expose_secret().as_bytes()).await;
    }
    child.wait().await.ok().map(|status| status.to_string())
}

/// Removes directories of jobs that were stopped long ago.
pub(super) fn sweep_stopped(layout: &Layout) -> Result<(), ExecutorError> {
    for name in names_in(&layout.stopped())? {
        let path = layout.stopped().join(name);
        let age = fs::metadata(&path).and_then(|about| about.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > KEEP_STOPPED) {
            remove_tree(&path)?;
        }
    }
    Ok(())
}
