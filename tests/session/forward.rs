//! The forwarder: it holds a port whatever happens behind it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use wharf::session::protocol::{Backends, Forward, Outcome, SessionJob, Work};

use crate::harness::{LOCALHOST, Session, directory, get, job, until};

fn forwarder(port: u16) -> SessionJob {
    job("forward-penguins", Work::Forward(Forward { title: "Penguins".to_owned(), address: LOCALHOST, port }))
}

fn backends(session: &Session, addresses: &[SocketAddr]) {
    Backends { backends: addresses.to_vec() }.write(&session.directory).unwrap();
}

/// Answers every request with its name, until it is dropped.
struct Backend {
    address: SocketAddr,
    served: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Backend {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (served, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, end) = (Arc::clone(&served), Arc::clone(&closed));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                if !lines.any(|line| line.is_empty()) && end.load(Ordering::Acquire) {
                    return;
                }
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}", name.len())
                    .unwrap();
                counter.fetch_add(1, Ordering::AcqRel);
            }
        });
        Self { address, served, closed, thread: Some(thread) }
    }
}

impl Drop for Backend {
    /// Serves what was accepted, then closes its port.
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn nobody_ready_is_said_in_http() {
    let directory = directory();
    let session = Session::start(directory.path(), &forwarder(0));
    let address = session.ready();
    let (status, answer) = get(address, "/").unwrap();
    assert_eq!(status, 503);
    assert!(answer.contains("Retry-After: 2\r\n") && answer.ends_with("\r\n\r\nPenguins is starting\n"), "{answer}");
    let backend = Backend::start("one");
    backends(&session, &[backend.address]);
    assert_eq!(get(address, "/").unwrap().0, 200);
    assert_eq!(session.stop().outcome, Outcome::Stopped);
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
}

#[test]
fn backends_are_switched_without_a_failed_request() {
    let directory = directory();
    let session = Session::start(directory.path(), &forwarder(0));
    let address = session.ready();
    let mut current = Backend::start("backend");
    backends(&session, &[current.address]);
    let end = Arc::new(AtomicBool::new(false));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            let (end, failures) = (Arc::clone(&end), Arc::clone(&failures));
            std::thread::spawn(move || {
                let mut count = 0;
                while !end.load(Ordering::Acquire) {
                    match get(address, "/") {
                        Ok((200, _)) => count += 1,
                        other => failures.lock().unwrap().push(format!("{other:?}")),
                    }
                }
                count
            })
        })
        .collect();
    for _ in 0..20 {
        let next = Backend::start("backend");
        backends(&session, &[next.address]);
        until("requests at the new backend", || (next.served.load(Ordering::Acquire) > 5).then_some(()));
        // The former one is dropped here, under load.
        current = next;
    }
    end.store(true, Ordering::Release);
    let count: usize = visitors.into_iter().map(|visitor| visitor.join().unwrap()).sum();
    drop(current);
    assert!(count >= 100, "{count}");
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_dead_backend_is_passed_over() {
    let directory = directory();
    let session = Session::start(directory.path(), &forwarder(0));
    let address = session.ready();
    let dead = TcpListener::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let alive = Backend::start("alive");
    backends(&session, &[dead, alive.address]);
    for _ in 0..6 {
        assert!(get(address, "/").unwrap().1.ends_with("alive"));
    }
    // A file that is not whole changes nothing.
    std::fs::write(session.directory.join(wharf::session::BACKENDS_FILE), "{").unwrap();
    assert!(get(address, "/").unwrap().1.ends_with("alive"));
}

#[test]
fn processes_take_turns() {
    let directory = directory();
    let session = Session::start(directory.path(), &forwarder(0));
    let address = session.ready();
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    backends(&session, &[one.address, two.address]);
    for _ in 0..10 {
        get(address, "/").unwrap();
    }
    assert_eq!(one.served.load(Ordering::Acquire), 5);
    assert_eq!(two.served.load(Ordering::Acquire), 5);
}

#[test]
fn a_client_that_is_done_talking_still_listens() {
    let directory = directory();
    let session = Session::start(directory.path(), &forwarder(0));
    let address = session.ready();
    let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
    backends(&session, &[listener.local_addr().unwrap()]);
    // Answers only when the question is over, as an upload's server does.
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        stream.write_all(&question).unwrap();
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let question: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    stream.write_all(&question).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer == question, "{} bytes of {}", answer.len(), question.len());
    echo.join().unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    let directory = directory();
    let taken = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let exit = Session::start(directory.path(), &forwarder(port)).exit();
    assert_eq!(exit.outcome, Outcome::Failed);
    assert!(exit.reason.contains(&format!("port {port} ")) && exit.reason.contains("in use"), "{}", exit.reason);
}
