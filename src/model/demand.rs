//! What an item asks of an environment, and what it was given. The rules are in `desired` (demands) and `select` (choice).

use std::collections::BTreeMap;

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
    /// Static items get no environment at all.
    pub no_environment: bool,
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
