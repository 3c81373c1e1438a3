//! What an item asks of an environment, and what it was given. The rules are in `desired` (demands) and `select` (choice).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::constraint::Constraint;
use super::diagnostic::Place;
use super::language::Language;
use super::name::{Guid, ImageRef};
use super::version::{RequestedVersion, Version};

/// One language an item needs. With neither version nor constraint every installation satisfies it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demand {
    /// The version asked for; not used when there is a constraint.
    pub version: Option<RequestedVersion>,
    /// The set the version must lie in.
    pub requires: Option<Constraint>,
    /// Where it was asked for.
    pub place: Option<Place>,
}

/// An explicit request for one environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExplicitRequest {
    /// By a record's GUID.
    Guid(Guid),
    /// By an image's name.
    Image(ImageRef),
}

/// Everything an item asks of its environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demands {
    /// By language, in the fixed order.
    pub languages: BTreeMap<Language, Demand>,
    /// The environment asked for by the manifest, else by the content setting.
    pub explicit: Option<ExplicitRequest>,
    /// Where it was asked for.
    pub explicit_place: Option<Place>,
    /// Static items get no environment at all.
    pub no_environment: bool,
}

impl Demands {
    /// Static items: nothing is demanded and no environment is considered.
    pub fn without_environment() -> Self {
        Self { no_environment: true, ..Self::default() }
    }

    /// With the content setting `environment`, which a request in the manifest overrides entirely.
    /// A caller that knows where the setting stands puts it into `explicit_place`.
    #[must_use]
    pub fn with_setting(mut self, setting: Option<ExplicitRequest>) -> Self {
        if self.explicit.is_none() && !self.no_environment {
            self.explicit = setting;
        }
        self
    }

    /// Without the request for one environment, for an executor that has only the host.
    #[must_use]
    pub fn without_explicit(mut self) -> Self {
        self.explicit = None;
        self.explicit_place = None;
        self
    }
}

impl fmt::Display for ExplicitRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(guid) => guid.fmt(f),
            Self::Image(image) => image.fmt(f),
        }
    }
}

/// One interpreter that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SelectedInstallation {
    /// Its version.
    pub version: Version,
    /// Where it lies, absolute.
    pub path: String,
}

/// The environment an item runs in. Recorded, so that a sticky selection can stay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selected {
    /// The image, or `localhost`.
    pub environment: ImageRef,
    /// The interpreter of each demanded language.
    pub installations: BTreeMap<Language, SelectedInstallation>,
}
