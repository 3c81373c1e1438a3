//! A real `sshd` on loopback, with keys and a configuration made for one test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";

pub struct SshServer {
    directory: TempDir,
    port: u16,
    process: Child,
}

impl SshServer {
    /// A server that lets `key` in, and `mute` into a command that says nothing.
    pub fn start() -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing; run scripts/install-test-tools");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for name in ["host", "key", "stranger", "mute"] {
            make_key(&path.join(name));
        }
        let public = |name: &str| fs::read_to_string(path.join(format!("{name}.pub"))).unwrap();
        let authorized = format!("{}restrict,command=\"cat\" {}", public("key"), public("mute"));
        fs::write(path.join("authorized"), authorized).unwrap();
        // sshd wants this directory if it runs as root.
        let _ = fs::create_dir_all("/run/sshd");
        let mut server = None;
        // The port is free when it is chosen, and may be taken when it is used.
        super::wait_until("sshd to listen", || {
            server = listen(path);
            server.is_some()
        });
        let (process, port) = server.unwrap();
        let server = Self { directory, port, process };
        server.know("known_hosts", "host");
        server.know("wrong_hosts", "stranger");
        server
    }

    /// A file of this server's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn url(&self, path: &Path) -> String {
        format!("ssh://127.0.0.1:{}{}", self.port, path.display())
    }

    /// What the server noted, for a failing test.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Writes a known-hosts file that believes a key to be this server's.
    fn know(&self, file: &str, key: &str) {
        let public = fs::read_to_string(self.file(&format!("{key}.pub"))).unwrap();
        fs::write(self.file(file), format!("[127.0.0.1]:{} {public}", self.port)).unwrap();
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts sshd on some port; nothing if it could not have it.
fn listen(path: &Path) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\n",
        path.display()
    );
    let (config, log) = (path.join("sshd_config"), path.join("log"));
    fs::write(&config, settings).unwrap();
    let output = fs::File::create(&log).unwrap();
    let process = Command::new(SSHD).args(["-D", "-e", "-f"]).arg(config).stderr(output).stdin(Stdio::null()).spawn();
    let mut process = process.unwrap();
    let mut listens = false;
    super::wait_until("sshd to listen or to end", || {
        listens = fs::read_to_string(&log).unwrap().contains("Server listening");
        listens || process.try_wait().unwrap().is_some()
    });
    listens.then_some((process, port))
}

fn make_key(path: &Path) {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(path).status();
    assert!(made.expect("ssh-keygen is missing; run scripts/install-test-tools").success());
}
