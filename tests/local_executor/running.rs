//! What running on this host means: addresses, ports, users, secrets, queues, interpreters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use wharf::executor::local::{LocalConfig, Purpose, UserMode};
use wharf::executor::{Candidates, Executor, ExecutorError, LogRequest};
use wharf::model::{EnvironmentValue, Language};
use wharf::plan::samples::{build_job, bundle, run_job, service, static_site, time};
use wharf::plan::{ExecutorView, Phase, ServiceSpec, Target};

use crate::conformance::{Harness, bring_up, seen, wait_for, wait_for_failure, wait_for_good, wait_until_gone};
use crate::host::{Host, get, try_get, until};

/// The url of an item's service.
async fn url(executor: &dyn Executor, item: &wharf::plan::WantedItem) -> String {
    let view = executor.view().await.unwrap();
    view.items[&item.slug].service.as_ref().unwrap().url.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_of_one_item_share_its_address_and_the_dead_ones_leave_it() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    bring_up(&host, executor.as_ref(), &app).await;
    let second = run_job(&app, 1, 0);
    executor.start(&second, time(0)).await.unwrap();
    let second_seen = wait_for_good(&host, executor.as_ref(), &second).await;
    executor.publish(&service(&app)).await.unwrap();
    let url = url(executor.as_ref(), &app).await;
    let answers: BTreeSet<String> = (0..8).map(|_| get(&url, "/")).collect();
    assert_eq!(answers.len(), 2, "both processes answer");

    let content = get(&format!("http://{}", second_seen.address.unwrap()), "/");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(content.parse().unwrap()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    let failed = wait_for_failure(&host, executor.as_ref(), &second).await;
    assert_eq!(failed.address, None);
    until("the dead process to leave the address", || {
        (0..8).all(|_| try_get(&url, "/").is_some_and(|answer| answer != content))
    })
    .await;
    executor.down().await.unwrap();
    assert_eq!(try_get(&url, "/"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_of_root_becomes_nobody_in_particular() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root, to become somebody else");
    let host = Host::new();
    let python = PathBuf::from("/usr/bin/python3");
    assert!(python.exists(), "this test needs a python3 that every user can start: apt-get install python3");
    let reachable = |config: &mut LocalConfig| {
        config.user = UserMode::Auto;
        config.interpreters = Some(vec![python.clone()]);
    };
    let executor = host.executor_with(reachable).await;
    let app = host.app_with("hello", 1, |content| {
        let chosen = content.environment.installations.get_mut(&Language::Python).unwrap();
        chosen.path = python.display().to_string();
    });
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    assert_eq!(get(&format!("http://{}", ready.address.unwrap()), "/user"), "65532");
    executor.down().await.unwrap();
}

/// Every regular file below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_content_and_nothing_else() {
    const VALUE: &str = "open-sesame-7c1f";
    let host = Host::new();
    let secrets = host.path("secrets");
    fs::create_dir_all(secrets.join("database")).unwrap();
    fs::write(secrets.join("database/password"), VALUE).unwrap();
    let executor = host.executor_with(|config| config.secrets_dir = Some(secrets.clone())).await;
    let secret = |key: &str| EnvironmentValue::Secret { secret: "database".to_owned(), key: key.to_owned() };
    let app = host.app_with("hello", 1, |content| {
        content.variables = BTreeMap::from([("PASSWORD".to_owned(), secret("password"))]);
    });
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    assert_eq!(get(&format!("http://{}", ready.address.as_ref().unwrap()), "/variable/PASSWORD"), VALUE);
    let piece = executor.log(&ready, LogRequest { offset: 0, limit: 1 << 20 }).await.unwrap();
    assert!(piece.text.contains("listening with password ****") && !piece.text.contains(VALUE), "{}", piece.text);
    for file in files_below(&host.config.data_dir) {
        let bytes = fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(VALUE), "{} holds the secret", file.display());
    }
    let forgetful = host.app_with("forgetful", 1, |content| {
        content.variables = BTreeMap::from([("TOKEN".to_owned(), secret("token"))]);
    });
    executor.write_bundle(&bundle(&forgetful), host.files()).await.unwrap();
    let refused = executor.start(&run_job(&forgetful, 0, 0), time(0)).await;
    assert!(matches!(&refused, Err(ExecutorError::Secret { key, .. }) if key == "token"), "{refused:?}");
    assert!(executor.view().await.unwrap().items[&forgetful.slug].jobs.is_empty());
    executor.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_wait_for_a_free_slot_also_over_a_restart() {
    let host = Host::new();
    // A build that goes on until it is ended.
    let endless = host.program("endless", "#!/bin/sh\nexec sleep 1000\n");
    let endless = |name: &str| {
        let packages = host.packaged(name).content.as_ref().unwrap().packages.clone();
        let app = host.app_with(name, 1, |content| {
            content.packages = packages;
            let python = content.environment.installations.get_mut(&Language::Python).unwrap();
            python.path = endless.display().to_string();
        });
        build_job(&app, 0)
    };
    let (first, second) = (endless("first"), endless("second"));
    let one_at_once = |config: &mut LocalConfig| config.builds_at_once = Some(1);
    let executor = host.executor_with(one_at_once).await;
    executor.start(&first, time(0)).await.unwrap();
    executor.start(&second, time(1)).await.unwrap();
    let waits = |view: &ExecutorView| seen(view, &second).unwrap().phase;
    let queued = Phase::Starting { progress: Some("waiting for a free build slot".to_owned()) };
    assert_eq!(waits(executor.view().await.unwrap().as_ref()), queued);
    let running = seen(executor.view().await.unwrap().as_ref(), &first).unwrap();
    drop(executor);

    let executor = host.executor_with(one_at_once).await;
    assert_eq!(waits(executor.view().await.unwrap().as_ref()), queued);
    let adopted = seen(executor.view().await.unwrap().as_ref(), &first).unwrap();
    assert_eq!((&adopted.uid, adopted.pid), (&running.uid, running.pid));
    executor.stop(&first.name, &running.uid).await.unwrap();
    let begun = |view: &ExecutorView| seen(view, &second).filter(|job| job.pid.is_some()).map(|_| ());
    wait_for(&host, executor.as_ref(), "the second build to begin", begun).await;
    assert_eq!(executor.down().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn this_host_is_an_environment() {
    let host = Host::new();
    let search = |config: &mut LocalConfig| config.interpreters = None;
    let executor = host.executor_with(search).await;
    let Candidates::Host { environment, missing } = executor.candidates().await.unwrap() else {
        panic!("the candidates of this executor are this host");
    };
    assert_eq!(environment.name.as_str(), "localhost");
    assert!(!environment.installed(Language::Python).is_empty(), "these tests run with a Python of this host");
    for language in Language::ALL {
        let advised = missing.iter().any(|(missing, advice)| *missing == language && advice.contains("install "));
        assert_ne!(environment.installed(language).is_empty(), !advised, "{language}: installed, or what to install");
    }
    drop(executor);
    let kept = fs::read_to_string(host.path("state/interpreters.json")).unwrap();
    for installation in environment.installed(Language::Python) {
        assert!(kept.contains(&installation.path), "what {} said is remembered", installation.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_by_the_daemon_at_a_path() {
    let host = Host::new();
    let executor = host.executor_with(|config| config.serve_base_url = Some("http://127.0.0.1:8710".to_owned())).await;
    let site = static_site("docs/user guide", 1);
    executor.write_bundle(&bundle(&site), host.files()).await.unwrap();
    let target = Target::Bundle { id: site.bundle.clone(), index: Some("index.html".to_owned()) };
    executor.publish(&ServiceSpec { target, ..service(&site) }).await.unwrap();
    assert_eq!(url(executor.as_ref(), &site).await, "http://127.0.0.1:8710/docs/user%20guide/");
    let served = executor.served(&site.name).unwrap();
    assert!(served.directory.join("data/deep/x.csv").is_file());
    assert_eq!(served.index.as_deref(), Some("index.html"));
    executor.unpublish(&site.name, &site.slug).await.unwrap();
    assert_eq!(executor.served(&site.name), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_stopped_job_can_still_be_read() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    executor.stop(&job.name, &ready.uid).await.unwrap();
    wait_until_gone(&host, executor.as_ref(), &job).await;
    let piece = executor.log(&ready, LogRequest { offset: 0, limit: 1 << 20 }).await.unwrap();
    assert!(piece.ended && piece.text.contains("listening with"), "{piece:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing() {
    let host = Host::new();
    let look = |config: &mut LocalConfig| config.purpose = Purpose::Observe;
    assert!(host.executor_with(look).await.view().await.unwrap().items.is_empty());
    assert!(!host.config.data_dir.exists());

    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    executor.publish(&service(&app)).await.unwrap();
    let observer = host.executor_with(look).await;
    assert_eq!(observer.view().await.unwrap().items, executor.view().await.unwrap().items);
    // It goes on seeing what the other does.
    let ready = seen(observer.view().await.unwrap().as_ref(), &job).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(ready.pid.unwrap()).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    wait_for_failure(&host, observer.as_ref(), &job).await;
    executor.down().await.unwrap();
    drop(executor);
    let before = files_below(&host.config.data_dir);
    drop(host.executor_with(look).await);
    assert_eq!(files_below(&host.config.data_dir), before);
}
