//! Questions to the world outside: does an address answer, which processes are there. Nothing is changed here, and
//! nothing waits without a deadline.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Generous, for a busy machine; nothing waits this long unless it is broken.
pub const DEADLINE: Duration = Duration::from_mins(2);
/// How often something that tells nobody when it changes is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to see. `why` says more when there never is.
pub fn until_or<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
    why: impl FnOnce() -> String,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "waited {} s in vain for {what}\n{}", deadline.as_secs(), why());
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// Looks again and again until there is something to see.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_or(what, DEADLINE, look, String::new)
}

/// Waits for something that another thread or process brings about.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || is_so().then_some(()));
}

/// What a visitor gets: the status and the body, or what went wrong.
pub fn visit(url: &str) -> std::io::Result<(u16, String)> {
    let rest = url.strip_prefix("http://").expect("an http address");
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // Of an older version, so that no body comes in chunks.
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// The body of a page that has to be there.
pub fn page(url: &str) -> String {
    let (status, body) = visit(url).unwrap_or_else(|error| panic!("{url} does not answer: {error}"));
    assert_eq!(status, 200, "{url}: {body}");
    body
}

/// One process of this machine.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    /// Its program and arguments.
    pub line: Vec<String>,
}

impl Process {
    /// The job whose session this is.
    pub fn session_of(&self) -> Option<String> {
        let [_, word, directory] = self.line.as_slice() else { return None };
        (word == "session").then(|| Path::new(directory).file_name().unwrap().to_string_lossy().into_owned())
    }
}

/// Every process that has something to do with a directory: by its arguments, or by where it works.
pub fn processes_of(root: &Path) -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let text = root.to_str().unwrap();
    let found = pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let line: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        // One that ended and was not waited for yet has no line.
        let concerned = line.iter().any(|word| word.contains(text)) || directory.starts_with(root);
        (concerned && !line.is_empty()).then_some(Process { pid, line })
    });
    found.filter(|process| process.pid != i32::try_from(std::process::id()).unwrap()).collect()
}

/// The live sessions below a directory: the job's name without its last number (the attempt), and their process ids.
pub fn sessions_of(root: &Path) -> BTreeMap<String, Vec<i32>> {
    let mut sessions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for process in processes_of(root) {
        let Some(job) = process.session_of() else { continue };
        let name = match job.rsplit_once('-') {
            Some((name, _attempt)) if job.starts_with("run-") => name.to_owned(),
            _ => job,
        };
        sessions.entry(name).or_default().push(process.pid);
    }
    sessions
}
