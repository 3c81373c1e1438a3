//! Serves the files of static items and rendered documents on a listener of their own. Which files those are is the executor's knowledge.
//!
//! Everything served here was written by people who can commit, or by their code, so the browser is told to treat each
//! page as a stranger (`Content-Security-Policy: sandbox`), and the file system is asked never to follow a link.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::model::ItemName;

/// How much of a file is read at once, in bytes.
const PIECE: usize = 64 << 10;
/// What a page may do: run its scripts, not reach what another page of this address keeps.
const SANDBOX: &str = "sandbox allow-scripts allow-forms allow-popups allow-downloads allow-modals";

/// The files that answer for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The directory that is served.
    pub directory: PathBuf,
    /// The document shown first, below it; `index.html` where nothing is said.
    pub index: Option<String>,
}

/// Finds the files of an item.
pub type Find = Arc<dyn Fn(&ItemName) -> Option<Files> + Send + Sync>;

#[derive(Clone)]
struct Shared {
    find: Find,
    /// Where we listen, when only this host can reach it.
    loopback: Option<SocketAddr>,
}

/// Answers until it is cancelled.
pub async fn serve(listener: TcpListener, find: Find, cancel: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    let shared = Shared { find, loopback: Some(address).filter(|address| address.ip().is_loopback()) };
    let router = Router::new().fallback(answer).with_state(shared);
    axum::serve(listener, router).with_graceful_shutdown(async move { cancel.cancelled().await }).await
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, headers: axum::http::HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
    }
    // A page elsewhere that lets its name point at this host must not read what is served here.
    if shared.loopback.is_some() && !names_this_host(headers.get(header::HOST)) {
        return refusal(StatusCode::MISDIRECTED_REQUEST, "expected the name localhost or a loopback address");
    }
    let Some(path) = decoded(uri.path()) else {
        return refusal(StatusCode::BAD_REQUEST, "the path of this address cannot be read");
    };
    let Some((files, rest)) = files(&shared.find, &path) else {
        return refusal(StatusCode::NOT_FOUND, "no item is served here; `wharf ps` shows every address");
    };
    let opened = tokio::task::spawn_blocking(move || open(&files, rest.as_deref())).await;
    match opened {
        Ok(Found::File(file)) => file.response(method == Method::HEAD),
        // One slash: with two the browser would take the path for another host.
        Ok(Found::Directory) => redirect(&format!("/{}/", uri.path().trim_matches('/'))),
        Ok(Found::Nothing) => refusal(StatusCode::NOT_FOUND, "the item has no such file"),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read"),
    }
}

/// Whether a request was meant for this host: `localhost`, or a loopback address.
fn names_this_host(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The parts of a path, decoded. `None` for what could lead elsewhere.
fn decoded(path: &str) -> Option<Vec<String>> {
    let parts = path.strip_prefix('/')?.split('/').map(|part| {
        let text = percent_decoded(part)?;
        let harmful =
            matches!(text.as_str(), "." | "..") || text.contains(|c: char| matches!(c, '/' | '\\') || c.is_control());
        (!harmful).then_some(text)
    });
    let parts: Vec<String> = parts.collect::<Option<_>>()?;
    // Only the last part may be empty: the path ends with a slash.
    let inner = parts.len().saturating_sub(1);
    (!parts.iter().take(inner).any(String::is_empty)).then_some(parts)
}

fn percent_decoded(part: &str) -> Option<String> {
    let mut bytes = part.bytes();
    let mut text = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            text.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            text.push(byte);
        }
    }
    String::from_utf8(text).ok()
}

/// The item a path is in, the longest name first, and the path below it: `None` where the path names the item without a
/// slash at its end.
fn files(find: &Find, parts: &[String]) -> Option<(Files, Option<String>)> {
    (1..=parts.len()).rev().find_map(|length| {
        let (name, rest) = parts.split_at_checked(length)?;
        let item: ItemName = name.join("/").parse().ok()?;
        let files = find(&item)?;
        Some((files, (!rest.is_empty()).then(|| rest.join("/"))))
    })
}

enum Found {
    File(Opened),
    /// A directory without a slash at its end.
    Directory,
    Nothing,
}

struct Opened {
    file: File,
    length: u64,
    kind: &'static str,
}

/// Opens what a path names below an item's directory, following no link.
fn open(files: &Files, rest: Option<&str>) -> Found {
    let Some(rest) = rest else { return Found::Directory };
    let Ok(root) = File::open(&files.directory) else { return Found::Nothing };
    let path = match rest {
        "" => files.index.clone().unwrap_or_else(|| "index.html".to_owned()),
        directory if directory.ends_with('/') => format!("{directory}index.html"),
        file => file.to_owned(),
    };
    let Some(file) = open_below(root.into(), &path) else { return Found::Nothing };
    let file = File::from(file);
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => {
            Found::File(Opened { length: metadata.len(), kind: content_type(&path), file })
        }
        Ok(metadata) if metadata.is_dir() => Found::Directory,
        _ => Found::Nothing,
    }
}

/// Opens a path below a directory, one name at a time: no name may be a link.
fn open_below(root: OwnedFd, path: &str) -> Option<OwnedFd> {
    // Not blocking, so that a pipe among the files holds nobody up.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    path.split('/').try_fold(root, |directory, name| match name {
        "" | "." | ".." => None,
        name => openat(&directory, name, flags, Mode::empty()).ok(),
    })
}

impl Opened {
    fn response(self, head: bool) -> Response {
        let body = if head { Body::empty() } else { Body::from_stream(pieces(self.file)) };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.length));
        guarded(response)
    }
}

/// A file's bytes, read on threads for blocking work.
fn pieces(file: File) -> impl futures::Stream<Item = io::Result<Bytes>> {
    futures::stream::try_unfold(file, |mut file| async move {
        let read = move || {
            let mut piece = vec![0; PIECE];
            let length = file.read(&mut piece)?;
            piece.truncate(length);
            Ok::<_, io::Error>((piece, file))
        };
        let (piece, file) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    })
}

fn redirect(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => guarded((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response()),
        Err(_) => refusal(StatusCode::BAD_REQUEST, "the path of this address cannot be read"),
    }
}

fn refusal(status: StatusCode, text: &'static str) -> Response {
    guarded((status, format!("{text}\n")).into_response())
}

fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // The next revision has the same address.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What a browser is told a file is, by the end of its name.
fn content_type(path: &str) -> &'static str {
    let end = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, end)| end.to_ascii_lowercase());
    match end.as_deref().unwrap_or_default() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" | "ipynb" => "application/json",
        "txt" | "md" | "csv" | "tsv" | "log" | "qmd" | "rmd" => "text/plain; charset=utf-8",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mp3" => "audio/mpeg",
        "wasm" => "application/wasm",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn shelf(directory: &Path) -> Find {
        let directory = directory.to_owned();
        Arc::new(move |item| match item.as_str() {
            "flags" | "reports/tides" => {
                Some(Files { directory: directory.clone(), index: Some("start.html".to_owned()) })
            }
            _ => None,
        })
    }

    fn get(find: &Find, path: &str) -> String {
        let Some(parts) = decoded(path) else { return "unreadable".to_owned() };
        let Some((files, rest)) = files(find, &parts) else { return "no item".to_owned() };
        match open(&files, rest.as_deref()) {
            Found::File(mut opened) => {
                let mut text = String::new();
                opened.file.read_to_string(&mut text).unwrap();
                format!("{} {text}", opened.kind)
            }
            Found::Directory => "directory".to_owned(),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn files_are_found_and_nothing_outside_is() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let directory = outside.path().join("shown");
        std::fs::create_dir_all(directory.join("more")).unwrap();
        std::fs::write(directory.join("start.html"), "hello").unwrap();
        std::fs::write(directory.join("more/index.html"), "more").unwrap();
        std::fs::write(directory.join("a b.js"), "1").unwrap();
        symlink("../secret", directory.join("link")).unwrap();
        symlink(outside.path(), directory.join("way")).unwrap();
        nix::unistd::mkfifo(&directory.join("pipe"), Mode::S_IRWXU).unwrap();
        let find = shelf(&directory);
        assert_eq!(get(&find, "/flags/"), "text/html; charset=utf-8 hello");
        assert_eq!(get(&find, "/reports/tides/a%20b.js"), "text/javascript; charset=utf-8 1");
        assert_eq!(get(&find, "/flags/more/"), "text/html; charset=utf-8 more");
        assert_eq!((get(&find, "/flags"), get(&find, "/flags/more")), ("directory".to_owned(), "directory".to_owned()));
        for nothing in ["/flags/link", "/flags/way/secret", "/flags/pipe", "/flags/absent"] {
            assert_eq!(get(&find, nothing), "nothing", "{nothing}");
        }
        for hostile in [
            "/flags/../secret",
            "/flags/%2e%2e/secret",
            "/flags/..%2fsecret",
            "/flags/a%00b",
            "/flags//x",
            "/flags/%zz",
            "/flags/a%5cb",
        ] {
            assert_eq!(get(&find, hostile), "unreadable", "{hostile}");
        }
        for unknown in ["/", "/other/", "/reports/"] {
            assert_eq!(get(&find, unknown), "no item", "{unknown}");
        }
    }

    #[test]
    fn only_names_of_this_host_are_answered_on_a_loopback_address() {
        let named = |host: &str| names_this_host(Some(&HeaderValue::from_str(host).unwrap()));
        assert!(named("localhost:8711") && named("127.0.0.1:8711") && named("[::1]:8711") && named("LOCALHOST"));
        assert!(!named("harbour.example.org:8711") && !named("10.0.0.1") && !names_this_host(None));
    }
}
