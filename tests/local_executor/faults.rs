//! What goes wrong on a host: kills at any moment, reboots, foreign programs, disks. Each test ends with the world as it should be.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wharf::executor::local::{LocalConfig, LocalExecutor, SessionProgram};
use wharf::executor::{BundleReader, Executor, ExecutorError};
use wharf::plan::samples::{bundle, run_job, service, time};
use wharf::plan::{ObservedJob, Phase, WantedItem};
use wharf::session::start_ticks;

use crate::conformance::{Files, Harness, bring_up, seen, wait_for_failure, wait_for_good, wait_until_gone};
use crate::host::{Host, get, sessions_below, try_get, until};

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

fn is_alive(pid: &str) -> bool {
    start_ticks(pid.parse().unwrap()).is_some()
}

async fn published(executor: &dyn Executor, item: &WantedItem) -> String {
    executor.publish(&service(item)).await.unwrap();
    url(executor, item).await
}

async fn url(executor: &dyn Executor, item: &WantedItem) -> String {
    let view = executor.view().await.unwrap();
    view.items[&item.slug].service.as_ref().unwrap().url.clone().unwrap()
}

fn address(job: &ObservedJob) -> String {
    format!("http://{}", job.address.as_ref().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_session_is_noticed_and_leaves_nothing_behind() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    let content = get(&address(&ready), "/");
    signal(ready.pid.unwrap(), Signal::SIGKILL);
    let failed = wait_for_failure(&host, executor.as_ref(), &job).await;
    let Phase::Failed { reason, counts, .. } = &failed.phase else { unreachable!() };
    assert!(reason.starts_with("the session was killed") && *counts, "{failed:?}");
    until("the content to be gone", || !is_alive(&content)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_killed_while_nobody_looked_is_noticed_too() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    let content = get(&address(&ready), "/");
    drop(executor);
    signal(ready.pid.unwrap(), Signal::SIGKILL);
    until("the session to be gone", || !is_alive(&ready.pid.unwrap().to_string())).await;
    let executor = host.executor().await;
    let failed = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    assert!(matches!(&failed.phase, Phase::Failed { counts: true, .. }), "{failed:?}");
    until("the content to be gone", || !is_alive(&content)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_is_nobodys_failure() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let address = published(executor.as_ref(), &app).await;
    drop(executor);
    for session in sessions_below(&host.config.data_dir) {
        kill(Pid::from_raw(session), Signal::SIGKILL).unwrap();
    }
    until("the sessions to be gone", || sessions_below(&host.config.data_dir).is_empty()).await;
    // What the next boot finds: states that another one wrote.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for entry in fs::read_dir(host.path("data/jobs")).unwrap().flatten() {
        let state = entry.path().join("state.json");
        if let Ok(text) = fs::read_to_string(&state) {
            fs::write(&state, text.replace(boot.trim(), "00000000-0000-0000-0000-000000000000")).unwrap();
        }
    }
    let executor = host.executor().await;
    let failed = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    let Phase::Failed { reason, counts, .. } = &failed.phase else { panic!("{failed:?}") };
    assert_eq!((reason.as_str(), *counts), ("the host was restarted", false));
    let again = run_job(&app, 0, 1);
    executor.start(&again, time(60)).await.unwrap();
    wait_for_good(&host, executor.as_ref(), &again).await;
    assert_eq!(url(executor.as_ref(), &app).await, address, "the address is the same after a reboot");
    until("the address to answer", || try_get(&address, "/").is_some()).await;
    executor.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_written_down_is_started_by_the_next_process() {
    let host = Host::new();
    let nothing = SessionProgram { program: "/bin/true".into(), arguments: Vec::new() };
    let executor = host.executor_with(|config| config.session = Some(nothing)).await;
    let app = host.app("hello", 1);
    executor.write_bundle(&bundle(&app), host.files()).await.unwrap();
    let job = run_job(&app, 0, 0);
    executor.start(&job, time(0)).await.unwrap();
    wait_for_failure(&host, executor.as_ref(), &job).await;
    drop(executor);
    let executor = host.executor().await;
    wait_for_good(&host, executor.as_ref(), &job).await;
    executor.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_started_is_an_error_and_no_job() {
    let host = Host::new();
    let missing = SessionProgram { program: host.path("missing"), arguments: Vec::new() };
    let executor = host.executor_with(|config| config.session = Some(missing)).await;
    let app = host.app("hello", 1);
    executor.write_bundle(&bundle(&app), host.files()).await.unwrap();
    let refused = executor.start(&run_job(&app, 0, 0), time(0)).await;
    assert!(matches!(&refused, Err(ExecutorError::Start { .. })), "{refused:?}");
    assert!(executor.view().await.unwrap().items[&app.slug].jobs.is_empty());
    drop(executor);
    assert!(host.executor().await.view().await.unwrap().items[&app.slug].jobs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_listen_to_reason_is_killed() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    let content = get(&address(&ready), "/");
    signal(ready.pid.unwrap(), Signal::SIGSTOP);
    executor.stop(&job.name, &ready.uid).await.unwrap();
    let stopping = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    assert_eq!(stopping.phase, Phase::Stopping, "nobody waits for it");
    wait_until_gone(&host, executor.as_ref(), &job).await;
    assert!(!is_alive(&ready.pid.unwrap().to_string()) && !is_alive(&content));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_carried_through_by_the_next_process() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    let session = ready.pid.unwrap();
    signal(session, Signal::SIGSTOP);
    executor.stop(&job.name, &ready.uid).await.unwrap();
    drop(executor);
    let executor = host.executor().await;
    assert_eq!(seen(executor.view().await.unwrap().as_ref(), &job).unwrap().phase, Phase::Stopping);
    drop(executor);
    signal(session, Signal::SIGCONT);
    until("the session to end by itself", || !is_alive(&session.to_string())).await;
    let executor = host.executor().await;
    wait_until_gone(&host, executor.as_ref(), &job).await;
    executor.start(&job, time(60)).await.unwrap();
    wait_for_good(&host, executor.as_ref(), &job).await;
    executor.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_nobody_asked_for_counts() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let job = bring_up(&host, executor.as_ref(), &app).await;
    let ready = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    // As content of the same user can do to its parent.
    signal(ready.pid.unwrap(), Signal::SIGTERM);
    let failed = wait_for_failure(&host, executor.as_ref(), &job).await;
    let Phase::Failed { reason, counts, .. } = &failed.phase else { unreachable!() };
    assert_eq!((reason.as_str(), *counts), ("something else than wharf told it to stop", true));
    executor.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_was_only_renamed_is_finished_and_seen() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    // What is left where the steps after the rename failed.
    let directory = host.path("data/apps").join(app.slug.as_str()).join(app.bundle.as_str());
    fs::create_dir_all(&directory).unwrap();
    executor.write_bundle(&bundle(&app), host.files()).await.unwrap();
    assert_eq!(executor.view().await.unwrap().items[&app.slug].bundles, std::slice::from_ref(&app.bundle));
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o555);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_outlives_its_forwarder() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    bring_up(&host, executor.as_ref(), &app).await;
    let address = published(executor.as_ref(), &app).await;
    let content = get(&address, "/");
    let forwarders = || sessions_below(&host.path("data/jobs").join(format!("forward-{}", app.slug)));
    let kill_forwarder = || {
        let [forwarder] = forwarders()[..] else { panic!("one forwarder, not {:?}", forwarders()) };
        kill(Pid::from_raw(forwarder), Signal::SIGKILL).unwrap();
        forwarder.to_string()
    };
    let killed = kill_forwarder();
    until("the killed forwarder to be gone", || !is_alive(&killed)).await;
    until("the address to answer again", || try_get(&address, "/").as_ref() == Some(&content)).await;
    drop(executor);
    assert_eq!(get(&address, "/"), content, "nobody needs the daemon to be served");
    let killed = kill_forwarder();
    until("the killed forwarder to be gone", || !is_alive(&killed)).await;
    let executor = host.executor().await;
    assert_eq!(url(executor.as_ref(), &app).await, address);
    assert_eq!(get(&address, "/"), content);
    executor.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_else_holds_is_left_to_them() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    bring_up(&host, executor.as_ref(), &app).await;
    let first = published(executor.as_ref(), &app).await;
    executor.unpublish(&app.name, &app.slug).await.unwrap();
    let taken: SocketAddr = first.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let listener = TcpListener::bind(taken).unwrap();
    let second = published(executor.as_ref(), &app).await;
    assert_ne!(first, second);
    assert_eq!(executor.take_notices(), Vec::<String>::new(), "a first choice surprises nobody");
    drop(listener);
    executor.unpublish(&app.name, &app.slug).await.unwrap();
    assert_eq!(published(executor.as_ref(), &app).await, first);

    drop(executor);
    let forwarders = || sessions_below(&host.path("data/jobs").join(format!("forward-{}", app.slug)));
    kill(Pid::from_raw(forwarders()[0]), Signal::SIGKILL).unwrap();
    until("the forwarder to be gone", || forwarders().is_empty()).await;
    let _listener = TcpListener::bind(taken).unwrap();
    let executor = host.executor().await;
    let moved = url(executor.as_ref(), &app).await;
    assert_ne!(moved, first);
    assert!(try_get(&moved, "/").is_some());
    let notices = executor.take_notices();
    assert!(matches!(&notices[..], [notice] if notice.contains("held by another program")), "{notices:?}");
    executor.down().await.unwrap();
}

/// A small file system of its own; needs root.
struct Disk(PathBuf);

impl Disk {
    fn new(path: &Path, options: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        mount(&["-t", "tmpfs", "-o", options, "tmpfs", path.to_str().unwrap()]);
        Self(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy".as_ref(), self.0.as_os_str()]).status();
    }
}

fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "this test needs root, to mount a small file system");
}

fn files_of(text: &str) -> Arc<dyn BundleReader> {
    Files::reader(&[("app.py", text), ("other.txt", "x")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_no_half_bundle() {
    let host = Host::new();
    let _disk = Disk::new(&host.config.data_dir, "size=1m");
    let executor = host.executor().await;
    let (large, small) = (host.app("large", 1), host.app("small", 1));
    let refused = executor.write_bundle(&bundle(&large), files_of(&"x".repeat(4 << 20))).await;
    let Err(error) = refused else { panic!("4 MiB cannot fit into 1 MiB") };
    assert!(error.to_string().contains("free some space"), "{error}");
    assert!(!executor.view().await.unwrap().items.contains_key(&large.slug));
    assert_eq!(fs::read_dir(host.path("data/apps").join(large.slug.as_str())).unwrap().count(), 0);
    executor.write_bundle(&bundle(&small), files_of("pass")).await.unwrap();
    assert_eq!(executor.view().await.unwrap().items[&small.slug].bundles, std::slice::from_ref(&small.bundle));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_data_directory_is_refused_at_the_start() {
    let host = Host::new();
    let disk = Disk::new(&host.config.data_dir, "size=1m");
    drop(host.executor().await);
    mount(&["-o", "remount,ro", disk.0.to_str().unwrap()]);
    let refused = LocalExecutor::open(host.config.clone()).await.map(|_| ());
    let Err(error) = refused else { panic!("nothing can be written there") };
    let text = error.to_string();
    assert!(text.contains("data: Read-only file system") && text.contains("mount it writable"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leaves_the_bundle_is_not_written() {
    let host = Host::new();
    let executor = host.executor().await;
    let app = host.app("hello", 1);
    let refused = executor.write_bundle(&bundle(&app), Files::reader(&[("a.txt", "a"), ("../evil", "b")])).await;
    assert!(refused.is_err());
    let left = fs::read_dir(host.path("data/apps").join(app.slug.as_str())).unwrap();
    assert_eq!(left.count(), 0);
    assert!(!executor.view().await.unwrap().items.contains_key(&app.slug));
}

/// Where the daemon below finds its directories.
const DAEMON: &str = "TEST_DAEMON_ROOT";

/// A daemon in a process of its own, to be killed.
struct Daemon {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Daemon {
    fn start(host: &Host) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["faults::the_daemon_that_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(DAEMON, host.path("config"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Kills it the moment it says a word.
    fn kill_at(mut self, word: &str) {
        let said = self.lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains(word)));
        assert!(said.is_some(), "the daemon ended without saying {word}");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The configuration, for the daemon to read: it is plain values, so that its directories are all that is passed.
fn tell_config(host: &Host) {
    let text = format!("{}\n{}\n{}", host.path("").display(), host.config.ports.start(), host.config.ports.end());
    fs::write(host.path("config"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the daemon of the two tests below, which start it and kill it"]
async fn the_daemon_that_is_killed() {
    let text = fs::read_to_string(std::env::var_os(DAEMON).unwrap()).unwrap();
    let [root, first, last] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    let host = Host::new();
    let root = Path::new(root);
    let config = LocalConfig {
        data_dir: root.join("data"),
        state_dir: root.join("state"),
        ports: first.parse().unwrap()..=last.parse().unwrap(),
        ..host.config.clone()
    };
    let executor = LocalExecutor::open(config).await.unwrap().0;
    let app = host.app("hello", 1);
    executor.write_bundle(&bundle(&app), host.files()).await.unwrap();
    println!("starting");
    bring_up(&host, &executor, &app).await;
    executor.publish(&service(&app)).await.unwrap();
    println!("published");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_takes_nothing_with_it() {
    let host = Host::new();
    tell_config(&host);
    Daemon::start(&host).kill_at("published");
    let running = sessions_below(&host.config.data_dir);
    assert_eq!(running.len(), 2, "a process and its forwarder");
    let app = host.app("hello", 1);
    let job = run_job(&app, 0, 0);
    let executor = host.executor().await;
    let adopted = seen(executor.view().await.unwrap().as_ref(), &job).unwrap();
    assert_eq!(adopted.phase, Phase::Ready);
    assert!(running.contains(&i32::try_from(adopted.pid.unwrap()).unwrap()));
    assert!(try_get(&published(executor.as_ref(), &app).await, "/").is_some());
    assert_eq!(sessions_below(&host.config.data_dir), running, "nothing was started anew");
    // The adopted session is no child of ours; its end is noticed all the same.
    signal(adopted.pid.unwrap(), Signal::SIGKILL);
    wait_for_failure(&host, executor.as_ref(), &job).await;
    executor.down().await.unwrap();
    assert_eq!(sessions_below(&host.config.data_dir), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_while_it_starts_a_job_starts_it_once() {
    for _ in 0..5 {
        let host = Host::new();
        tell_config(&host);
        Daemon::start(&host).kill_at("starting");
        let executor = host.executor().await;
        let app = host.app("hello", 1);
        let job = bring_up(&host, executor.as_ref(), &app).await;
        let directory = host.path("data/jobs").join(job.name.as_str());
        assert_eq!(sessions_below(&directory).len(), 1, "one job is one session");
        executor.down().await.unwrap();
    }
}
