//! The `local:` section of the configuration file: what concerns this host alone. What it does is the executor's business.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::settings::parsed;

/// Whom content becomes (`local.user`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentUser {
    /// As root: user 65532 where that works; else the same user as Wharf.
    #[default]
    Auto,
    /// The same user as Wharf.
    Same,
    /// This user and group.
    Number(u32),
}

/// A text that names no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, same, or the number of a user that is not root, found {0:?}")]
pub struct NoUser(String);

impl FromStr for ContentUser {
    type Err = NoUser;

    fn from_str(text: &str) -> Result<Self, NoUser> {
        match text {
            "auto" => Ok(Self::Auto),
            "same" => Ok(Self::Same),
            // Content as root is never what is meant; `same` says it for those who run Wharf as root and know why.
            number => number.parse().ok().filter(|uid| *uid != 0).map(Self::Number).ok_or_else(|| NoUser(text.into())),
        }
    }
}

/// The ports that items get, `FIRST-LAST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(pub RangeInclusive<u16>);

/// A text that is no range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected ports such as 41000-41999, from 1024 up and at least ten of them, found {0:?}")]
pub struct NoPorts(String);

impl FromStr for Ports {
    type Err = NoPorts;

    fn from_str(text: &str) -> Result<Self, NoPorts> {
        let ends = text
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?)));
        // Every item needs one for its address and one for each of its processes.
        let usable =
            ends.filter(|(first, last)| *first >= 1024 && last.checked_sub(*first).is_some_and(|more| more >= 9));
        usable.map(|(first, last)| Self(first..=last)).ok_or_else(|| NoPorts(text.to_owned()))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

/// How items run on this host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalSettings {
    /// Whom content becomes.
    #[serde(deserialize_with = "parsed")]
    pub user: Option<ContentUser>,
    /// The ports of items.
    #[serde(deserialize_with = "parsed")]
    pub ports: Option<Ports>,
    /// The interpreters that may be used; without them the host is searched.
    pub interpreters: Option<Vec<PathBuf>>,
    /// Whether an item that asks for an image is an error on this host.
    pub require_image_match: bool,
    /// A program that wraps every content process on this host, absolute.
    pub supervisor: Option<PathBuf>,
    /// How many package environments are built at once; half the cores where nothing is said.
    pub builds_at_once: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_ports_are_read() {
        assert_eq!("auto".parse(), Ok(ContentUser::Auto));
        assert_eq!("same".parse(), Ok(ContentUser::Same));
        assert_eq!("65532".parse(), Ok(ContentUser::Number(65532)));
        assert!("0".parse::<ContentUser>().is_err() && "root".parse::<ContentUser>().is_err());
        assert_eq!("41000-41999".parse(), Ok(Ports(41000..=41999)));
        for bad in ["", "41000", "41999-41000", "80-90", "41000-70000", "41000-41003"] {
            assert!(bad.parse::<Ports>().is_err(), "{bad}");
        }
    }
}
