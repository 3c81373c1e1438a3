//! A data directory of its own, items that need no packages, and small questions to what runs: the harness of this host.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use wharf::executor::local::{LocalConfig, LocalExecutor, SessionProgram, UserMode};
use wharf::executor::{BundleReader, Executor};
use wharf::model::{Appmode, Digest, Entrypoint, EnvironmentValue, Language, SelectedInstallation};
use wharf::plan::samples;
use wharf::plan::{ContentSpec, PackageKey, PackageSpec, WantedItem};

use crate::conformance::{DEADLINE, Files, Harness};

/// Answers with who it is: `/` its process id, `/user` its user, `/variable/NAME` one of its variables.
const APP: &str = r#"
import http.server, os

print("listening with password", os.environ.get("PASSWORD"), flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = self.path.strip("/").split("/")
        answer = {"": str(os.getpid()), "user": str(os.getuid())}.get(parts[0])
        if parts[0] == "variable":
            answer = os.environ.get(parts[1], "")
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

http.server.HTTPServer(("127.0.0.1", int(os.environ["GRADIO_SERVER_PORT"])), Handler).serve_forever()
"#;
const BROKEN: &str = "import os\nraise SystemExit(os.environ['REASON'])\n";
/// Stands in for Python where a document is rendered: writes the page that nbconvert would.
const RENDERER: &str = "#!/bin/sh\nfor argument in \"$@\"; do case \"$argument\" in --output-dir=*) echo '<p>rendered' > \"${argument#--output-dir=}/index.html\";; esac; done\n";

/// A data directory and what goes with it. Dropping it ends whatever still runs there.
pub struct Host {
    root: tempfile::TempDir,
    pub config: LocalConfig,
    python: PathBuf,
}

impl Host {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_wharf-session"));
        let python = python();
        let config = LocalConfig {
            session: Some(SessionProgram { program, arguments: Vec::new() }),
            user: UserMode::Same,
            interpreters: Some(vec![python.clone()]),
            ports: free_range(),
            ..LocalConfig::new(root.path().join("data"), root.path().join("state"), samples::instance("test"))
        };
        Self { root, config, python }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub async fn executor(&self) -> Arc<LocalExecutor> {
        self.executor_with(|_| ()).await
    }

    pub async fn executor_with(&self, change: impl FnOnce(&mut LocalConfig)) -> Arc<LocalExecutor> {
        let mut config = self.config.clone();
        change(&mut config);
        Arc::new(LocalExecutor::open(config).await.unwrap_or_else(|error| panic!("cannot open: {error}")).0)
    }

    /// An item whose content is changed.
    pub fn item(&self, item: &WantedItem, change: impl FnOnce(&mut ContentSpec)) -> Arc<WantedItem> {
        let mut item = item.clone();
        let mut content = item.content.as_deref().unwrap().clone();
        content.packages = None;
        content.environment.image = "localhost".parse().unwrap();
        let python =
            SelectedInstallation { version: "3.12.0".parse().unwrap(), path: self.python.display().to_string() };
        content.environment.installations = BTreeMap::from([(Language::Python, python)]);
        change(&mut content);
        item.content = Some(Arc::new(content));
        Arc::new(item)
    }

    /// An interactive item whose content is changed.
    pub fn app_with(&self, name: &str, seed: u32, change: impl FnOnce(&mut ContentSpec)) -> Arc<WantedItem> {
        self.item(&samples::wanted(name, seed), |content| {
            content.appmode = Appmode::PythonGradio;
            content.entrypoint = Some(Entrypoint::File { path: "app.py".to_owned() });
            change(content);
        })
    }

    /// A program in this host's directory.
    pub fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A test that failed half-way leaves sessions behind; their processes know this directory by their arguments.
        for session in sessions_below(self.root.path()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(session), nix::sys::signal::Signal::SIGTERM);
        }
    }
}

#[async_trait]
impl Harness for Host {
    async fn open(&self) -> Arc<dyn Executor> {
        self.executor().await
    }

    fn app(&self, name: &str, seed: u32) -> Arc<WantedItem> {
        self.app_with(name, seed, |_| ())
    }

    fn broken(&self, name: &str, reason: &str) -> Arc<WantedItem> {
        self.app_with(name, 1, |content| {
            content.entrypoint = Some(Entrypoint::File { path: "broken.py".to_owned() });
            content.variables.insert("REASON".to_owned(), EnvironmentValue::Plain(reason.to_owned()));
        })
    }

    fn document(&self, name: &str, seed: u32) -> Arc<WantedItem> {
        let renderer = self.program("renderer", RENDERER);
        self.item(&samples::document(name, seed, None), |content| {
            content.entrypoint = Some(Entrypoint::File { path: "report.ipynb".to_owned() });
            if let Some(python) = content.environment.installations.get_mut(&Language::Python) {
                python.path = renderer.display().to_string();
            }
        })
    }

    fn packaged(&self, name: &str) -> Arc<WantedItem> {
        self.app_with(name, 1, |content| {
            content.packages = Some(PackageSpec {
                key: PackageKey::of(&Digest::of(name)),
                language: Language::Python,
                requirements: String::new(),
                constraints: String::new(),
                server_packages: Vec::new(),
                manager: wharf::model::PackageManager::Pip,
                index_url: None,
                extra_index_urls: Vec::new(),
                bundle: None,
            });
        })
    }

    fn files(&self) -> Arc<dyn BundleReader> {
        Files::reader(&[("app.py", APP), ("broken.py", BROKEN), ("data/deep/x.csv", "a,b\n"), ("report.ipynb", "{}")])
    }

    async fn go_on(&self) {}
}

/// A Python of this host that can make virtual environments.
fn python() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["python3", "python3.13", "python3.12", "python3.11", "python3.10"];
    let candidates = std::env::split_paths(&path).flat_map(|directory| names.map(|name| directory.join(name)));
    let works = |path: &PathBuf| {
        let asked = std::process::Command::new(path).args(["-c", "import venv, ensurepip"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let found = candidates.filter(|path| path.exists()).find(works);
    let found = found.expect("these tests need python3 with its venv module: apt-get install python3-venv");
    // Behind a shim stands the real program.
    let asked = std::process::Command::new(found).args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim())
}

/// Twenty ports that no other test of this run uses: tests run side by side.
fn free_range() -> std::ops::RangeInclusive<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 21_000 + 20 * NEXT.fetch_add(1, Ordering::Relaxed);
    first..=first + 19
}

/// Sessions whose job directory is below a path.
pub fn sessions_below(path: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let below = |pid: &i32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("wharf-session") && line.contains(&path.display().to_string())
    };
    pids.filter(below).collect()
}

/// The answer of a page; `None` where nobody answers.
pub fn try_get(url: &str, path: &str) -> Option<String> {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

/// The answer of a page that has to answer.
pub fn get(url: &str, path: &str) -> String {
    try_get(url, path).unwrap_or_else(|| panic!("{url} does not answer {path}"))
}

/// Waits for something that no event tells.
pub async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let deadline = Instant::now() + DEADLINE;
    while !look() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        looks.tick().await;
    }
}
