//! The codes of problems in environment files. `docs/diagnostics.md` explains each to the people who see them.

use crate::desired::reading::Codes;
use crate::model::Code;

/// The problems that every kind of file can have.
pub(super) const CODES: Codes = Codes {
    kind: Code::new("E0110"),
    repeated: Code::new("E0111"),
    unknown: Code::new("E0112"),
    ignored: Code::new("W0112"),
};

/// A required field is missing.
pub(super) const MISSING: Code = Code::new("E0113");
/// Not an image reference.
pub(super) const IMAGE: Code = Code::new("E0120");
/// Not one of the three values of `matching`.
pub(super) const MATCHING: Code = Code::new("E0121");
/// A path that is not absolute.
pub(super) const PATH: Code = Code::new("E0122");
/// A version that is not three numbers.
pub(super) const VERSION: Code = Code::new("E0123");
/// An installation that is there twice.
pub(super) const SAME_INSTALLATION: Code = Code::new("E0124");
/// Nothing is installed.
pub(super) const NOTHING_INSTALLED: Code = Code::new("E0125");
/// A volume mount that makes no sense.
pub(super) const MOUNT: Code = Code::new("E0126");
/// Not a digest, or another than the name's.
pub(super) const DIGEST: Code = Code::new("E0127");
/// Not a GUID.
pub(super) const GUID: Code = Code::new("E0128");
/// Not one of the two levels of a redirect.
pub(super) const LEVEL: Code = Code::new("E0129");
/// Two entries define one image.
pub(super) const SAME_IMAGE: Code = Code::new("E0130");
/// A redirect to an image that no file defines.
pub(super) const NO_SUCCESSOR: Code = Code::new("E0131");
/// Redirects that lead back to where they start.
pub(super) const CYCLE: Code = Code::new("E0132");
/// Two entries have one GUID.
pub(super) const SAME_GUID: Code = Code::new("E0133");
/// A volume mount that the operator does not allow.
pub const FORBIDDEN_MOUNT: Code = Code::new("E0134");
/// An image that the policy does not allow.
pub const FORBIDDEN_IMAGE: Code = Code::new("E0135");
/// An image without the digest that the policy requires.
pub const WITHOUT_DIGEST: Code = Code::new("E0136");
/// Not a form of environment file.
pub(super) const NO_FORM: Code = Code::new("E0140");
/// A cluster that environments cannot be defined for.
pub(super) const CLUSTER: Code = Code::new("E0141");
/// A file of a known form without environments.
pub(super) const NO_ENVIRONMENTS: Code = Code::new("W0140");
/// The chart's own list of images, which is not in the file.
pub(super) const CHART_LIST: Code = Code::new("W0141");
