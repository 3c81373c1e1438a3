//! Names that are hashes of what shapes them: revisions, bundles, package keys, jobs, plans (objects.md, "Names").

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Digest, Slug};

macro_rules! hashed {
    ($(#[$doc:meta])* $name:ident, $digits:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name that a digest gives.
            pub fn of(digest: &Digest) -> Self {
                Self(digest.prefix($digits))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAName;

            /// Reads a name back, as it stands in a directory of the data volume.
            fn from_str(text: &str) -> Result<Self, NotAName> {
                let hex = text.len() == $digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if hex { Ok(Self(text.to_owned())) } else { Err(NotAName { found: text.to_owned(), digits: $digits }) }
            }
        }
    };
}

/// A text that is none of the hash names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits, found {found:?}")]
pub struct NotAName {
    found: String,
    digits: usize,
}

hashed! {
    /// Everything that shapes an item's processes: a new revision is a restart.
    Revision, 10
}
impl Revision {
    /// A value below every revision, to start a range at.
    pub(super) const fn lowest() -> Self {
        Self(String::new())
    }
}
hashed! {
    /// An item's files at one commit.
    BundleId, 16
}
hashed! {
    /// A package environment: equal keys share one.
    PackageKey, 20
}
hashed! {
    /// A plan, by its operations.
    PlanId, 64
}

/// The three things the session does for content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Makes a package environment.
    Build,
    /// Is one process of an interactive item.
    Run,
    /// Renders a document once.
    Render,
}

impl Role {
    /// The word used in names and labels.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
            Self::Render => "render",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}

/// Which of several equal jobs of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The one job (a build; the render that every new revision gets).
    Once,
    /// The process of this number, from 0.
    Ordinal(u32),
    /// The render that was due at this time.
    Due(#[schemars(with = "String")] Timestamp),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => f.write_str("first"),
            Self::Ordinal(number) => write!(f, "{number}"),
            Self::Due(time) => write!(f, "{}", time.strftime("%Y%m%dt%H%M%Sz")),
        }
    }
}

/// A job's name. The same desired job is the same name, so starting it twice is starting it once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct JobName(String);

impl JobName {
    /// `build-<key>`, with the attempt from the second on.
    pub fn build(key: &PackageKey, attempt: u32) -> Self {
        Self(if attempt == 0 { format!("build-{key}") } else { format!("build-{key}-{attempt}") })
    }

    /// `run-<slug>-<revision>-<ordinal>-<attempt>`.
    pub fn run(slug: &Slug, revision: &Revision, ordinal: u32, attempt: u32) -> Self {
        Self(format!("run-{slug}-{revision}-{ordinal}-{attempt}"))
    }

    /// `render-<slug>-<revision>-<slot>`, with the attempt from the second on.
    pub fn render(slug: &Slug, revision: &Revision, slot: Slot, attempt: u32) -> Self {
        let name = format!("render-{slug}-{revision}-{slot}");
        Self(if attempt == 0 { name } else { format!("{name}-{attempt}") })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for JobName {
    /// Takes a name that an executor read back from its world.
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
