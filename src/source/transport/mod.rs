//! How libgit2 reaches a remote: over our own HTTP client or the `ssh` program, so that there is one TLS stack and ssh is the
//! user's own. What is said on the wire is libgit2's; which ref is wanted is `mirror`'s.
//!
//! libgit2 keeps one table of transports for the whole process, and a transport learns nothing but its URL. So every remote
//! here is an [`Endpoint`] with a number, libgit2 is told `wharf://NUMBER`, and the number leads back to address, token and
//! key. Nothing is registered for `https` or `ssh` themselves, and no credential is ever part of a URL.

mod advertisement;
mod http;
mod ssh;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use git2::transport::Transport;
use tokio_util::sync::CancellationToken;

use super::error::SourceError;
use super::url::RepositoryUrl;

/// How a remote is asked, and for how long.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// `--ssh-key`: the only key offered. `None` leaves it to the ssh configuration and agent.
    pub ssh_key: Option<PathBuf>,
    /// `--known-hosts`: the only host keys believed. `None` leaves it to the ssh configuration; unknown hosts are refused either way.
    pub known_hosts: Option<PathBuf>,
    /// `--token-file`: one line, read again before every request so that a rotated token is taken up. `TOKEN` is sent as the
    /// password of `x-access-token`, `USER:TOKEN` as it stands, `Bearer TOKEN` as a bearer token.
    pub token_file: Option<PathBuf>,
    /// How long the remote may say nothing.
    pub silence: Duration,
    /// How long one look may take, whole clone included.
    pub deadline: Duration,
    /// How many bytes one look may bring.
    pub most_bytes: u64,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            ssh_key: None,
            known_hosts: None,
            token_file: None,
            silence: Duration::from_secs(30),
            deadline: Duration::from_mins(15),
            most_bytes: 4 << 30,
        }
    }
}

/// Why a remote could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, or one that broke.
    #[error("it cannot be reached: {problem}")]
    Unreachable {
        /// What the network or `ssh` said.
        problem: String,
    },
    /// It accepted the connection and then said nothing.
    #[error("it did not answer within {} s", .after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// It kept talking for too long.
    #[error("it was not done after {} s", .after.as_secs_f32())]
    TooSlow {
        /// How long was waited.
        after: Duration,
    },
    /// Nobody waited for the answer any more.
    #[error("the look was given up before it answered")]
    Cancelled,
    /// It sent more than is taken.
    #[error("it sent more than {limit} bytes, the most one look may bring")]
    TooMuch {
        /// The bound, in bytes.
        limit: u64,
    },
    /// It does not let us in.
    #[error("it refuses access ({problem}); {hint}")]
    Denied {
        /// What it said.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The host's key is unknown or another one.
    #[error("its host key is not known ({problem}); add the right key to the --known-hosts file")]
    HostKey {
        /// What `ssh` said.
        problem: String,
    },
    /// The host answers and has no such repository.
    #[error(
        "there is no repository at this address ({problem}); check --repo, or whether it is visible to this account"
    )]
    NoRepository {
        /// What it said.
        problem: String,
    },
    /// Something answers that is no smart Git server.
    #[error("expected a Git server, found {found}; check --repo")]
    NotGit {
        /// What answered.
        found: String,
    },
    /// It sends us elsewhere, where we do not go.
    #[error("it redirects to {to}, {problem}; if that is right, give that address as --repo")]
    Redirected {
        /// The other address, without its query.
        to: String,
        /// Why we do not follow.
        problem: &'static str,
    },
    /// The token file is missing or holds no token.
    #[error("the token could not be read")]
    Token(#[source] Box<SourceError>),
    /// No HTTP client could be made.
    #[error("no HTTPS client could be made ({problem}); does this machine have the package ca-certificates?")]
    Client {
        /// What the client said.
        problem: String,
    },
    /// The ssh program could not be started.
    #[error("the program `ssh` could not be started; install openssh-client")]
    Ssh(#[source] io::Error),
}

/// The number of the next endpoint, and where each that is alive is found.
static NEXT: AtomicU64 = AtomicU64::new(1);
static ALIVE: Mutex<BTreeMap<u64, Weak<Endpoint>>> = Mutex::new(BTreeMap::new());

/// One remote: its address, how to ask it, and why the last attempt failed.
#[derive(Debug)]
pub(super) struct Endpoint {
    number: u64,
    url: RepositoryUrl,
    options: RemoteOptions,
    client: OnceLock<reqwest::Client>,
    failure: Mutex<Option<TransportError>>,
    attempt: Mutex<Attempt>,
}

/// One look at the remote: until when, with how many bytes, and whether anybody still waits for it.
#[derive(Debug, Clone)]
struct Attempt {
    until: Instant,
    bytes_left: u64,
    cancelled: CancellationToken,
}

impl Endpoint {
    /// A remote that libgit2 can be pointed at until this value is dropped.
    pub(super) fn new(url: RepositoryUrl, options: RemoteOptions) -> Result<Arc<Self>, git2::Error> {
        register()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let attempt = Mutex::new(Attempt::new(&options, CancellationToken::new()));
        let endpoint =
            Arc::new(Self { number, url, options, client: OnceLock::new(), failure: Mutex::new(None), attempt });
        lock(&ALIVE).insert(number, Arc::downgrade(&endpoint));
        Ok(endpoint)
    }

    /// The address, printable.
    pub(super) fn url(&self) -> &RepositoryUrl {
        &self.url
    }

    /// What libgit2 is told.
    pub(super) fn address(&self) -> String {
        format!("wharf://{}", self.number)
    }

    /// Starts the clock of a look and forgets the failure of the one before. The look ends when `cancelled` does.
    pub(super) fn begin(&self, cancelled: &CancellationToken) {
        *lock(&self.attempt) = Attempt::new(&self.options, cancelled.clone());
        lock(&self.failure).take();
    }

    /// Why the transport gave up, if it was the transport. libgit2 passes on only a text.
    pub(super) fn take_failure(&self) -> Option<TransportError> {
        lock(&self.failure).take()
    }

    /// Remembers the failure and puts it in the form libgit2's streams take.
    fn fail(&self, failure: TransportError) -> io::Error {
        let error = io::Error::other(printable(&failure.to_string()));
        lock(&self.failure).get_or_insert(failure);
        error
    }

    /// The same, in the form libgit2's actions take.
    fn refuse(&self, failure: TransportError) -> git2::Error {
        git2::Error::from_str(&self.fail(failure).to_string())
    }

    /// What holds for the look that is under way.
    fn attempt(&self) -> Attempt {
        lock(&self.attempt).clone()
    }

    /// Takes what was read from the allowance.
    fn count(&self, bytes: usize) -> io::Result<usize> {
        let mut attempt = lock(&self.attempt);
        match attempt.bytes_left.checked_sub(bytes as u64) {
            Some(left) => attempt.bytes_left = left,
            None => return Err(self.fail(TransportError::TooMuch { limit: self.options.most_bytes })),
        }
        Ok(bytes)
    }
}

impl Attempt {
    fn new(options: &RemoteOptions, cancelled: CancellationToken) -> Self {
        Self { until: Instant::now() + options.deadline, bytes_left: options.most_bytes, cancelled }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        lock(&ALIVE).remove(&self.number);
    }
}

/// Adds `wharf://` to libgit2's table, once a process.
fn register() -> Result<(), git2::Error> {
    static REGISTERED: OnceLock<Result<(), String>> = OnceLock::new();
    let result = REGISTERED.get_or_init(|| {
        #[expect(
            unsafe_code,
            reason = "libgit2's table of transports has no lock; it is written once, here, and no remote of ours exists before"
        )]
        let done = unsafe { git2::transport::register("wharf", open) };
        done.map_err(|error| error.to_string())
    });
    result.as_ref().map_err(|problem| git2::Error::from_str(problem)).copied()
}

/// Called by libgit2 for each connection.
fn open(remote: &git2::Remote<'_>) -> Result<Transport, git2::Error> {
    let number = remote.url()?.strip_prefix("wharf://").and_then(|number| number.parse::<u64>().ok());
    let endpoint = number.and_then(|number| lock(&ALIVE).get(&number).and_then(Weak::upgrade));
    let endpoint = endpoint.ok_or_else(|| git2::Error::from_str("this remote is closed"))?;
    match endpoint.url.clone() {
        RepositoryUrl::Http(url) => Transport::smart(remote, true, http::HttpTransport::new(endpoint, &url)),
        RepositoryUrl::Ssh(url) => Transport::smart(remote, false, ssh::SshService::new(endpoint, url)),
        RepositoryUrl::Local(_) => Err(git2::Error::from_str("a local repository is read in place")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text of the other side as one short line: control characters could move a terminal's cursor, and a NUL would end
/// libgit2's message.
fn printable(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(400).collect()
}

/// An error with its causes on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    printable(&text)
}
