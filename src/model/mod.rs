//! The nouns every room speaks: names, versions, environments, items, diagnostics. Pure; imports nothing of ours.

mod appmode;
mod canonical;
mod constraint;
mod demand;
mod diagnostic;
mod environment;
mod ids;
mod item;
mod language;
mod name;
mod policy;
mod runtime;
mod schedule;
mod settings;
mod units;
mod version;

pub use appmode::{Appmode, Kind, UnknownAppmode};
pub use canonical::{Digest, canonical_json};
pub use constraint::{Constraint, ConstraintError};
pub use demand::{Demand, Demands, ExplicitRequest, Selected, SelectedInstallation};
pub use diagnostic::{Code, Diagnostic, Diagnostics, Excerpt, Place, Severity, Span};
pub use environment::{Environment, Installation, Matching, MountSource, Redirect, RedirectLevel, VolumeMount};
pub use ids::{BlobId, CommitId, IdError, TreeId};
pub use item::{Entrypoint, FileEntry, Item, Manifest, PackageFile, PackageManager};
pub use language::{Language, Strategy};
pub use name::{Guid, ImageRef, Instance, ItemName, NameError, Slug};
pub use policy::{Budget, Limits, PackageSource, Policy, SecretRule, Selection};
pub use runtime::{is_started_here, missing_server_packages, requirement_name, server_packages};
pub use schedule::{Schedule, ScheduleError};
pub use settings::{EnvironmentValue, Settings};
pub use units::{Cpu, Memory, Seconds, UnitError};
pub use version::{RequestedVersion, Version, VersionError};
