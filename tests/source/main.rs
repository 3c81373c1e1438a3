//! The room `source` against the real things: `git http-backend` over HTTP, `sshd`, repositories and files on a disk.
#![allow(clippy::unwrap_used, reason = "a helper that fails stops its test, which is what it is for")]

#[path = "../support/git.rs"]
mod git;
#[path = "../support/http_server.rs"]
mod http_server;
mod reading;
#[path = "../support/ssh_server.rs"]
mod ssh_server;

mod http;
mod local;
mod mirror;
mod refs;
mod speed;
mod ssh;
mod tls;
mod watch;
mod working_tree;

use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use wharf::source::{RemoteOptions, Source, SourceConfig};

/// Waits for something that another thread or process brings about.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited 30 s for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A source at its defaults, with its mirror below `state`.
fn config(repository: &str, state: &Path) -> SourceConfig {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("no provider was installed before");
    });
    SourceConfig {
        repository: repository.parse().unwrap(),
        reference: "main".parse().unwrap(),
        path: "".parse().unwrap(),
        working_tree: false,
        mirrors: state.join("mirrors"),
        remote: RemoteOptions::default(),
    }
}

fn open(repository: &str, state: &Path) -> Source {
    Source::open(config(repository, state)).unwrap()
}

/// An error with all its causes, as a person sees it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
