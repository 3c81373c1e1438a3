//! Builds: what is installed, what is said when it fails, and that a half-made environment is never used.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::Signal;
use wharf::session::protocol::{ContentUser, Install, Outcome, Phase, Work};
use wharf::session::{COMPLETE_FILE, Complete, is_complete};

use crate::harness::{Session, build, bundle, directory, job, until};

/// A package without dependencies whose build says that it began, and waits until it may go on.
const BACKEND: &str = r#"
import os, time, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with open("DIRECTORY/began", "a") as began:
        began.write("once\n")
    while not os.path.exists("DIRECTORY/go"):
        time.sleep(0.01)
    name = "slow-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("slow.py", "")
        wheel.writestr("slow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
        wheel.writestr("slow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("slow-1.0.dist-info/RECORD", "")
    return name
"#;
const PROJECT: &str = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\n[project]\nname = \"slow\"\nversion = \"1.0\"\n";

/// A build of the slow package.
fn slow(directory: &Path, path: &Path) -> Work {
    let backend = BACKEND.replace("DIRECTORY", &directory.display().to_string());
    let bundle = bundle(directory, &[("slow/pyproject.toml", PROJECT), ("slow/backend.py", &backend)]);
    let mut build = build(path, "./slow\n");
    let Install::Python(install) = &mut build.install;
    install.bundle = Some(bundle);
    Work::Build(build)
}

#[test]
fn packages_are_installed_once() {
    let directory = directory();
    let path = directory.path().join("key");
    let mut work = build(&path, "flask\n");
    let Install::Python(install) = &mut work.install;
    install.server_packages = vec!["waitress==3.0.2".to_owned()];
    let session = Session::start(directory.path(), &job("build-one", Work::Build(work.clone())));
    let mut said = Vec::new();
    let exit = until("the end of the build", || {
        let state = session.state()?;
        said.extend(state.progress.filter(|text| said.last() != Some(text)));
        state.exit
    });
    assert_eq!(exit.outcome, Outcome::Succeeded, "{exit:#?}");
    assert!(exit.reason.starts_with("installed "), "{}", exit.reason);
    for beginning in ["making a virtual environment", "collecting "] {
        assert!(said.iter().any(|text| text.starts_with(beginning)), "{beginning:?} is not in {said:#?}");
    }
    let complete = Complete::read(&path).unwrap().unwrap();
    assert!(complete.packages.contains(&"waitress 3.0.2".to_owned()), "{complete:#?}");
    assert!(complete.packages.iter().any(|package| package.starts_with("flask ")), "{complete:#?}");

    let again = Session::start(directory.path(), &job("build-two", Work::Build(work)));
    assert_eq!(again.exit().reason, "the packages were installed already");
    assert!(!again.log().contains("virtual environment"), "{}", again.log());
}

#[test]
fn a_requirement_that_cannot_be_met_is_named() {
    let directory = directory();
    let path = directory.path().join("key");
    let work = build(&path, "--no-index\nwharf-has-no-such-package==9\n");
    let session = Session::start(directory.path(), &job("build-bad", Work::Build(work)));
    let exit = session.exit();
    assert_eq!(exit.outcome, Outcome::Failed);
    assert_eq!(
        exit.reason,
        "the packages could not be installed: No matching distribution found for wharf-has-no-such-package==9"
    );
    assert!(exit.tail.iter().any(|line| line.contains("from versions: none")), "{:#?}", exit.tail);
    assert!(!is_complete(&path));
}

#[test]
fn a_python_without_venv_is_explained() {
    let directory = directory();
    let bundle =
        bundle(directory.path(), &[("python3", "#!/bin/sh\necho 'because ensurepip is not available.'\nexit 1\n")]);
    let python = bundle.join("python3");
    fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut job = job("build-bare", Work::Build(build(&directory.path().join("key"), "flask\n")));
    job.interpreters.insert("python".to_owned(), python);
    let exit = Session::start(directory.path(), &job).exit();
    assert!(
        exit.reason.ends_with("cannot make virtual environments: install python3-venv for it, or use another Python"),
        "{exit:?}"
    );
}

#[test]
fn a_killed_build_is_done_again() {
    let directory = directory();
    let path = directory.path().join("key");
    let began = directory.path().join("began");
    let work = slow(directory.path(), &path);
    let mut killed = Session::start(directory.path(), &job("build-killed", work.clone()));
    until("the package's own build", || began.exists().then_some(()));
    killed.kill();
    assert!(!is_complete(&path));
    assert!(killed.state().is_some_and(|state| !state.is_alive() && state.phase == Phase::Installing));

    fs::write(directory.path().join("go"), "").unwrap();
    let again = Session::start(directory.path(), &job("build-again", work));
    let exit = again.exit();
    assert_eq!(exit.outcome, Outcome::Succeeded, "{exit:#?}\n{}", again.log());
    assert!(Complete::read(&path).unwrap().unwrap().packages.contains(&"slow 1.0".to_owned()));
    assert_eq!(fs::read_to_string(began).unwrap().lines().count(), 2);
    assert!(!directory.path().join("key.lease").exists());
}

#[test]
fn of_two_builds_at_once_one_builds() {
    let directory = directory();
    let path = directory.path().join("key");
    let work = slow(directory.path(), &path);
    let began = directory.path().join("began");
    let first = Session::start(directory.path(), &job("build-first", work.clone()));
    until("the package's own build", || began.exists().then_some(()));
    let second = Session::start(directory.path(), &job("build-second", work));
    let waiting = second.wait("waiting", |state| state.progress.is_some()).progress;
    assert_eq!(waiting.as_deref(), Some("waiting for build-first, which installs the same packages"));
    fs::write(directory.path().join("go"), "").unwrap();
    assert_eq!(first.exit().outcome, Outcome::Succeeded);
    assert_eq!(second.exit().reason, "the packages were installed already");
    assert_eq!(fs::read_to_string(began).unwrap(), "once\n");
}

#[test]
fn content_cannot_change_what_was_built_for_all() {
    let directory = directory();
    let path = directory.path().join("key");
    let mut work = build(&path, "");
    work.cache_dir = directory.path().join("cache");
    let mut job = job("build-owned", Work::Build(work));
    job.user = Some(ContentUser { uid: 65532, gid: 65532 });
    let me = nix::unistd::getuid();
    if me.is_root() {
        // The one Python that every user can reach.
        job.interpreters.insert("python".to_owned(), "/usr/bin/python3".into());
    }
    let session = Session::start(directory.path(), &job);
    let exit = session.exit();
    assert_eq!(exit.outcome, Outcome::Succeeded, "{exit:#?}");
    let owner = |path: &Path| fs::symlink_metadata(path).unwrap().uid();
    assert_eq!(owner(&path.join("bin/pip")), me.as_raw());
    let builder = if me.is_root() { 65532 } else { me.as_raw() };
    assert_eq!(owner(&session.directory.join("tmp")), builder);
    assert_eq!(fs::metadata(path.join(COMPLETE_FILE)).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn a_build_that_hangs_is_ended() {
    let directory = directory();
    let path = directory.path().join("key");
    let Work::Build(mut build) = slow(directory.path(), &path) else { unreachable!("slow makes a build") };
    build.timeout_seconds = Some(1);
    let exit = Session::start(directory.path(), &job("build-hanging", Work::Build(build))).exit();
    let reason = "installing its packages took longer than the 1 s that it may, and was ended";
    assert_eq!((exit.outcome, exit.reason.as_str()), (Outcome::Failed, reason), "{exit:#?}");
    assert!(!is_complete(&path) && !directory.path().join("key.lease").exists());
}

#[test]
fn a_build_that_is_stopped_leaves_the_lease() {
    let directory = directory();
    let path = directory.path().join("key");
    let began = directory.path().join("began");
    let session = Session::start(directory.path(), &job("build-stopped", slow(directory.path(), &path)));
    until("the package's own build", || began.exists().then_some(()));
    session.signal(Signal::SIGTERM);
    let exit = session.exit();
    assert_eq!(exit.outcome, Outcome::Stopped, "{exit:#?}");
    assert!(!is_complete(&path) && !directory.path().join("key.lease").exists());
}
