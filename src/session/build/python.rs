//! A Python package environment: a virtual environment of the job's interpreter, filled by pip or uv. When a build may run is `mod.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::session::context::Context;
use crate::session::error::SessionError;
use crate::session::files;
use crate::session::protocol::{Build, Installer, Phase, PythonInstall};
use crate::session::run::copy_bundle;
use crate::session::supervise::{Finish, Observer, Process, Signals, unobserved};
use crate::session::variables;

use super::{Failed, step};

/// What a build leaves: the interpreter it used, and the packages.
type Installed = (PathBuf, Vec<String>);

/// Makes the virtual environment and installs into it.
pub(super) fn install(
    context: &Arc<Context>,
    signals: &mut Signals,
    build: &Build,
    install: &PythonInstall,
) -> Result<Result<Installed, Failed>, SessionError> {
    let mut steps = Steps::prepare(context, signals, build, install)?;
    if let Err(exit) = steps.make_environment()? {
        return Ok(Err(exit));
    }
    if let Err(exit) = steps.install_packages()? {
        return Ok(Err(exit));
    }
    Ok(Ok((steps.interpreter, installed(&build.path))))
}

/// What both steps need.
struct Steps<'a> {
    context: &'a Arc<Context>,
    signals: &'a mut Signals,
    environment: &'a Path,
    interpreter: PathBuf,
    /// The program uv, if it does the work.
    uv: Option<PathBuf>,
    /// Where the steps run: relative paths in requirements begin there.
    directory: PathBuf,
    requirements: PathBuf,
    /// There where something bounds the requirements.
    constraints: Option<PathBuf>,
    variables: BTreeMap<String, String>,
    /// When the steps together have to be done.
    deadline: Option<Instant>,
}

impl<'a> Steps<'a> {
    fn prepare(
        context: &'a Arc<Context>,
        signals: &'a mut Signals,
        build: &'a Build,
        install: &PythonInstall,
    ) -> Result<Self, SessionError> {
        let interpreter = context.interpreter("python", "a Python package environment")?.to_owned();
        let uv = match install.installer {
            Installer::Pip => None,
            Installer::Uv => Some(find_uv(install.uv.as_deref())?),
        };
        let directory = match &install.bundle {
            Some(bundle) => copy_bundle(context, bundle)?,
            None => context.scratch("tmp")?,
        };
        let requirements = write_requirements(context, install)?;
        let bounds = !install.constraints.trim().is_empty();
        let constraints = bounds.then(|| write_list(context, "constraints.txt", &install.constraints)).transpose()?;
        let variables = build_variables(context, build, install)?;
        let deadline = build.timeout_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Ok(Self {
            context,
            signals,
            environment: &build.path,
            interpreter,
            uv,
            directory,
            requirements,
            constraints,
            variables,
            deadline,
        })
    }

    fn make_environment(&mut self) -> Result<Result<(), Failed>, SessionError> {
        self.context.progress(Phase::Installing, "making a virtual environment");
        let (interpreter, environment) = (self.interpreter.to_string_lossy(), self.environment.to_string_lossy());
        let (program, arguments) = match &self.uv {
            None => (&self.interpreter, words(&["-m", "venv", &environment])),
            Some(uv) => (uv, words(&["venv", "--python", &interpreter, "--allow-existing", &environment])),
        };
        let finish = self.run(&program.clone(), arguments, &unobserved())?;
        Ok(step(self.context, finish, |tail| explain_venv(&self.interpreter, tail)))
    }

    fn install_packages(&mut self) -> Result<Result<(), Failed>, SessionError> {
        self.context.progress(Phase::Installing, "installing packages");
        let python = self.environment.join("bin/python");
        let target = python.to_string_lossy().into_owned();
        let (program, mut arguments) = match &self.uv {
            None => (python, words(&["-m", "pip", "install", "--no-input", "--progress-bar", "off"])),
            Some(uv) => (uv.clone(), words(&["pip", "install", "--compile-bytecode", "--python", &target])),
        };
        arguments.extend(words(&["-r", &self.requirements.to_string_lossy()]));
        if let Some(constraints) = &self.constraints {
            arguments.extend(words(&["-c", &constraints.to_string_lossy()]));
        }
        let observe: Observer = Arc::new(|context, line| {
            if let Some(text) = progress(line) {
                context.tell(|state| state.progress = Some(text));
            }
        });
        let finish = self.run(&program, arguments, &observe)?;
        Ok(step(self.context, finish, explain_install))
    }

    fn run(&mut self, program: &Path, arguments: Vec<String>, observe: &Observer) -> Result<Finish, SessionError> {
        let launch = self.context.launch(program, arguments, self.variables.clone(), &self.directory)?;
        Ok(Process::start(self.context, &launch, observe)?.run(self.context, self.signals, self.deadline))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The program uv: the one the job names, or the first on this session's PATH.
fn find_uv(named: Option<&Path>) -> Result<PathBuf, SessionError> {
    if let Some(path) = named {
        files::check_program("uv", path)?;
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|directory| directory.join("uv"));
    found.find(|path| files::check_program("uv", path).is_ok()).ok_or(SessionError::Program {
        what: "uv",
        path: PathBuf::from("uv"),
        trouble: "is not on the PATH: install it, or let pip install this item's packages",
    })
}

/// One file for everything, so that the installer resolves it together.
fn write_requirements(context: &Context, install: &PythonInstall) -> Result<PathBuf, SessionError> {
    let mut text = install.requirements.clone();
    if !install.server_packages.is_empty() {
        text.push_str("\n# what serves the content, and the item does not list\n");
        text.push_str(&install.server_packages.join("\n"));
        text.push('\n');
    }
    write_list(context, "requirements.txt", &text)
}

/// A file in the job's directory that the installer reads.
fn write_list(context: &Context, name: &str, text: &str) -> Result<PathBuf, SessionError> {
    let path = context.directory.join(name);
    // Addresses in it may hold passwords.
    let owners_only = fs::Permissions::from_mode(0o600);
    let written = fs::write(&path, text).and_then(|()| fs::set_permissions(&path, owners_only));
    written.map_err(|cause| SessionError::write(&path, cause))?;
    files::give(&path, context.user)?;
    Ok(path)
}

/// The host's own installer settings, then the job's. Indexes go by variables: arguments are for everybody to read.
fn build_variables(
    context: &Context,
    build: &Build,
    install: &PythonInstall,
) -> Result<BTreeMap<String, String>, SessionError> {
    let mut variables = variables::for_build(context)?;
    let cache = build.cache_dir.to_string_lossy().into_owned();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    set("PIP_CACHE_DIR", cache.clone());
    set("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned());
    set("UV_CACHE_DIR", cache);
    set("UV_PYTHON_DOWNLOADS", "never".to_owned());
    // uv copies where it cannot link; environments must not share files with a cache that builds may write.
    set("UV_LINK_MODE", "copy".to_owned());
    if let Some(index) = &install.index_url {
        set("PIP_INDEX_URL", index.clone());
        set("UV_DEFAULT_INDEX", index.clone());
    }
    if !install.extra_index_urls.is_empty() {
        let extra = install.extra_index_urls.join(" ");
        set("PIP_EXTRA_INDEX_URL", extra.clone());
        set("UV_INDEX", extra);
    }
    Ok(variables)
}

/// What a line of pip or uv says for people; `None` for the many lines that say nothing new.
fn progress(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("Collecting ") {
        return Some(format!("collecting {}", rest.split(" (from").next().unwrap_or(rest)));
    }
    if let Some(rest) = line.strip_prefix("Downloading ") {
        // An address may hold a password; the file's name is enough.
        let file = rest.split_whitespace().next().and_then(|word| word.rsplit('/').next())?;
        let size = rest.split_once(" (").map_or_else(String::new, |(_, size)| format!(" ({size}"));
        return Some(format!("downloading {file}{size}"));
    }
    if let Some(rest) = line.strip_prefix("Building wheel for ") {
        return Some(format!("building {}", rest.split([' ', ':']).next().unwrap_or(rest)));
    }
    if let Some(rest) = line.strip_prefix("Building ") {
        return Some(format!("building {rest}"));
    }
    if let Some(rest) = line.strip_prefix("Installing collected packages: ") {
        return Some(format!("installing {} packages", rest.split(", ").count()));
    }
    let counted = ["Resolved ", "Prepared ", "Installed "].iter().any(|word| line.starts_with(word));
    if counted { Some(line.split(" in ").next().unwrap_or(line).to_lowercase()) } else { None }
}

/// Debian and its kin leave out the part of Python that makes virtual environments.
fn explain_venv(interpreter: &Path, tail: &[String]) -> Option<String> {
    let missing = tail.iter().any(|line| {
        line.contains("ensurepip is not available")
            || line.contains("No module named venv")
            || line.contains("No module named ensurepip")
    });
    missing.then(|| {
        format!(
            "{} cannot make virtual environments: install python3-venv for it, or use another Python",
            interpreter.display()
        )
    })
}

/// pip says the true reason in its last error but for a note about wheels; uv writes a chain of causes, or draws it.
fn explain_install(tail: &[String]) -> Option<String> {
    if tail.iter().any(|line| line.contains("No space left on device")) {
        return Some("the disk is full: make room in the data directory".to_owned());
    }
    let last = |mark: &str| tail.iter().rev().find_map(|line| line.trim().strip_prefix(mark));
    let mut errors = tail.iter().filter_map(|line| line.trim().strip_prefix("ERROR: "));
    let pip = errors.rfind(|text| !text.starts_with("Failed to build installable wheels"));
    let said = pip.or_else(|| ["cause: ", "╰─▶ ", "× ", "error: "].into_iter().find_map(last))?;
    Some(format!("the packages could not be installed: {said}"))
}

/// The distributions in an environment, from the names of their metadata directories.
fn installed(environment: &Path) -> Vec<String> {
    let Ok(versions) = fs::read_dir(environment.join("lib")) else { return Vec::new() };
    let sites = versions.flatten().filter_map(|version| fs::read_dir(version.path().join("site-packages")).ok());
    let names = sites.flat_map(Iterator::flatten).filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".dist-info").map(|name| name.replacen('-', " ", 1))).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn progress_is_said_in_words() {
        for (line, expected) in [
            ("Collecting flask>=3 (from -r requirements.txt (line 1))", Some("collecting flask>=3")),
            (
                "  Downloading https://me:pw@index.example/f/flask-3.1.0-py3-none-any.whl (102 kB)",
                Some("downloading flask-3.1.0-py3-none-any.whl (102 kB)"),
            ),
            ("  Building wheel for lxml (pyproject.toml): started", Some("building lxml")),
            ("Installing collected packages: blinker, flask", Some("installing 2 packages")),
            ("Resolved 12 packages in 310ms", Some("resolved 12 packages")),
            ("Requirement already satisfied: pip", None),
        ] {
            assert_eq!(progress(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_last_error_of_an_installer_is_the_reason() {
        let because = |why: &str| Some(format!("the packages could not be installed: {why}"));
        for (text, expected) in [
            (
                "ERROR: Could not find a version that satisfies the requirement nope==9 (from versions: none)\nERROR: No matching distribution found for nope==9",
                because("No matching distribution found for nope==9"),
            ),
            ("  × No solution found:\n  ╰─▶ Because nope was not found", because("Because nope was not found")),
            ("error: No solution found\n  cause: nope was not found\n\nhint: x", because("nope was not found")),
            ("error: Failed to fetch", because("Failed to fetch")),
            ("Killed", None),
        ] {
            assert_eq!(explain_install(&lines(text)), expected, "{text}");
        }
    }
}
