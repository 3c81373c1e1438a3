//! Versions of installations and of requests (selection.md, 2). Which one satisfies which is `select`'s work.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not even one number.
    #[error("expected a version such as 3.12 or 4.4.1, found {found:?}")]
    NoNumber {
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

/// The version of an installation: three numbers, and a suffix that only breaks ties.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u64; 3],
    suffix: String,
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

    /// Whether the suffix marks a version made before the release.
    fn is_before_release(&self) -> bool {
        let word = self.suffix.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let word: String = word.chars().take_while(char::is_ascii_alphabetic).collect();
        ["a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "dev"].contains(&word.to_ascii_lowercase().as_str())
    }
}

impl Ord for Version {
    /// By the numbers; equal numbers: pre-releases below releases, pre-releases by suffix so that the bytewise
    /// highest is the highest, releases with different suffixes likewise for a total order.
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| other.is_before_release().cmp(&self.is_before_release()))
            .then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
        let (numbers, suffix) = split(text.trim()).ok_or_else(|| VersionError::NoNumber { found: text.to_owned() })?;
        let numbers = <[u64; 3]>::try_from(numbers).map_err(|_| VersionError::Short { found: text.to_owned() })?;
        Ok(Self { numbers, suffix: suffix.to_owned() })
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
        let text = text.trim();
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
    }
}
