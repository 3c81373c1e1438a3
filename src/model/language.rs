//! Languages and the strategies that say which version satisfies a request (selection.md, 1 and 3). No matching here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A language an item can demand, in the fixed order in which demands are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// R.
    R,
    /// CPython.
    Python,
    /// Quarto, the publishing program.
    Quarto,
    /// Node.js.
    Nodejs,
    /// TensorFlow's model server.
    Tensorflow,
}

impl Language {
    /// Every language, in the order of selection.md, section 1.
    pub const ALL: [Self; 5] = [Self::R, Self::Python, Self::Quarto, Self::Nodejs, Self::Tensorflow];

    /// The key used in files: `r`, `python`, `quarto`, `nodejs`, `tensorflow`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::R => "r",
            Self::Python => "python",
            Self::Quarto => "quarto",
            Self::Nodejs => "nodejs",
            Self::Tensorflow => "tensorflow",
        }
    }

    /// The name as its makers write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::R => "R",
            Self::Python => "Python",
            Self::Quarto => "Quarto",
            Self::Nodejs => "Node.js",
            Self::Tensorflow => "TensorFlow",
        }
    }

    /// The strategy used when the policy names none.
    pub const fn default_strategy(self) -> Strategy {
        match self {
            Self::Python => Strategy::MajorMinor,
            Self::R | Self::Quarto | Self::Nodejs | Self::Tensorflow => Strategy::Nearest,
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// Which installations satisfy a request that names a version and no constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// All given parts are equal.
    Exact,
    /// The same major and minor number.
    MajorMinor,
    /// Any, the closest first.
    Nearest,
}

impl Strategy {
    /// Every strategy, as it is written in `wharf.yaml`.
    pub const ALL: [Self; 3] = [Self::Exact, Self::MajorMinor, Self::Nearest];

    /// The key used in `wharf.yaml`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::MajorMinor => "major-minor",
            Self::Nearest => "nearest",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
