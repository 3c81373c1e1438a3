//! Names that identify things: items, images, instances, and what is derived from them. Pure functions of the text.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::canonical::Digest;

/// The namespace of every GUID that Wharf derives (UUID v5 of the URL namespace and `https://wharf.dev/guid`).
const GUID_NAMESPACE: Uuid = Uuid::from_u128(0x7d0a_4f60_52ab_5c0b_9d4e_8a3b_1f65_c2d7);

/// A text that cannot be the name it was given as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An item's name is a path that would be unsafe or ambiguous.
    #[error("an item's name is the path of its directory, without {problem}; found {found:?}")]
    Item {
        /// The text as given.
        found: String,
        /// What it must not hold.
        problem: &'static str,
    },
    /// Not an OCI image reference.
    #[error("expected a container image such as ghcr.io/team/image:tag, found {found:?}: {problem}")]
    Image {
        /// The text as given.
        found: String,
        /// Which part of it is wrong.
        problem: &'static str,
    },
    /// Not an instance name.
    #[error(
        "an instance's name is 1 to 40 of a-z, 0-9 and -, starting and ending with a letter or digit; found {found:?}"
    )]
    Instance {
        /// The text as given.
        found: String,
    },
    /// Not a GUID.
    #[error("expected a GUID such as 25438b83-ea6d-4839-ae8e-53c52ac5f9ce, found {found:?}")]
    Guid {
        /// The text as given.
        found: String,
    },
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

text_type! {
    /// An item's name: the path of its directory below the content root, as it stands (formats.md, "Items").
    ItemName
}

impl FromStr for ItemName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |problem| Err(NameError::Item { found: text.to_owned(), problem });
        if text.is_empty() {
            return wrong("being empty");
        }
        if text.chars().any(|letter| letter.is_control() || letter == '\\') {
            return wrong("control characters or backslashes");
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return wrong("empty parts, '.' or '..'");
        }
        Ok(Self(text.into()))
    }
}

impl ItemName {
    /// The item's short, unique name, usable in a Kubernetes name and as a directory.
    pub fn slug(&self) -> Slug {
        Slug::of(&self.0)
    }
}

text_type! {
    /// A container image reference: the natural key of an environment.
    ImageRef
}

impl ImageRef {
    /// The name under which this host takes part in the selection.
    pub const LOCALHOST: &str = "localhost";

    /// This host as an environment.
    pub fn localhost() -> Self {
        Self(Self::LOCALHOST.into())
    }
}

impl FromStr for ImageRef {
    type Err = NameError;

    /// The grammar of the OCI distribution specification: `[host[:port]/]path[:tag][@digest]`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |problem| Err(NameError::Image { found: text.to_owned(), problem });
        if text.is_empty() || text.len() > 512 {
            return wrong("it is empty or longer than 512 characters");
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:");
            if !hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))) {
                return wrong("the part after @ is no sha256 digest");
            }
        }
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
            let word = tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
            if !first || !word || tag.len() > 128 {
                return wrong("the tag after : holds a character that tags cannot hold");
            }
        }
        let mut parts = path.split('/').peekable();
        if path.contains('/') {
            let host = parts.peek().copied().unwrap_or_default();
            if host.contains(['.', ':']) || host == "localhost" || host.bytes().any(|b| b.is_ascii_uppercase()) {
                if !is_host(host) {
                    return wrong("the registry's host is not a host name");
                }
                parts.next();
            }
        }
        if parts.any(|part| !is_path_component(part)) {
            return wrong(
                "its path holds a character that image names cannot hold (lower case letters, digits, . _ - and /)",
            );
        }
        Ok(Self(text.into()))
    }
}

/// `example.com`, `example.com:5000`, `[::1]:5000`.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_ok = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let name_ok = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => name.split('.').all(plain),
    };
    port_ok && name_ok
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(part: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let letters = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
    let doubled = part.contains("..") || part.contains("___") || part.contains("._") || part.contains("_.");
    letters && !doubled && edge(part.bytes().next()) && edge(part.bytes().last())
}

text_type! {
    /// The name of one Wharf installation; everything it owns carries it.
    Instance
}

impl FromStr for Instance {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if text.len() > 40 || !letters || !edge(text.bytes().next()) || !edge(text.bytes().last()) {
            return Err(NameError::Instance { found: text.to_owned() });
        }
        Ok(Self(text.into()))
    }
}

/// An item's name sanitised to at most 40 characters, and 8 digits of its hash (objects.md, "Names").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// The slug of an item's name.
    pub fn of(name: &str) -> Self {
        let mut words = String::with_capacity(40);
        for letter in name.chars().map(|letter| letter.to_ascii_lowercase()) {
            let letter = if letter.is_ascii_lowercase() || letter.is_ascii_digit() { letter } else { '-' };
            if !(letter == '-' && (words.is_empty() || words.ends_with('-'))) {
                words.push(letter);
            }
            if words.len() == 40 {
                break;
            }
        }
        let words = words.trim_end_matches('-');
        let hash = Digest::of(name).prefix(8);
        Self(if words.is_empty() { format!("item-{hash}") } else { format!("{words}-{hash}") })
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Identity towards Connect's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Guid(Uuid);

impl Guid {
    /// The GUID of a thing that was given none: UUID v5 of the instance, the kind and the name.
    pub fn derived(instance: &Instance, kind: &str, name: &str) -> Self {
        Self(Uuid::new_v5(&GUID_NAMESPACE, format!("{instance}\0{kind}\0{name}").as_bytes()))
    }
}

impl FromStr for Guid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Guid { found: text.to_owned() };
        if text.len() != 36 {
            return Err(wrong());
        }
        Uuid::parse_str(text).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_oci_references() {
        for good in [
            "ghcr.io/a/b:r4.4-py3.12",
            "localhost:5000/x",
            "busybox",
            "a/b",
            "x@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "registry.example/content:b0",
            "[::1]:5000/a",
        ] {
            assert!(good.parse::<ImageRef>().is_ok(), "{good}");
        }
        for bad in ["", "a/B", "a b", "a:", "a//b", "ghcr.io/A", "a@sha256:0", "-a", "a/-b", "../a", "https://a/b"] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn slugs_are_short_and_never_collide_by_their_words() {
        let slug = ItemName::from_str("Reports/Über uns").unwrap().slug();
        assert!(slug.as_str().starts_with("reports-ber-uns-"), "{slug}");
        assert_ne!(Slug::of("a/b"), Slug::of("a-b"));
        assert!(Slug::of(&"x".repeat(300)).as_str().len() <= 49);
        assert!(Slug::of("日本").as_str().starts_with("item-"));
    }

    #[test]
    fn item_names_are_paths_without_surprises() {
        for bad in ["", "/a", "a/", "a/../b", "a\nb", "a\\b", "."] {
            assert!(bad.parse::<ItemName>().is_err(), "{bad:?}");
        }
    }
}
