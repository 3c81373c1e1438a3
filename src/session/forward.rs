//! Holds an item's port and passes each connection on to a process that is ready: the Service of the local executor. Bytes only; HTTP is spoken just to say that nobody is ready.
//!
//! Which processes are ready is the executor's to say, by replacing `backends.json`; it is looked at for every
//! connection. Connections that exist stay where they are. Two threads serve one connection, at most
//! [`MAX_CONNECTIONS`] at a time.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::context::Context;
use super::error::SessionError;
use super::network::{self, reachable};
use super::protocol::{Backends, Exit, Forward, Phase};
use super::reason;
use super::state::{BACKENDS_FILE, now_ms};
use super::supervise::Signals;

/// How many connections are open at a time; further ones are told to come back.
const MAX_CONNECTIONS: usize = 512;
/// The stack of a thread that only copies, in bytes.
const STACK: usize = 128 << 10;
/// How long a known backend may refuse before the client is told: processes are replaced within that time.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How long one backend may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two rounds through the backends, and after the system refused a connection or thread.
const PAUSE: Duration = Duration::from_millis(25);
/// How long a client that is refused may go on talking.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);
/// How often the end of the last connections is looked for.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Does a [`Forward`].
pub(super) fn forward(context: &Arc<Context>, signals: &mut Signals, forward: &Forward) -> Result<Exit, SessionError> {
    let (address, port) = (forward.address, forward.port);
    let listener = TcpListener::bind((address, port)).map_err(|cause| match cause.kind() {
        ErrorKind::AddrInUse => SessionError::PortInUse { address, port },
        _ => SessionError::Listen { address, port, cause },
    })?;
    let own = listener.local_addr().map_err(|cause| SessionError::Listen { address, port, cause })?;
    let shared = Arc::new(Shared {
        title: forward.title.clone(),
        book: Book {
            path: context.directory.join(BACKENDS_FILE),
            directory: context.directory.clone(),
            page: Mutex::default(),
        },
        turn: AtomicUsize::new(0),
        open: AtomicUsize::new(0),
        closing: AtomicBool::new(false),
    });
    let accepting = Arc::clone(&shared);
    let acceptor = std::thread::spawn(move || accept(&listener, &accepting));
    context.log.say(&format!("listening on port {}", own.port()));
    context.tell(|state| {
        state.port = Some(own.port());
        state.phase = Phase::Ready;
        state.ready_at = Some(now_ms());
    });
    while !signals.wait(Duration::from_hours(1)) {}
    context.tell(|state| state.phase = Phase::Stopping);
    shared.closing.store(true, Ordering::Release);
    // The acceptor waits in the kernel; one connection more wakes it, and it closes the port.
    let _ = TcpStream::connect_timeout(&SocketAddr::new(reachable(own.ip()), own.port()), CONNECT_TIMEOUT);
    let _ = acceptor.join();
    let deadline = Instant::now() + Duration::from_secs(context.job.stop_grace_seconds);
    while shared.open.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        std::thread::park_timeout(DRAIN_LOOK);
    }
    Ok(reason::stopped(context, "was asked to stop and did", None))
}

/// What all connections share.
struct Shared {
    title: String,
    book: Book,
    turn: AtomicUsize,
    open: AtomicUsize,
    closing: AtomicBool,
}

/// `backends.json` as it was last read.
struct Book {
    directory: PathBuf,
    path: PathBuf,
    page: Mutex<Page>,
}

/// One version of it.
struct Page {
    mark: Mark,
    backends: Arc<[SocketAddr]>,
}

impl Default for Page {
    fn default() -> Self {
        Self { mark: Mark::default(), backends: Arc::from([]) }
    }
}

/// What tells one version of a file from another: a rename brings a new inode even within one tick of the clock.
type Mark = (u64, i64, i64);

impl Book {
    /// The backends as they are now. A file that cannot be read changes nothing: the old ones may well be right.
    fn backends(&self) -> Arc<[SocketAddr]> {
        let mark =
            fs::metadata(&self.path).map(|about| (about.ino(), about.mtime(), about.mtime_nsec())).unwrap_or_default();
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if page.mark != mark
            && let Ok(found) = Backends::read(&self.directory)
        {
            *page = Page { mark, backends: found.backends.into() };
        }
        Arc::clone(&page.backends)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        match accepted {
            Ok((client, _)) => begin(client, shared),
            // Out of file descriptors, most likely: closed connections give some back.
            Err(_) => std::thread::park_timeout(PAUSE),
        }
    }
}

/// Counts a connection and gives it a thread.
fn begin(client: TcpStream, shared: &Arc<Shared>) {
    let open = Opened::new(shared);
    if shared.open.load(Ordering::Acquire) > 2 * MAX_CONNECTIONS {
        // Not even a thread to say so in.
        return;
    }
    let own = Arc::clone(shared);
    let spawned = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        if own.open.load(Ordering::Acquire) > MAX_CONNECTIONS {
            refuse(client, &format!("{} has too many visitors", own.title));
        } else {
            serve(client, &own);
        }
        drop(open);
    });
    if spawned.is_err() {
        std::thread::park_timeout(PAUSE);
    }
}

/// Counts itself.
struct Opened(Arc<Shared>);

impl Opened {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

fn serve(client: TcpStream, shared: &Shared) {
    match connect(shared) {
        Some(backend) => {
            // What one side does not manage to say ends with the connection, as without a forwarder.
            let _ = join(&client, &backend);
        }
        None => refuse(client, &format!("{} is starting", shared.title)),
    }
}

/// A connection to the next backend that accepts one.
fn connect(shared: &Shared) -> Option<TcpStream> {
    let deadline = Instant::now() + CONNECT_PATIENCE;
    loop {
        let backends = shared.book.backends();
        let first = shared.turn.fetch_add(1, Ordering::Relaxed);
        let mut turns = (0..backends.len()).filter_map(|step| backends.get((first + step) % backends.len()));
        if let Some(stream) = turns.find_map(|backend| network::connect(backend, CONNECT_TIMEOUT).ok()) {
            return Some(stream);
        }
        if backends.is_empty() || Instant::now() >= deadline {
            return None;
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Copies both ways until both sides are done. Each direction ends by itself: a client may be done talking and still listen.
fn join(client: &TcpStream, backend: &TcpStream) -> io::Result<()> {
    for stream in [client, backend] {
        stream.set_nodelay(true)?;
        // A visitor whose machine disappeared never says goodbye, and a WebSocket may be silent for hours.
        setsockopt(stream, sockopt::KeepAlive, &true)?;
    }
    let (their_client, their_backend) = (client.try_clone()?, backend.try_clone()?);
    let answers = std::thread::Builder::new().stack_size(STACK).spawn(move || pass(&their_backend, &their_client))?;
    pass(client, backend);
    let _ = answers.join();
    Ok(())
}

/// One direction, to its end. A break ends it like an end does: what the other direction holds may still be the answer.
fn pass(from: &TcpStream, to: &TcpStream) {
    let (mut reader, mut writer) = (from, to);
    let _ = io::copy(&mut reader, &mut writer);
    let _ = from.shutdown(Shutdown::Read);
    let _ = to.shutdown(Shutdown::Write);
}

/// Says in HTTP that nobody can answer now. Its end is read too: a reset would overtake the answer.
fn refuse(mut client: TcpStream, text: &str) {
    let body = format!("{}\n", text.replace(char::is_control, " "));
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nRetry-After: 2\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let limited =
        client.set_read_timeout(Some(REFUSAL_PATIENCE)).and_then(|()| client.set_write_timeout(Some(REFUSAL_PATIENCE)));
    if limited
        .and_then(|()| client.write_all(answer.as_bytes()))
        .and_then(|()| client.shutdown(Shutdown::Write))
        .is_err()
    {
        return;
    }
    let deadline = Instant::now() + REFUSAL_PATIENCE;
    let mut rest = [0; 4096];
    while Instant::now() < deadline && client.read(&mut rest).is_ok_and(|count| count > 0) {}
}
