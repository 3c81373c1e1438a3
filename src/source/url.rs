//! Which repository, which ref, which directory: three texts an operator gives, checked before anything uses them.
//! Nothing is opened or asked here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::Url;
use secrecy::SecretString;

use crate::model::CommitId;

/// A repository, ref or path that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `--repo` is not one of the forms that are read.
    #[error(
        "expected a repository as https://, http://, ssh://, user@host:path or a local path, found {found:?}: {problem}"
    )]
    Repository {
        /// The text, without anything that could be a credential.
        found: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `--ref` is not a Git ref.
    #[error("expected a branch, a tag, HEAD or a commit's 40 digits as --ref, found {found:?}: {problem}")]
    Reference {
        /// The text as given.
        found: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `--path` is not a directory below the repository's root.
    #[error(
        "expected --path as a directory inside the repository, such as deploy/production, found {found:?}: {problem}"
    )]
    Directory {
        /// The text as given.
        found: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Where a repository is. Printing one never prints a credential.
#[derive(Debug, Clone)]
pub enum RepositoryUrl {
    /// Over HTTP or HTTPS.
    Http(HttpUrl),
    /// Over the `ssh` program.
    Ssh(SshUrl),
    /// A directory of this machine, read in place.
    Local(PathBuf),
}

/// An `http` or `https` address. What stood before the `@` is kept apart as a secret.
#[derive(Debug, Clone)]
pub struct HttpUrl {
    url: Url,
    credentials: Option<HttpCredentials>,
}

/// The user and password that stood in an address. The user may be the token, so it is secret too.
#[derive(Debug, Clone)]
pub(super) struct HttpCredentials {
    pub(super) user: SecretString,
    pub(super) password: Option<SecretString>,
}

/// What `ssh` is told: host, port, user and the path on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshUrl {
    /// `user@`, where given.
    pub(super) user: Option<String>,
    /// A host name, an alias of the ssh configuration, or an address without brackets.
    pub(super) host: String,
    /// `None` leaves the port to the ssh configuration.
    pub(super) port: Option<u16>,
    /// As `git-upload-pack` gets it: without a leading slash it starts in the user's home.
    pub(super) path: String,
}

impl RepositoryUrl {
    /// The repository as two spellings of it agree: lower-case scheme and host, no credential, no `.git`, no slash at the end.
    /// A local path is expected to be absolute already.
    pub(super) fn normalised(&self) -> String {
        let text = match self {
            Self::Http(http) => http.url.to_string(),
            Self::Ssh(ssh) => SshUrl { host: ssh.host.to_ascii_lowercase(), ..ssh.clone() }.to_string(),
            Self::Local(path) => return path.display().to_string(),
        };
        let text = text.trim_end_matches('/');
        text.strip_suffix(".git").unwrap_or(text).to_owned()
    }
}

impl FromStr for RepositoryUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |problem| AddressError::Repository { found: without_credentials(text), problem };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.starts_with('-') {
            return Err(wrong("it starts with `-` and would be taken for an option"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("it contains a control character"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => HttpUrl::read(text).map(Self::Http).map_err(wrong),
                "ssh" => SshUrl::read(rest).map(Self::Ssh).map_err(wrong),
                "file" if rest.starts_with('/') => Ok(Self::Local(PathBuf::from(rest))),
                "file" => Err(wrong("a file:// address needs an absolute path after it")),
                _ => Err(wrong("this scheme is not supported")),
            };
        }
        // Git's own rule: a colon before the first slash means another machine.
        let colon_first = text.find(':').is_some_and(|colon| text.find('/').is_none_or(|slash| colon < slash));
        if colon_first || text.starts_with('[') {
            return SshUrl::read_short(text).map(Self::Ssh).map_err(wrong);
        }
        Ok(Self::Local(PathBuf::from(text)))
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => write!(f, "{}", http.url),
            Self::Ssh(ssh) => write!(f, "{ssh}"),
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

impl HttpUrl {
    fn read(text: &str) -> Result<Self, &'static str> {
        let mut url = Url::parse(text).map_err(|_| "it is not a valid URL")?;
        if !url.has_host() {
            return Err("it names no host");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a repository's address has no `?` or `#` part");
        }
        let user = SecretString::from(url.username().to_owned());
        let password = url.password().map(|password| SecretString::from(password.to_owned()));
        let credentials =
            (!url.username().is_empty() || password.is_some()).then_some(HttpCredentials { user, password });
        let cannot = |()| "its user name cannot be taken out";
        url.set_username("").map_err(cannot)?;
        url.set_password(None).map_err(cannot)?;
        Ok(Self { url, credentials })
    }

    /// The address without credentials.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// What stood before the `@`.
    pub(super) fn credentials(&self) -> Option<&HttpCredentials> {
        self.credentials.as_ref()
    }
}

impl SshUrl {
    /// Reads what follows `ssh://`.
    fn read(rest: &str) -> Result<Self, &'static str> {
        let (authority, path) = rest.split_once('/').ok_or("it has no path after the host")?;
        let (user, host) = split_user(authority);
        let (host, port) = match host.strip_prefix('[') {
            Some(inner) => {
                let (host, after) = inner.split_once(']').ok_or("a `[` is not closed")?;
                (host, after.strip_prefix(':'))
            }
            None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => Some(port.parse::<u16>().map_err(|_| "the port is not a number up to 65535")?),
            None => None,
        };
        // As Git does: `/~user/x` means the home of that user, which the other side's shell must see without the slash.
        let path = if path.starts_with('~') { path.to_owned() } else { format!("/{path}") };
        Self { user: user.map(str::to_owned), host: host.to_owned(), port, path }.checked()
    }

    /// Reads `user@host:path`.
    fn read_short(text: &str) -> Result<Self, &'static str> {
        let (user, rest) = split_user(text);
        let (host, path) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once("]:").ok_or("a `[` is not closed")?,
            None => rest.split_once(':').ok_or("it has no path after the host")?,
        };
        if path.starts_with(':') {
            return Err("programs named by an address (`name::`) are not run");
        }
        Self { user: user.map(str::to_owned), host: host.to_owned(), port: None, path: path.to_owned() }.checked()
    }

    /// Lets through only what cannot be an option, a second argument or a second command on either side.
    fn checked(self) -> Result<Self, &'static str> {
        let plain = |text: &str, also: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c));
        if self.host.is_empty() || self.host.starts_with('-') || !plain(&self.host, "._-:%") {
            return Err("the host name is not one");
        }
        if let Some(user) = &self.user {
            if user.contains(':') {
                return Err("ssh takes no password from an address; use --ssh-key");
            }
            if user.is_empty() || user.starts_with('-') || !plain(user, "._-+~@") {
                return Err("the user name is not one");
            }
        }
        if self.path.is_empty() || self.path == "/" {
            return Err("it has no path after the host");
        }
        if self.path.starts_with('-') {
            return Err("the path starts with `-` and would be taken for an option");
        }
        Ok(self)
    }
}

impl fmt::Display for SshUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.path.trim_start_matches('/'))
    }
}

/// Splits `user@host`. A user may contain `@`, a host may not.
fn split_user(text: &str) -> (Option<&str>, &str) {
    let authority_end = text.find('/').unwrap_or(text.len());
    match text.get(..authority_end).and_then(|authority| authority.rfind('@')) {
        Some(at) => (text.get(..at), text.get(at + 1..).unwrap_or_default()),
        None => (None, text),
    }
}

/// A text that failed to be an address, safe to print: what stands before an `@` is taken out.
fn without_credentials(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let Some((head, rest)) = text.split_at_checked(start) else { return String::new() };
    rest.rfind('@').and_then(|at| rest.get(at + 1..)).map_or_else(|| text.to_owned(), |host| format!("{head}{host}"))
}

/// What of the repository is kept equal to the world: `HEAD`, a branch, a tag, a full ref, or one commit for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RefName {
    /// The branch the repository itself points at.
    #[default]
    Head,
    /// A branch or a tag by its short name; a branch wins, as in `git clone --branch`.
    Short(String),
    /// A name that starts with `refs/`.
    Full(String),
    /// One commit, by its forty digits.
    Commit(CommitId),
}

impl RefName {
    /// The full names this may stand for, the preferred one first. None for a commit.
    pub(super) fn candidates(&self) -> Vec<String> {
        match self {
            Self::Head => vec!["HEAD".to_owned()],
            Self::Short(name) => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
            Self::Full(name) => vec![name.clone()],
            Self::Commit(_) => Vec::new(),
        }
    }
}

impl FromStr for RefName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |problem| AddressError::Reference { found: text.to_owned(), problem };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.starts_with('-') {
            return Err(wrong("it starts with `-` and would be taken for an option"));
        }
        if text == "HEAD" {
            return Ok(Self::Head);
        }
        if let Ok(commit) = text.parse::<CommitId>() {
            return Ok(Self::Commit(commit));
        }
        let full = if text.starts_with("refs/") { text.to_owned() } else { format!("refs/heads/{text}") };
        if !git2::Reference::is_valid_name(&full) {
            return Err(wrong("Git does not allow this name"));
        }
        Ok(if full == text { Self::Full(full) } else { Self::Short(text.to_owned()) })
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("HEAD"),
            Self::Short(name) | Self::Full(name) => f.write_str(name),
            Self::Commit(commit) => write!(f, "{commit}"),
        }
    }
}

/// The directory of the repository that is read (`--path`). Empty is the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Subdirectory(String);

impl Subdirectory {
    /// The names on the way down.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The same directory below a directory of this machine.
    pub(super) fn below(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }
}

impl FromStr for Subdirectory {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |problem| AddressError::Directory { found: text.to_owned(), problem };
        if text.starts_with('/') {
            return Err(wrong("it starts with `/`; write it from the repository's root"));
        }
        if text.starts_with('-') {
            return Err(wrong("it starts with `-` and would be taken for an option"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("it contains a control character"));
        }
        let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        if names.contains(&"..") {
            return Err(wrong("`..` would leave the repository"));
        }
        if names.iter().any(|name| name.eq_ignore_ascii_case(".git")) {
            return Err(wrong("`.git` is Git's own directory"));
        }
        Ok(Self(names.join("/")))
    }
}

impl fmt::Display for Subdirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn ssh(text: &str) -> SshUrl {
        match text.parse() {
            Ok(RepositoryUrl::Ssh(ssh)) => ssh,
            other => panic!("{text} became {other:?}"),
        }
    }

    #[test]
    fn every_form_is_told_apart() {
        let cases = [
            ("https://git.example/team/repo.git", "https://git.example/team/repo.git"),
            ("HTTP://Git.Example:8080/r", "http://git.example:8080/r"),
            ("git@git.example:team/repo.git", "ssh://git@git.example/team/repo.git"),
            ("ssh://me@git.example:2222/srv/repo", "ssh://me@git.example:2222/srv/repo"),
            ("ssh://[fd00::1]:22/srv/repo", "ssh://[fd00::1]:22/srv/repo"),
            ("[fd00::1]:repo", "ssh://[fd00::1]/repo"),
            ("file:///srv/repo", "/srv/repo"),
            ("./with:colon", "./with:colon"),
            ("../repo", "../repo"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<RepositoryUrl>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn the_path_reaches_the_other_side_as_git_would_send_it() {
        assert_eq!(ssh("git@h:team/repo").path, "team/repo");
        assert_eq!(ssh("git@h:/srv/repo").path, "/srv/repo");
        assert_eq!(ssh("ssh://h/srv/repo").path, "/srv/repo");
        assert_eq!(ssh("ssh://h/~me/repo").path, "~me/repo");
    }

    #[test]
    fn what_could_be_an_option_or_a_command_is_refused() {
        let hostile = [
            "",
            "-oProxyCommand=id",
            "ssh://-oProxyCommand=id/x",
            "ssh://me@-oProxyCommand=id/x",
            "ssh://-l@host/x",
            "host:-x",
            "ssh://host",
            "ssh://host/",
            "ssh://ho st/x",
            "ssh://host;id/x",
            "ssh://host:99999/x",
            "ssh://me:secret@host/x",
            "ext::sh -c id",
            "git://git.example/repo",
            "file://relative",
            "https://",
            "https://git.example/repo?x=1",
            "https://git.example/re\npo",
        ];
        for text in hostile {
            assert!(text.parse::<RepositoryUrl>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn credentials_are_kept_and_never_printed() {
        let url: RepositoryUrl = "https://robot:hunter2@git.example/repo".parse().unwrap();
        let RepositoryUrl::Http(http) = &url else { panic!("not HTTP") };
        let credentials = http.credentials().unwrap();
        assert_eq!(credentials.user.expose_secret(), "robot");
        assert_eq!(credentials.password.as_ref().unwrap().expose_secret(), "hunter2");
        for printed in [url.to_string(), format!("{url:?}"), url.normalised()] {
            assert!(!printed.contains("hunter2") && !printed.contains("robot"), "{printed}");
        }
        for broken in ["git://robot:hunter2@git.example/repo", "https://robot:hunter2@git.example/repo?x"] {
            let message = broken.parse::<RepositoryUrl>().unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn two_spellings_of_one_repository_agree() {
        let normal = |text: &str| text.parse::<RepositoryUrl>().unwrap().normalised();
        assert_eq!(normal("https://x:y@Git.Example:443/a/b.git/"), normal("https://git.example/a/b"));
        assert_eq!(normal("git@Git.Example:a/b.git"), normal("ssh://git@git.example/a/b"));
        assert_ne!(normal("https://git.example/a/b"), normal("https://git.example/a/B"));
    }

    #[test]
    fn refs_follow_gits_own_rules() {
        let digits = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546";
        assert_eq!("HEAD".parse(), Ok(RefName::Head));
        assert_eq!("release/2026".parse(), Ok(RefName::Short("release/2026".into())));
        assert_eq!("refs/pull/7/head".parse(), Ok(RefName::Full("refs/pull/7/head".into())));
        assert_eq!(digits.parse(), Ok(RefName::Commit(digits.parse().unwrap())));
        for bad in ["", "-x", "a..b", "a b", "a~1", "a^", "refs/", "x.lock", "a:b", "@{u}", "a\u{7f}", "/a", "a//b"] {
            assert!(bad.parse::<RefName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_subdirectory_stays_inside() {
        assert_eq!("./deploy//production/".parse::<Subdirectory>().unwrap().to_string(), "deploy/production");
        assert_eq!(".".parse::<Subdirectory>().unwrap(), Subdirectory::default());
        for bad in ["/etc", "a/../../b", "-x", ".git/hooks", "a\nb"] {
            assert!(bad.parse::<Subdirectory>().is_err(), "{bad:?} was taken");
        }
    }
}
