//! Starts sessions and waits for what they say; finds a Python; speaks as much HTTP as a test needs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use wharf::session::protocol::{
    Build, Exit, Install, Outcome, PROTOCOL, Phase, PythonInstall, Run, SessionEntrypoint, SessionJob, SessionLimits,
    SessionState, Work,
};

pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Generous, for a busy machine; nothing waits this long unless it is broken.
const DEADLINE: Duration = Duration::from_mins(3);

/// Looks again and again until there is something to see.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, &mut look)
}

fn until_within<T>(time: Duration, what: &str, look: &mut dyn FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A running Python that can make virtual environments, as the path of the program itself (pyenv's are shims).
pub fn python() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let names = ["python3", "python3.12", "python3.11", "python3.13", "python3.10"];
        let ask = "import sys, venv, ensurepip; assert sys.version_info >= (3, 10); print(sys.executable)";
        let found = names.iter().find_map(|name| {
            let output = Command::new(name).args(["-c", ask]).output().ok()?;
            output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        });
        found.expect("these tests need a CPython from 3.10 on with venv and ensurepip on the PATH")
    })
}

/// A job with nothing special about it.
pub fn job(name: &str, work: Work) -> SessionJob {
    SessionJob {
        protocol: PROTOCOL,
        job: name.to_owned(),
        item: "team/penguins".to_owned(),
        revision: Some("0123456789abcdef".to_owned()),
        environment: "localhost".to_owned(),
        env: BTreeMap::new(),
        secrets: Vec::new(),
        inherit_environment: false,
        interpreters: BTreeMap::from([("python".to_owned(), python().to_owned())]),
        supervisor: None,
        user: None,
        limits: SessionLimits::default(),
        stop_grace_seconds: 20,
        echo_log: false,
        work,
    }
}

/// A run of an appmode on a free port.
pub fn run(bundle: &Path, appmode: &str, file: &str) -> Run {
    Run {
        title: "Penguins".to_owned(),
        bundle: bundle.to_owned(),
        appmode: appmode.to_owned(),
        entrypoint: SessionEntrypoint::File { path: file.to_owned() },
        packages: BTreeMap::new(),
        address: LOCALHOST,
        port: 0,
        init_timeout_seconds: 120,
    }
}

/// A build of a requirements text.
pub fn build(path: &Path, requirements: &str) -> Build {
    let install = PythonInstall {
        requirements: requirements.to_owned(),
        constraints: String::new(),
        server_packages: Vec::new(),
        installer: wharf::session::protocol::Installer::Pip,
        uv: None,
        bundle: None,
        index_url: None,
        extra_index_urls: Vec::new(),
    };
    Build {
        path: path.to_owned(),
        cache_dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("pip-cache"),
        install: Install::Python(install),
        timeout_seconds: None,
    }
}

/// A directory for one test, reachable by every user as a data directory is.
pub fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Writes the files of a bundle.
pub fn bundle(directory: &Path, files: &[(&str, &str)]) -> PathBuf {
    let bundle = directory.join("bundle");
    for (name, text) in files {
        let path = bundle.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    bundle
}

/// A session that was started. Dropping it ends it and what it started.
pub struct Session {
    pub directory: PathBuf,
    child: Child,
}

impl Session {
    pub fn start(directory: &Path, job: &SessionJob) -> Self {
        Self::start_with_secrets(directory, job, "")
    }

    pub fn start_with_secrets(parent: &Path, job: &SessionJob, secrets: &str) -> Self {
        let directory = parent.join(&job.job);
        fs::create_dir_all(&directory).unwrap();
        job.write(&directory).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wharf-session"))
            .arg(&directory)
            .env("OPERATORS_OWN", "not for content")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(secrets.as_bytes()).unwrap();
        Self { directory, child }
    }

    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub fn state(&self) -> Option<SessionState> {
        SessionState::read(&self.directory).unwrap().filter(|state| state.identity.pid == self.pid().as_raw())
    }

    /// Waits for a state; an end that was not waited for fails at once.
    pub fn wait(&self, what: &str, is: impl Fn(&SessionState) -> bool) -> SessionState {
        until(what, || {
            let state = self.state()?;
            if is(&state) {
                return Some(state);
            }
            assert!(state.phase != Phase::Exited, "waited for {what}, but {:#?}\n{}", state.exit, self.log());
            None
        })
    }

    pub fn ready(&self) -> SocketAddr {
        let state = self.wait("ready", |state| state.phase == Phase::Ready);
        SocketAddr::new(LOCALHOST, state.port.unwrap())
    }

    pub fn exit(&self) -> Exit {
        self.wait("exited", |state| state.phase == Phase::Exited).exit.unwrap()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(), signal).unwrap();
    }

    /// Asks it to end and says how it did.
    pub fn stop(&self) -> Exit {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.exit()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join(wharf::session::LOG_FILE)).unwrap_or_default()
    }

    /// Ends it without a chance to tidy up.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let identity = self.state().map(|state| state.identity);
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(identity) = identity {
            identity.end_leftovers();
        }
    }
}

/// A GET; the status and the rest of the answer. An error is one that a visitor would see.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.map(|status| (status, answer)).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// Asks for a WebSocket as a browser does that came through a proxy of this name; the status of the answer.
pub fn upgrade(address: SocketAddr, path: &str, host: &str, protocols: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let protocols =
        if protocols.is_empty() { String::new() } else { format!("Sec-WebSocket-Protocol: {protocols}\r\n") };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocols}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    String::from_utf8_lossy(&status).split(' ').nth(1).unwrap().parse().unwrap()
}

/// A package environment that several tests use: built by a session, kept between runs of the tests.
pub fn environment(requirements: &str) -> PathBuf {
    let text = format!("{} {requirements}", python().display());
    let key = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{key:016x}"));
    if !wharf::session::is_complete(&path) {
        let directory = directory();
        let session = Session::start(directory.path(), &job("build-shared", Work::Build(build(&path, requirements))));
        let exit =
            until_within(Duration::from_mins(15), "the shared package environment", &mut || session.state()?.exit);
        assert_eq!(exit.outcome, Outcome::Succeeded, "{exit:#?}");
    }
    path
}
