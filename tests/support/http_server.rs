//! A small HTTP server on loopback that runs the real `git http-backend`, notes every request, and misbehaves on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use super::git::git_command;

/// The head of an answer that lists refs and ends with the connection.
const LIST_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nConnection: close\r\n\r\n";

/// What the server does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Serves the repositories.
    Serve,
    /// Serves them to whoever sends this `Authorization` header.
    ServeTo(String),
    /// Answers with a status and a page.
    Page(&'static str),
    /// Sends the list of refs elsewhere.
    Redirect(String),
    /// Takes the request and says nothing until the client gives up.
    Silent,
    /// Serves the list of refs, and says nothing half way through a pack.
    SilentInPack,
    /// Sends a byte of the list now and then, for ever.
    Drip,
    /// Answers the list of refs with these bytes.
    List(Vec<u8>),
    /// Ends the connection half way through a pack.
    CutPack,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub authorization: Option<String>,
    body_length: usize,
    content_type: String,
}

struct Shared {
    root: PathBuf,
    manner: Mutex<Manner>,
    requests: Mutex<Vec<Request>>,
}

/// The server; ends with the test process.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl HttpServer {
    /// Serves the repositories below `root`.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            manner: Mutex::new(Manner::Serve),
            requests: Mutex::new(Vec::new()),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                // A client that gives up in the middle is part of several tests.
                std::thread::spawn(move || drop(serving.answer(&stream)));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/repo/.git", self.address)
    }

    /// The same server as another host.
    pub fn url_as_localhost(&self) -> String {
        format!("http://localhost:{}/repo/.git", self.address.port())
    }

    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }
}

impl Shared {
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let Some(request) = read_head(&mut reader)? else { return Ok(()) };
        let mut body = vec![0; request.body_length];
        reader.read_exact(&mut body)?;
        self.requests.lock().unwrap().push(request.clone());
        let manner = self.manner.lock().unwrap().clone();
        let is_pack = request.method == "POST";
        match manner {
            Manner::ServeTo(secret) if request.authorization.as_deref() != Some(&secret) => {
                page(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n")
            }
            Manner::Page(status) => page(stream, status, ""),
            Manner::Redirect(to) => page(stream, "302 Found", &format!("Location: {to}\r\n")),
            Manner::Silent => until_closed(&mut reader),
            Manner::Drip => drip(stream),
            Manner::List(bytes) => (&mut &*stream).write_all(&[LIST_HEAD.as_bytes(), &bytes].concat()),
            Manner::SilentInPack if is_pack => {
                let answer = self.backend(&request, &body);
                (&mut &*stream).write_all(&answer[..answer.len() / 2])?;
                until_closed(&mut reader)
            }
            Manner::CutPack if is_pack => {
                let answer = self.backend(&request, &body);
                (&mut &*stream).write_all(&answer[..answer.len() / 2])
            }
            _ => (&mut &*stream).write_all(&self.backend(&request, &body)),
        }
    }

    /// Runs `git http-backend` as a web server would and gives back a whole HTTP answer.
    fn backend(&self, request: &Request, body: &[u8]) -> Vec<u8> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut command = git_command(&self.root);
        command.arg("http-backend").env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1");
        command.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", &request.method);
        command.env("CONTENT_TYPE", &request.content_type).env("CONTENT_LENGTH", body.len().to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let output = child.wait_with_output().unwrap().stdout;
        let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("http-backend sends headers");
        let head = String::from_utf8_lossy(&output[..end]);
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
        let length = output.len() - end - 4;
        let mut answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n").into_bytes();
        answer.extend_from_slice(&output);
        answer
    }
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request = Request { method, target, authorization: None, body_length: 0, content_type: String::new() };
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { return Ok(Some(request)) };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "content-length" => request.body_length = value.parse().unwrap(),
            "content-type" => value.clone_into(&mut request.content_type),
            _ => {}
        }
    }
}

fn page(mut stream: &TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    let text = "<html>a page\u{1b}[2J</html>";
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\n{headers}");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes())
}

fn until_closed(reader: &mut impl Read) -> std::io::Result<()> {
    std::io::copy(reader, &mut std::io::sink()).map(drop)
}

/// A list of refs whose first line never ends.
fn drip(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.write_all(LIST_HEAD.as_bytes())?;
    stream.write_all(b"001e# service=git-upload-pack\n0000fff0")?;
    loop {
        stream.write_all(b"a")?;
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}
