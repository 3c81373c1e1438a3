//! Git's smart protocol over HTTP: one GET for the list of refs, one POST for each step of a fetch.
//!
//! A token goes to the configured origin and nowhere else. Redirects are followed only for the first GET, and not at all
//! when there is a credential that the other host would want.

use std::future::Future;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;

use super::advertisement::Advertisement;
use super::{Endpoint, TransportError, lock, printable, with_causes};
use crate::source::error::SourceError;
use crate::source::url::HttpUrl;

/// The largest token file that is read, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;
/// The largest request, in bytes. A fetch of one ref asks in a few kilobytes.
const LARGEST_REQUEST: usize = 16 << 20;
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;

/// What a request carries to be let in.
enum Login {
    Basic { user: SecretString, password: Option<SecretString> },
    Bearer(SecretString),
}

/// One connection of libgit2, which is several requests.
struct HttpService {
    endpoint: Arc<Endpoint>,
    configured: Url,
    login_in_url: Option<Login>,
    /// Where the repository turned out to be after redirects.
    base: Mutex<Url>,
}

impl HttpService {
    fn new(endpoint: Arc<Endpoint>, url: &HttpUrl) -> Self {
        let login_in_url =
            url.credentials().map(|login| Login::Basic { user: login.user.clone(), password: login.password.clone() });
        Self { endpoint, configured: url.url().clone(), login_in_url, base: Mutex::new(url.url().clone()) }
    }

    /// GETs the list of refs.
    fn list(&self) -> Result<Response, TransportError> {
        let mut url = below(&self.configured, "info/refs");
        url.set_query(Some("service=git-upload-pack"));
        let from_file = self.login_in_file()?;
        let login = from_file.as_ref().or(self.login_in_url.as_ref());
        let request = self.client(login.is_some())?.get(url).header(CACHE_CONTROL, "no-cache");
        let response = self.send(with_login(request, login), login.is_some(), "advertisement")?;
        let found = response.url();
        let path = found.path().strip_suffix("/info/refs").ok_or_else(|| TransportError::Redirected {
            to: without_query(found),
            problem: "which is not where a repository's list of refs would be",
        })?;
        let mut base = found.clone();
        base.set_path(path);
        base.set_query(None);
        *lock(&self.base) = base;
        Ok(response)
    }

    /// POSTs one step of a fetch.
    fn step(&self, body: Vec<u8>) -> Result<Response, TransportError> {
        let base = lock(&self.base).clone();
        let from_file = self.login_in_file()?;
        let login = from_file.as_ref().or(self.login_in_url.as_ref());
        let login = login.filter(|_| base.origin() == self.configured.origin());
        let request = self
            .client(login.is_some())?
            .post(below(&base, "git-upload-pack"))
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header(ACCEPT, "application/x-git-upload-pack-result")
            .body(body);
        self.send(with_login(request, login), login.is_some(), "result")
    }

    /// The token of now.
    fn login_in_file(&self) -> Result<Option<Login>, TransportError> {
        let login = self.endpoint.options.token_file.as_deref().map(read_token).transpose();
        login.map_err(|error| TransportError::Token(Box::new(error)))
    }

    /// Sends a request and takes only an answer of a smart Git server.
    fn send(&self, request: RequestBuilder, has_login: bool, kind: &str) -> Result<Response, TransportError> {
        let response = self.wait(request.send())?;
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let hint = if has_login {
                    "check what the token may read, and whether it expired"
                } else {
                    "give --token-file"
                };
                return Err(TransportError::Denied { problem: status.to_string(), hint });
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(TransportError::NoRepository { problem: status.to_string() });
            }
            status if status.is_redirection() => {
                let to = response.headers().get("location").and_then(|to| to.to_str().ok()).map_or("?", |to| to);
                let to = printable(to.split('?').next().unwrap_or_default());
                return Err(TransportError::Redirected { to, problem: "in the middle of a fetch" });
            }
            status if !status.is_success() => {
                return Err(TransportError::Unreachable { problem: format!("it answered {status}") });
            }
            _ => {}
        }
        let found = response.headers().get(CONTENT_TYPE).map(|found| String::from_utf8_lossy(found.as_bytes()));
        if found.as_deref() == Some(&format!("application/x-git-upload-pack-{kind}")) {
            return Ok(response);
        }
        let found = found.map_or_else(|| "an answer of no type".to_owned(), |found| printable(&found));
        Err(TransportError::NotGit { found })
    }

    fn client(&self, has_login: bool) -> Result<&Client, TransportError> {
        // A client never serves both a look with and one without a token: whether there is one does not change.
        if let Some(client) = self.endpoint.client.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            // Some forges give out Git only to what looks like Git.
            .user_agent(concat!("git/2.0 (wharf ", env!("CARGO_PKG_VERSION"), ")"))
            .redirect(redirect_policy(has_login, self.configured.clone()));
        if is_loopback(&self.configured) {
            // What listens on this machine only cannot be reached by a proxy.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| TransportError::Client { problem: with_causes(&error) })?;
        Ok(self.endpoint.client.get_or_init(|| client))
    }

    /// Waits on this thread, which is one made for blocking work, until the server does something, the time is over, or
    /// nobody wants the answer any more.
    fn wait<T>(&self, future: impl Future<Output = reqwest::Result<T>>) -> Result<T, TransportError> {
        let runtime = Handle::try_current().map_err(|error| TransportError::Client { problem: error.to_string() })?;
        let attempt = self.endpoint.attempt();
        let options = &self.endpoint.options;
        let silent_at = Instant::now() + options.silence;
        runtime.block_on(async {
            tokio::select! {
                result = future => result.map_err(problem),
                () = attempt.cancelled.cancelled() => Err(TransportError::Cancelled),
                () = tokio::time::sleep_until(attempt.until.min(silent_at).into()) => Err(if attempt.until < silent_at {
                    TransportError::TooSlow { after: options.deadline }
                } else {
                    TransportError::Silent { after: options.silence }
                }),
            }
        })
    }
}

/// What libgit2 holds; its streams hold the same service.
pub(super) struct HttpTransport(Arc<HttpService>);

impl HttpTransport {
    pub(super) fn new(endpoint: Arc<Endpoint>, url: &HttpUrl) -> Self {
        Self(Arc::new(HttpService::new(endpoint, url)))
    }
}

impl SmartSubtransport for HttpTransport {
    fn action(&self, _url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        match action {
            Service::UploadPackLs => {
                let response = self.0.list().map_err(|failure| self.0.endpoint.refuse(failure))?;
                Ok(Box::new(List(Advertisement::new(Answer::new(Arc::clone(&self.0), response), 2))))
            }
            Service::UploadPack => Ok(Box::new(Step::Asking { service: Arc::clone(&self.0), body: Vec::new() })),
            Service::ReceivePackLs | Service::ReceivePack => Err(git2::Error::from_str("Wharf never pushes")),
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// A response that is watched while it is read.
struct Answer {
    service: Arc<HttpService>,
    response: Response,
    /// What arrived and was not yet given out, and how much of it was.
    chunk: Vec<u8>,
    given: usize,
}

impl Answer {
    const fn new(service: Arc<HttpService>, response: Response) -> Self {
        Self { service, response, chunk: Vec::new(), given: 0 }
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.chunk.len() {
            let endpoint = &self.service.endpoint;
            let chunk = self.service.wait(self.response.chunk()).map_err(|failure| endpoint.fail(failure))?;
            let Some(chunk) = chunk else { return Ok(0) };
            endpoint.count(chunk.len())?;
            (self.chunk, self.given) = (chunk.into(), 0);
        }
        let count = self.chunk.get(self.given..).unwrap_or_default().read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

/// The list of refs, which is only read.
struct List(Advertisement<Answer>);

impl Read for List {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for List {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the list of refs takes no request"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One POST: libgit2 writes the request, in one piece, and then reads the answer.
enum Step {
    Asking { service: Arc<HttpService>, body: Vec<u8> },
    Answered(Answer),
}

impl Read for Step {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Asking { service, body } = self {
            let response = service.step(std::mem::take(body)).map_err(|failure| service.endpoint.fail(failure))?;
            *self = Self::Answered(Answer::new(Arc::clone(service), response));
        }
        match self {
            Self::Answered(answer) => answer.read(buffer),
            Self::Asking { .. } => Ok(0),
        }
    }
}

impl Write for Step {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Asking { body, .. } if body.len() + bytes.len() <= LARGEST_REQUEST => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Self::Asking { .. } => Err(io::Error::other("the request grew beyond what any fetch needs")),
            Self::Answered(_) => Err(io::Error::other("the request was sent already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a failed request means.
fn problem(error: reqwest::Error) -> TransportError {
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<RefusedRedirect>() {
            return TransportError::Redirected { to: refused.to.clone(), problem: refused.problem };
        }
        cause = inner.source();
    }
    TransportError::Unreachable { problem: with_causes(&error.without_url()) }
}

/// A redirect that is not followed, on its way through reqwest.
#[derive(Debug, thiserror::Error)]
#[error("redirected to {to}, {problem}")]
struct RefusedRedirect {
    to: String,
    problem: &'static str,
}

fn redirect_policy(has_login: bool, configured: Url) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let first = attempt.previous().first();
        if !first.is_some_and(|first| first.path().ends_with("/info/refs")) {
            return attempt.stop();
        }
        let last_was_https = attempt.previous().last().is_some_and(|last| last.scheme() == "https");
        let problem = if attempt.previous().len() > MOST_REDIRECTS {
            "after too many redirects"
        } else if last_was_https && attempt.url().scheme() != "https" {
            "which is not encrypted"
        } else if has_login && attempt.url().origin() != configured.origin() {
            "and credentials are sent to no other host"
        } else {
            return attempt.follow();
        };
        let to = without_query(attempt.url());
        attempt.error(RefusedRedirect { to, problem })
    })
}

fn with_login(request: RequestBuilder, login: Option<&Login>) -> RequestBuilder {
    match login {
        None => request,
        Some(Login::Basic { user, password }) => {
            request.basic_auth(user.expose_secret(), password.as_ref().map(ExposeSecret::expose_secret))
        }
        Some(Login::Bearer(token)) => request.bearer_auth(token.expose_secret()),
    }
}

/// Reads `--token-file` in the three forms its documentation names.
fn read_token(path: &std::path::Path) -> Result<Login, SourceError> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text))
        .map_err(SourceError::file("read the token file", path))?;
    let wrong = |found| SourceError::Token { path: path.to_owned(), found };
    let token = text.trim();
    if token.is_empty() {
        return Err(wrong("an empty file"));
    }
    if token.chars().any(char::is_control) {
        return Err(wrong("several lines"));
    }
    let secret = |text: &str| SecretString::from(text.to_owned());
    if let Some(bearer) = token.strip_prefix("Bearer ") {
        return Ok(Login::Bearer(secret(bearer.trim())));
    }
    let (user, password) = token.split_once(':').unwrap_or(("x-access-token", token));
    Ok(Login::Basic { user: secret(user), password: Some(secret(password)) })
}

/// The address of a file below the repository's address.
fn below(base: &Url, name: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{name}", base.path().trim_end_matches('/')));
    url
}

/// An address to print. The query goes, it may carry a session.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Neither fails for an http address; a failure would leave what the server itself sent.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    printable(url.as_str())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(content: &str) -> Result<Login, SourceError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        read_token(file.path())
    }

    #[test]
    fn a_token_file_has_three_forms() {
        let Ok(Login::Basic { user, password: Some(password) }) = token("abc\n") else { panic!("not basic") };
        assert_eq!((user.expose_secret(), password.expose_secret()), ("x-access-token", "abc"));
        let Ok(Login::Basic { user, password: Some(password) }) = token("robot:a:b") else { panic!("not basic") };
        assert_eq!((user.expose_secret(), password.expose_secret()), ("robot", "a:b"));
        let Ok(Login::Bearer(bearer)) = token("Bearer abc\n") else { panic!("not bearer") };
        assert_eq!(bearer.expose_secret(), "abc");
    }

    #[test]
    fn a_token_file_without_a_token_is_named_and_not_quoted() {
        for content in ["", "\n", "one-secret\ntwo-secret"] {
            let message = token(content).err().unwrap().to_string();
            assert!(message.contains("token") && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn addresses_below_a_repository() {
        let url = |text: &str| below(&Url::parse(text).unwrap(), "info/refs").to_string();
        assert_eq!(url("https://git.example/a.git/"), "https://git.example/a.git/info/refs");
        assert_eq!(url("https://git.example"), "https://git.example/info/refs");
    }
}
