//! Runs: content that only needs an interpreter, and every way in which it ends. `python-gradio` starts a plain file, so
//! it stands for all of them here.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use wharf::session::protocol::{Confinement, ContentUser, Outcome, Phase, SessionJob, Work};
use wharf::session::start_ticks;

use crate::harness::{LOCALHOST, Session, bundle, directory, get, job, run, until};

/// Serves what the expression `answer` gives.
const SERVER: &str = r#"
import http.server, os, signal, subprocess, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(answer(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def serve():
    port = int(os.environ["GRADIO_SERVER_PORT"])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

/// A job that runs this script.
fn script(directory: &Path, text: &str) -> SessionJob {
    let bundle = bundle(directory, &[("app.py", text)]);
    job("run-penguins", Work::Run(run(&bundle, "python-gradio", "app.py")))
}

/// A job that serves this expression.
fn server(directory: &Path, answer: &str) -> SessionJob {
    script(directory, &format!("{SERVER}\nanswer = lambda path: {answer}\nserve()\n"))
}

fn edit(job: &mut SessionJob, change: impl FnOnce(&mut wharf::session::protocol::Run)) {
    if let Work::Run(run) = &mut job.work {
        change(run);
    }
}

#[test]
fn content_is_served_from_its_own_copy() {
    let directory = directory();
    let session = Session::start(
        directory.path(),
        &server(directory.path(), "open('app.py', 'w').write('changed') and os.getcwd()"),
    );
    let (status, answer) = get(session.ready(), "/").unwrap();
    assert_eq!(status, 200);
    assert!(answer.ends_with("/run-penguins/app"), "{answer}");
    assert!(fs::read_to_string(directory.path().join("bundle/app.py")).unwrap().contains("serve()"));
    let state = session.state().unwrap();
    assert!(state.is_alive() && state.ready_at >= Some(state.started_at) && state.child_pid.is_some());
    let exit = session.stop();
    assert_eq!((exit.outcome, exit.signal), (Outcome::Stopped, Some(Signal::SIGTERM as i32)));
    assert_eq!(exit.reason, "was asked to stop and did");
}

#[test]
fn the_log_begins_with_what_runs_where() {
    let directory = directory();
    let session = Session::start(
        directory.path(),
        &script(directory.path(), "import sys\nprint('to you')\nprint('to them', file=sys.stderr)\nsys.exit(3)\n"),
    );
    let mut exit = session.exit();
    let mut lines: Vec<String> = session.log().lines().map(str::to_owned).collect();
    // The two streams are read by two threads.
    exit.tail.sort_by_key(|line| line == "to them");
    lines.sort_by_key(|line| line.starts_with("err"));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    insta::with_settings!({filters => vec![
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]"),
        (r"interpreter: python .*", "interpreter: python [path]"),
        (r"user: \d+", "user: [uid]"),
        (r"port \d+", "port [port]"),
    ]}, {
        insta::assert_snapshot!("log", lines.join("\n").replace(host.trim(), "[host]"));
        insta::assert_json_snapshot!("exit", exit);
    });
}

#[test]
fn an_import_error_is_the_reason() {
    let directory = directory();
    let session = Session::start(directory.path(), &script(directory.path(), "import no_such_module\n"));
    let exit = session.exit();
    assert_eq!((exit.outcome, exit.code), (Outcome::Failed, Some(1)));
    let expected = "ModuleNotFoundError: No module named 'no_such_module' (is it listed in the item's requirements?)";
    assert!(exit.reason.ends_with(expected), "{}", exit.reason);
    assert!(exit.tail.iter().any(|line| line.contains("import no_such_module")), "{:#?}", exit.tail);
}

#[test]
fn a_port_that_never_opens_is_the_reason() {
    let directory = directory();
    let mut job = script(directory.path(), "import signal\nsignal.pause()\n");
    edit(&mut job, |run| run.init_timeout_seconds = 1);
    let session = Session::start(directory.path(), &job);
    let exit = session.exit();
    assert_eq!(exit.outcome, Outcome::Failed);
    assert!(
        exit.reason.starts_with("did not listen on port ") && exit.reason.contains("within 1 s"),
        "{}",
        exit.reason
    );
}

#[test]
fn a_crash_is_named() {
    let directory = directory();
    let session = Session::start(
        directory.path(),
        &script(directory.path(), "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"),
    );
    let exit = session.exit();
    assert_eq!(exit.signal, Some(Signal::SIGSEGV as i32));
    assert!(exit.reason.starts_with("crashed in native code (SIGSEGV) before it listened"), "{}", exit.reason);
}

#[test]
fn content_that_will_not_stop_is_killed() {
    let directory = directory();
    let text = format!("{SERVER}\nanswer = str\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nserve()\n");
    let mut job = script(directory.path(), &text);
    job.stop_grace_seconds = 1;
    let session = Session::start(directory.path(), &job);
    session.ready();
    let exit = session.stop();
    assert_eq!((exit.outcome, exit.signal), (Outcome::Stopped, Some(Signal::SIGKILL as i32)));
    assert_eq!(exit.reason, "was asked to stop, did not within 1 s, and was killed");
}

#[test]
fn a_stop_waits_for_the_content() {
    let directory = directory();
    let mark = directory.path().join("mark");
    let text = format!(
        "{SERVER}\nanswer = str\ndef end(*_):\n    open({:?}, 'w').write('tidy')\n    os._exit(0)\nsignal.signal(signal.SIGTERM, end)\nserve()\n",
        mark.display().to_string()
    );
    let session = Session::start(directory.path(), &script(directory.path(), &text));
    session.ready();
    let exit = session.stop();
    assert_eq!((exit.outcome, exit.code), (Outcome::Stopped, Some(0)));
    assert_eq!(fs::read_to_string(mark).unwrap(), "tidy");
}

#[test]
fn nothing_that_content_started_stays() {
    let directory = directory();
    let answer = "subprocess.Popen(['sleep', '1000'], start_new_session=True).pid";
    let session = Session::start(directory.path(), &server(directory.path(), answer));
    let (_, answer) = get(session.ready(), "/").unwrap();
    let pid: i32 = answer.rsplit('\n').next().unwrap().trim().parse().unwrap();
    assert!(start_ticks(pid).is_some());
    session.stop();
    assert_eq!(start_ticks(pid), None);
}

#[test]
fn a_killed_session_takes_its_content_along() {
    let directory = directory();
    let mut session = Session::start(directory.path(), &server(directory.path(), "1"));
    session.ready();
    let state = session.state().unwrap();
    session.kill();
    assert!(!state.is_alive());
    until("the end of the content", || start_ticks(state.child_pid.unwrap()).is_none().then_some(()));
    assert_eq!(session.state().unwrap().phase, Phase::Ready, "nobody was left to say that it ended");
}

#[test]
fn a_session_outlives_who_started_it() {
    let directory = directory();
    let job = server(directory.path(), "1");
    let parent = directory.path().join(&job.job);
    fs::create_dir_all(&parent).unwrap();
    job.write(&parent).unwrap();
    // A shell starts it and is gone.
    let program = env!("CARGO_BIN_EXE_wharf-session");
    let command = format!("{program} {} </dev/null >/dev/null 2>&1 &", parent.display());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    let read = || wharf::session::protocol::SessionState::read(&parent).unwrap();
    let state = until("ready", || read().filter(|state| state.phase == Phase::Ready));
    assert!(state.is_alive());
    assert_eq!(get((LOCALHOST, state.port.unwrap()).into(), "/").unwrap().0, 200);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(state.identity.pid), Signal::SIGTERM).unwrap();
    let ended = until("the end", || read().filter(|state| state.phase == Phase::Exited));
    assert_eq!(ended.identity, state.identity);
    assert_eq!(ended.exit.unwrap().outcome, Outcome::Stopped);
}

#[test]
fn secrets_reach_the_content_and_nothing_else() {
    let directory = directory();
    let text = format!(
        "{SERVER}\nprint('password is', os.environ['PASSWORD'], flush=True)\nanswer = lambda path: os.environ['PASSWORD']\nserve()\n"
    );
    let mut job = script(directory.path(), &text);
    job.secrets = vec!["PASSWORD".to_owned()];
    let session = Session::start_with_secrets(directory.path(), &job, r#"{"PASSWORD": "correct-horse", "OTHER": "x"}"#);
    assert!(get(session.ready(), "/").unwrap().1.ends_with("correct-horse"));
    let exit = session.stop();
    assert!(exit.tail.contains(&"password is ********".to_owned()), "{:#?}", exit.tail);
    let found =
        std::process::Command::new("grep").args(["-r", "correct-horse"]).arg(&session.directory).output().unwrap();
    assert!(!found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));

    job.secrets.push("ABSENT".to_owned());
    let exit = Session::start_with_secrets(directory.path(), &job, r#"{"PASSWORD": "correct-horse"}"#).exit();
    assert!(exit.reason.starts_with("the secret ABSENT was not given to this job"), "{}", exit.reason);
}

#[test]
fn the_environment_is_the_items_own() {
    let directory = directory();
    let mut job = server(directory.path(), "sorted(os.environ.items())");
    job.env = BTreeMap::from([
        ("GREETING".to_owned(), "hello".to_owned()),
        ("GRADIO_SERVER_PORT".to_owned(), "1".to_owned()),
    ]);
    let session = Session::start(directory.path(), &job);
    let (_, answer) = get(session.ready(), "/").unwrap();
    assert!(answer.contains("('GREETING', 'hello')") && answer.contains("('LANG', 'C.UTF-8')"), "{answer}");
    assert!(answer.contains("run-penguins/home')") && !answer.contains("OPERATORS_OWN"), "{answer}");
}

/// As in a pod: the image's variables are the content's, and so are secrets that the pod sets.
#[test]
fn a_containers_environment_is_kept() {
    let directory = directory();
    let mut job = server(directory.path(), "(os.environ['OPERATORS_OWN'], os.environ['HOME'])");
    job.inherit_environment = true;
    job.secrets = vec!["OPERATORS_OWN".to_owned()];
    let session = Session::start(directory.path(), &job);
    let (_, answer) = get(session.ready(), "/").unwrap();
    assert!(answer.contains("not for content") && answer.contains("run-penguins/home"), "{answer}");
}

#[test]
fn memory_has_a_limit() {
    let directory = directory();
    let mut job = script(directory.path(), "kept = [bytearray(1 << 20) for _ in range(4096)]\n");
    job.limits.memory_bytes = Some(256 << 20);
    let session = Session::start(directory.path(), &job);
    let exit = session.exit();
    assert_eq!(exit.reason, "ran out of memory: its limit is 256 MiB", "{exit:#?}");
    assert_ne!(session.state().unwrap().confinement, Confinement::None);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = directory();
    let taken = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut job = server(directory.path(), "1");
    edit(&mut job, |run| run.port = port);
    let exit = Session::start(directory.path(), &job).exit();
    assert!(
        exit.reason.starts_with(&format!("port {port} of 127.0.0.1 is in use by another program")),
        "{}",
        exit.reason
    );
}

/// A supervisor that leaves a mark.
fn supervisor(directory: &Path) -> PathBuf {
    let path = directory.join("supervise");
    fs::write(&path, "#!/bin/sh\necho \"supervised $1\"\nexec \"$@\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_supervisor_starts_the_program() {
    let directory = directory();
    let mut job = server(directory.path(), "1");
    job.supervisor = Some(supervisor(directory.path()));
    let session = Session::start(directory.path(), &job);
    session.ready();
    until("the supervisor's line", || session.log().contains("supervised /").then_some(()));
    session.stop();

    job.supervisor = Some(directory.path().join("absent"));
    let exit = Session::start(directory.path(), &job).exit();
    assert!(exit.reason.starts_with("the supervisor /") && exit.reason.contains("does not exist"), "{}", exit.reason);
}

#[test]
fn content_of_a_root_session_is_somebody_else() {
    let directory = directory();
    let mut job = server(
        directory.path(),
        "(os.getuid(), os.getgid(), os.getgroups(), os.access(os.path.dirname(os.getcwd()) + '/job.json', os.R_OK))",
    );
    job.user = Some(ContentUser { uid: 65532, gid: 65532 });
    let me = nix::unistd::getuid();
    if me.is_root() {
        // The one Python that every user can reach.
        job.interpreters.insert("python".to_owned(), PathBuf::from("/usr/bin/python3"));
    }
    let session = Session::start(directory.path(), &job);
    let (_, answer) = get(session.ready(), "/").unwrap();
    let expected = if me.is_root() { "(65532, 65532, [], False)".to_owned() } else { format!("({me}, ") };
    assert!(answer.contains(&expected), "{answer}");
}

#[test]
fn a_job_of_another_protocol_is_refused() {
    let directory = directory();
    let mut job = server(directory.path(), "1");
    job.protocol = 999;
    let exit = Session::start(directory.path(), &job).exit();
    assert!(exit.reason.contains("speaks session protocol 999, this program speaks 1"), "{}", exit.reason);
}

#[test]
fn an_appmode_that_is_not_known_is_named() {
    let directory = directory();
    let mut job = server(directory.path(), "1");
    edit(&mut job, |run| run.appmode = "cobol".to_owned());
    let exit = Session::start(directory.path(), &job).exit();
    assert_eq!(exit.reason, "cobol content cannot be started by this version of Wharf");
}
