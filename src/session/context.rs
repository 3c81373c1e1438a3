//! What every kind of work is given: the job, its directory, its log, and the one place that changes the state. No work is done here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::confine::Confined;
use super::error::SessionError;
use super::files;
use super::launch::Launch;
use super::log::Log;
use super::protocol::{ContentUser, Phase, SessionJob, SessionState};

/// The state, in memory and on disk.
#[derive(Debug)]
pub(super) struct StateCell {
    directory: PathBuf,
    state: Mutex<SessionState>,
}

impl StateCell {
    pub fn new(directory: &Path, state: SessionState) -> Result<Self, SessionError> {
        state.write(directory)?;
        Ok(Self { directory: directory.to_owned(), state: Mutex::new(state) })
    }

    /// Changes the state and writes it if that made a difference.
    pub fn change(&self, change: impl FnOnce(&mut SessionState)) -> Result<(), SessionError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.clone();
        change(&mut state);
        if *state == before { Ok(()) } else { state.write(&self.directory) }
    }
}

/// One job being done.
#[derive(Debug)]
pub(super) struct Context {
    pub directory: PathBuf,
    pub job: SessionJob,
    pub log: Log,
    pub state: StateCell,
    /// Whom content becomes: the job's user if this session is root.
    pub user: Option<ContentUser>,
    pub confined: Confined,
}

impl Context {
    /// Changes the state; a disk that cannot take it is named in the log, but the content goes on.
    pub fn tell(&self, change: impl FnOnce(&mut SessionState)) {
        if let Err(error) = self.state.change(change) {
            self.log.say(&error.to_string());
        }
    }

    /// Says what is being done, in the state and in the log.
    pub fn progress(&self, phase: Phase, text: &str) {
        self.log.say(text);
        self.tell(|state| {
            state.phase = phase;
            state.progress = Some(text.to_owned());
        });
    }

    /// The interpreter of a language, checked to be a program.
    pub fn interpreter(&self, language: &str, appmode: &str) -> Result<&Path, SessionError> {
        let found = self.job.interpreters.get(language);
        let path = found.ok_or_else(|| SessionError::NoInterpreter {
            language: language.to_owned(),
            appmode: appmode.to_owned(),
        })?;
        files::check_program("the interpreter", path)?;
        Ok(path)
    }

    /// A scratch directory of the content below the job directory, made if it is not there.
    pub fn scratch(&self, name: &str) -> Result<PathBuf, SessionError> {
        let path = self.directory.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|cause| SessionError::write(&path, cause))?;
        files::give(&path, self.user)?;
        Ok(path)
    }

    /// Lets the content's user pass through the job directory, whose files stay unreadable for it.
    pub fn open_directory(&self) -> Result<(), SessionError> {
        let Some(_) = self.user else { return Ok(()) };
        let permissions = fs::Permissions::from_mode(0o711);
        fs::set_permissions(&self.directory, permissions).map_err(|cause| SessionError::write(&self.directory, cause))
    }

    /// A program as content, wrapped by the supervisor if the job names one. `variables` are all it gets.
    pub fn launch(
        &self,
        program: &Path,
        arguments: Vec<String>,
        variables: BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<Launch, SessionError> {
        let mut launch = Launch {
            program: program.to_owned(),
            arguments,
            variables,
            directory: directory.to_owned(),
            user: self.user,
            data_limit: self.confined.data_limit,
            cgroup: self.confined.cgroup.clone(),
        };
        if let Some(supervisor) = &self.job.supervisor {
            files::check_program("the supervisor", supervisor)?;
            launch.arguments.insert(0, program.to_string_lossy().into_owned());
            launch.program.clone_from(supervisor);
        }
        Ok(launch)
    }
}
