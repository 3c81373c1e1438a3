//! Versions of installations and of requests (selection.md, 2). Which one satisfies which is `select`'s work.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest text read as a version, in bytes.
const LONGEST: usize = 100;

/// Words that mark a version made before its release (selection.md, 2).
const BEFORE_RELEASE: [&str; 9] = ["a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "dev"];

/// A text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not even one number.
    #[error("expected a version such as 3.12 or 4.4.1, found {found:?}")]
    NoNumber {
        /// The text as given.
        found: String,
    },
    /// Nobody writes this, and it would be drawn on people's terminals.
    #[error("a version has no control characters and at most {LONGEST} bytes, found {}", shortened(found))]
    Unreadable {
        /// The text as given.
        found: String,
    },
    /// An installation needs all three numbers.
    #[error("an installation's version has three numbers such as 3.12.4, found {found:?}")]
    Short {
        /// The text as given.
        found: String,
    },
}

/// The start of a text, quoted: enough to find it by.
fn shortened(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("{start:?}")
}

/// The version of an installation: three numbers, and a suffix that only breaks ties.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u64; 3],
    suffix: String,
    before_release: bool,
}

impl Version {
    /// Major, minor and patch.
    pub const fn numbers(&self) -> [u64; 3] {
        self.numbers
    }

    /// What follows the numbers, as it was written.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// Whether the suffix marks a version made before the release: `rc1`, `-dev`, `.beta2`.
    pub const fn is_before_release(&self) -> bool {
        self.before_release
    }
}

/// Whether the first word of a suffix, after any separator, is one of those that mark pre-releases.
fn marks_before_release(suffix: &str) -> bool {
    let word = suffix.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let end = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
    word.get(..end).is_some_and(|word| BEFORE_RELEASE.iter().any(|known| known.eq_ignore_ascii_case(word)))
}

impl Ord for Version {
    /// By the numbers; equal numbers: pre-releases below releases, then by suffix, bytewise. Releases that differ in
    /// their suffix alone are ordered too, because equal means identical here; `select` holds them for equally good.
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| other.before_release.cmp(&self.before_release))
            .then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The text without white space around it, if it is fit to be shown.
fn readable(text: &str) -> Result<&str, VersionError> {
    let text = text.trim();
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(VersionError::Unreadable { found: text.to_owned() });
    }
    Ok(text)
}

/// Up to three leading numbers and the rest.
fn split(text: &str) -> Option<(Vec<u64>, &str)> {
    let mut numbers = Vec::with_capacity(3);
    let mut rest = text;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        numbers.push(rest.get(..digits)?.parse().ok()?);
        rest = rest.get(digits..)?;
        let next = rest.strip_prefix('.').filter(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        match next {
            Some(next) if numbers.len() < 3 => rest = next,
            _ => return Some((numbers, rest)),
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let text = readable(text)?;
        let (numbers, suffix) = split(text).ok_or_else(|| VersionError::NoNumber { found: text.to_owned() })?;
        let numbers = <[u64; 3]>::try_from(numbers).map_err(|_| VersionError::Short { found: text.to_owned() })?;
        Ok(Self { numbers, suffix: suffix.to_owned(), before_release: marks_before_release(suffix) })
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}{}", self.suffix)
    }
}

/// The version a manifest asks for: one to three numbers; missing ones are wildcards, a suffix is ignored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestedVersion {
    numbers: Vec<u64>,
    text: String,
}

impl RequestedVersion {
    /// The one to three numbers that were given.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }
}

impl FromStr for RequestedVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let text = readable(text)?;
        let (numbers, _) = split(text).ok_or_else(|| VersionError::NoNumber { found: text.to_owned() })?;
        Ok(Self { numbers, text: text.to_owned() })
    }
}

impl TryFrom<String> for RequestedVersion {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<RequestedVersion> for String {
    fn from(version: RequestedVersion) -> Self {
        version.text
    }
}

impl fmt::Display for RequestedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn real_versions_are_read() {
        assert_eq!(version("4.1.3 Patched").numbers(), [4, 1, 3]);
        assert_eq!(version("3.13.0rc1").suffix(), "rc1");
        assert_eq!(version("1.4.550.2").suffix(), ".2");
        assert_eq!("3.9.7+".parse::<RequestedVersion>().unwrap().numbers(), [3, 9, 7]);
        assert_eq!("3".parse::<RequestedVersion>().unwrap().numbers(), [3]);
        assert!("latest".parse::<RequestedVersion>().is_err());
        assert!("3.11".parse::<Version>().is_err());
        assert!("".parse::<RequestedVersion>().is_err());
        assert!("99999999999999999999999".parse::<RequestedVersion>().is_err());
    }

    #[test]
    fn a_release_comes_before_its_pre_releases() {
        assert!(version("3.13.0") > version("3.13.0rc1"));
        assert!(version("3.13.0rc2") > version("3.13.0rc1"));
        assert!(version("1.4.550") > version("1.4.550-dev"));
        assert!(version("3.13.1a1") > version("3.13.0"));
        for before in ["3.13.0-rc.1", "3.13.0_b2", "3.13.0.dev1", "3.13.0 alpha", "3.13.0RC1", "3.13.0-preview"] {
            assert!(version(before).is_before_release(), "{before}");
        }
        for release in ["3.13.0", "3.13.0+", "4.1.3 Patched", "1.4.550.2", "3.13.0-build7", "3.13.0+ubuntu"] {
            assert!(!version(release).is_before_release(), "{release}");
        }
    }

    #[test]
    fn what_would_disturb_a_terminal_is_no_version() {
        assert!("3.11.4\u{1b}[31m".parse::<Version>().is_err());
        assert!(format!("3.11.4{}", "x".repeat(200)).parse::<RequestedVersion>().is_err());
    }
}
