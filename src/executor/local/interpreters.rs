//! The interpreters of this host: where to look, what each says about itself, what is missing. Which one an item gets is `select`'s decision.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::LocalConfig;
use super::files::blocking;
use super::probe::{Cache, Finding, probe_all};
use crate::executor::ExecutorError;
use crate::model::{Environment, ImageRef, Installation, Language, Matching};

/// The oldest Python that content is run with; the session's starters need it.
const OLDEST_PYTHON: [u64; 3] = [3, 8, 0];

/// A program that may be an interpreter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Of which language.
    pub language: Language,
    /// The path under which it was found: the one that is recorded and started.
    pub path: PathBuf,
}

/// Where interpreters are looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// Directories that hold `R`, `python` and `quarto` with a directory a version.
    pub opt: Vec<PathBuf>,
    /// pyenv's directory.
    pub pyenv: Option<PathBuf>,
    /// The directories of PATH.
    pub path: Vec<PathBuf>,
}

impl Places {
    /// The places of this host.
    pub fn of_this_host() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = variable("HOME").map(PathBuf::from);
        let pyenv = variable("PYENV_ROOT").map(PathBuf::from).or_else(|| home.map(|home| home.join(".pyenv")));
        let path = variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        Self { opt: vec!["/opt".into(), "/opt/local".into()], pyenv, path }
    }

    /// Every candidate in the order of places, each real program once.
    fn candidates(&self) -> Vec<Candidate> {
        let mut found = Vec::new();
        for opt in &self.opt {
            for (directory, program, language) in [
                ("R", "R", Language::R),
                ("python", "python3", Language::Python),
                ("quarto", "quarto", Language::Quarto),
                ("node", "node", Language::Nodejs),
            ] {
                let versions = sorted_entries(&opt.join(directory));
                found.extend(
                    versions.into_iter().map(|path| Candidate { language, path: path.join("bin").join(program) }),
                );
            }
        }
        if let Some(pyenv) = &self.pyenv {
            let versions = sorted_entries(&pyenv.join("versions")).into_iter();
            found.extend(versions.map(|path| Candidate { language: Language::Python, path: path.join("bin/python3") }));
        }
        let shims = self.pyenv.as_ref().map(|pyenv| pyenv.join("shims"));
        for directory in self.path.iter().filter(|path| path.is_absolute() && Some(*path) != shims.as_ref()) {
            // A virtual environment is somebody's work, not an interpreter of the host.
            if directory.parent().is_some_and(|parent| parent.join("pyvenv.cfg").exists()) {
                continue;
            }
            let programs = sorted_entries(directory).into_iter();
            found.extend(programs.filter_map(|path| Some(Candidate { language: language_of(&path)?, path })));
        }
        once_each(found)
    }
}

/// The programs that exist and can be started, each real file only where it was found first.
fn once_each(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut seen = BTreeSet::new();
    let program =
        |path: &Path| path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    let real = candidates.into_iter().filter(|candidate| program(&candidate.path));
    real.filter(|candidate| candidate.path.canonicalize().is_ok_and(|path| seen.insert((candidate.language, path))))
        .collect()
}

fn sorted_entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The language of a program by its name: `python3.12`, `R`, `quarto`, `node`, `tensorflow_model_server`.
fn language_of(path: &Path) -> Option<Language> {
    let name = path.file_name()?.to_str()?;
    let minor = |rest: &str| {
        rest.strip_prefix('.').is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()))
    };
    match name {
        "R" => Some(Language::R),
        "quarto" => Some(Language::Quarto),
        "node" => Some(Language::Nodejs),
        "tensorflow_model_server" => Some(Language::Tensorflow),
        "python" | "python3" => Some(Language::Python),
        _ => name.strip_prefix("python3").filter(|rest| minor(rest)).map(|_| Language::Python),
    }
}

/// What this host can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// By language, the lowest version first.
    pub installations: BTreeMap<Language, Vec<Installation>>,
    /// Programs that were named by the operator, or almost fit, and why they are left out.
    pub left_out: Vec<String>,
}

/// Looks for interpreters, or takes those the operator names, and asks each for its version.
pub(super) async fn discover(config: &LocalConfig, places: Places) -> Result<Found, ExecutorError> {
    let mut found = Found::default();
    let named = config.interpreters.clone();
    let is_named = named.is_some();
    let candidates = match named {
        None => blocking(move || Ok(places.candidates())).await?,
        Some(paths) => {
            let mut candidates = Vec::new();
            for path in paths {
                match language_of(&path) {
                    Some(language) => candidates.push(Candidate { language, path }),
                    None => found.left_out.push(format!(
                        "left out {}: expected a program named python3, R, quarto, node or tensorflow_model_server",
                        path.display()
                    )),
                }
            }
            candidates
        }
    };
    let cache_path = config.state_dir.join("interpreters.json");
    let cache = Cache::read(&cache_path);
    let (findings, cache) = probe_all(candidates, cache).await;
    if config.purpose != super::config::Purpose::Observe {
        cache.write(&cache_path);
    }
    for (candidate, finding) in findings {
        take(&mut found, &candidate, finding, is_named);
    }
    for installations in found.installations.values_mut() {
        installations.sort();
    }
    Ok(found)
}

fn take(found: &mut Found, candidate: &Candidate, finding: Finding, is_named: bool) {
    let path = candidate.path.display().to_string();
    let mut leave = |why: String| found.left_out.push(format!("left out {path}: {why}"));
    match finding {
        Finding::Version(version) if candidate.language == Language::Python && version.numbers() < OLDEST_PYTHON => {
            if is_named {
                leave(format!("it is Python {version}, and content needs 3.8 or newer"));
            }
        }
        Finding::Version(version) => {
            found.installations.entry(candidate.language).or_default().push(Installation { version, path });
        }
        // Worth a word also where it was only come across: the cure is one package.
        Finding::NoVenv(version) => {
            leave(format!(
                "Python {version} has no venv module with ensurepip; on Debian and Ubuntu apt-get install python3-venv"
            ));
        }
        Finding::Broken(why) if is_named => leave(why),
        Finding::Broken(why) => tracing::debug!(%path, %why, "not an interpreter"),
    }
}

/// This host as an environment, and what to install for the languages it lacks.
pub(super) fn environment(found: &Found, config: &LocalConfig) -> (Arc<Environment>, Vec<(Language, String)>) {
    let environment = Environment {
        name: ImageRef::localhost(),
        guid: None,
        title: Some("this host".to_owned()),
        description: None,
        matching: Matching::Any,
        supervisor: config.supervisor.as_ref().map(|path| path.display().to_string()),
        installations: found.installations.clone(),
        volume_mounts: Vec::new(),
        digest: None,
        redirect: None,
    };
    let missing = Language::ALL.into_iter().filter(|language| environment.installed(*language).is_empty());
    let missing = missing.map(|language| (language, advice(language).to_owned())).collect();
    (Arc::new(environment), missing)
}

const fn advice(language: Language) -> &'static str {
    match language {
        Language::R => "install R: apt-get install r-base-core, or put it under /opt/R/VERSION",
        Language::Python => {
            "install Python 3.8 or newer with venv: apt-get install python3 python3-venv, or put it under /opt/python/VERSION"
        }
        Language::Quarto => "install Quarto from quarto.org, or put it under /opt/quarto/VERSION",
        Language::Nodejs => "install Node.js: apt-get install nodejs, or put it under /opt/node/VERSION",
        Language::Tensorflow => "install TensorFlow Serving, so that tensorflow_model_server is on the PATH",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_program_is_found_once_and_under_its_most_lasting_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        program(&at("opt/python/3.12.1/bin/python3"));
        program(&at("opt/R/4.4.1/bin/R"));
        program(&at("pyenv/versions/3.11.7/bin/python3.11"));
        symlink("python3.11", at("pyenv/versions/3.11.7/bin/python3")).unwrap();
        program(&at("pyenv/shims/python3"));
        program(&at("usr/bin/python3.9"));
        program(&at("usr/bin/python3-config"));
        program(&at("usr/bin/quarto"));
        fs::write(at("usr/bin/node"), "not executable").unwrap();
        symlink(at("opt/python/3.12.1/bin/python3"), at("usr/bin/python3")).unwrap();
        symlink(at("usr/bin"), at("bin")).unwrap();
        program(&at("venv/bin/python3"));
        fs::write(at("venv/pyvenv.cfg"), "").unwrap();
        let places = Places {
            opt: vec![at("opt"), at("opt/local")],
            pyenv: Some(at("pyenv")),
            path: vec![at("venv/bin"), at("pyenv/shims"), at("usr/bin"), at("bin"), "relative".into()],
        };
        let found: Vec<String> = places
            .candidates()
            .iter()
            .map(|one| format!("{} {}", one.language.key(), one.path.strip_prefix(root.path()).unwrap().display()))
            .collect();
        insta::assert_snapshot!(found.join("\n"));
    }
}
