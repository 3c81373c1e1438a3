//! The operator's ceiling: what wharf.yaml and environment files may ask for at most. Anything in Git is only a request.

mod admission;

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::glob::Glob;
use super::policy::PolicyFile;
use super::source_text::quoted;
use crate::model::{Budget, Code, Cpu, Diagnostic, Limits, Memory, Policy, SecretRule};

pub use admission::{Admission, CeilingError};

/// wharf.yaml asks for more than the operator allows.
const TOO_MUCH: Code = Code::new("E0506");

/// The ceiling, as the section `ceiling:` of the operator's configuration has it. Keys are those of wharf.yaml.
///
/// Nothing said means: no limits, all images, no secrets, no volumes, no service accounts, the usual budgets, no rewinds.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ceiling {
    /// Per item, and `total` for all together.
    pub limits: CeilingLimits,
    /// Images that environments may have.
    pub images: ImageCeiling,
    /// Service accounts that items may ask for.
    pub service_accounts: Vec<String>,
    /// Secrets that items may ask for.
    pub secrets: SecretCeiling,
    /// Volumes that environments may mount.
    pub volumes: VolumeCeiling,
    /// How many deletions one commit may bring.
    pub deletions: DeletionCeiling,
    /// How many items one commit may move.
    pub moves: MoveCeiling,
    /// Whether a branch may be forced back to a commit that is no descendant of the applied one.
    pub rewinds: bool,
}

/// The most that `limits` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CeilingLimits {
    /// Processes of one item.
    pub processes: Option<u32>,
    /// CPU of one item, such as `2` or `500m`.
    #[serde(deserialize_with = "amount")]
    pub cpu: Option<Cpu>,
    /// Memory of one item, such as `2Gi`.
    #[serde(deserialize_with = "amount")]
    pub memory: Option<Memory>,
    /// The largest file, such as `64Mi`.
    #[serde(deserialize_with = "amount")]
    pub file_size: Option<Memory>,
    /// The most files of one item.
    pub file_count: Option<u64>,
    /// All items together.
    pub total: CeilingTotal,
}

/// The most that `limits.total` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CeilingTotal {
    /// Processes.
    pub processes: Option<u32>,
    /// CPU.
    #[serde(deserialize_with = "amount")]
    pub cpu: Option<Cpu>,
    /// Memory.
    #[serde(deserialize_with = "amount")]
    pub memory: Option<Memory>,
}

/// Images that environments may have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageCeiling {
    /// Globs; empty allows all.
    pub allow: Vec<String>,
    /// Whether every image must carry a digest.
    pub require_digest: bool,
}

/// Secrets that items may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretCeiling {
    /// Rules; empty allows none.
    pub allow: Vec<SecretRule>,
}

/// Volumes that environments may mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeCeiling {
    /// Rules; empty allows none.
    pub allow: Vec<VolumeRule>,
}

/// One kind of volume that may be mounted: a claim, or an NFS export.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeRule {
    /// A glob over the names of PersistentVolumeClaims.
    pub pvc_name: Option<String>,
    /// A glob over NFS servers; `nfs_export_path` belongs to it.
    pub nfs_host: Option<String>,
    /// A glob over the exported paths.
    pub nfs_export_path: Option<String>,
    /// Whether it may be mounted to be written.
    pub writable: bool,
}

/// The most that `deletions` may say. `None`: the usual value, so that a repository can only lower it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeletionCeiling {
    /// How many.
    pub max_count: Option<u32>,
    /// Which share, from 20 managed things up.
    pub max_percent: Option<u8>,
}

/// The most that `moves` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoveCeiling {
    /// Which share, from 20 items up.
    pub max_percent: Option<u8>,
}

/// An amount in our own spelling. It goes through text, so that no number type is decided on the way.
fn amount<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// The policy in force: what wharf.yaml asks, within what the operator allows.
///
/// `None` when wharf.yaml is broken or asks for more; the commit is then not applied. Asking for more is an error at its
/// place and not silently less, because whoever wrote it relies on it. What wharf.yaml does not say is the operator's
/// value, except for secrets and service accounts: they are given to items one by one, so silence means none.
pub fn narrow(ceiling: &Ceiling, asked: &PolicyFile) -> (Option<Policy>, Vec<Diagnostic>) {
    let Some(policy) = asked.policy.clone() else { return (None, Vec::new()) };
    let mut narrowing = Narrowing { asked, policy, found: Vec::new() };
    narrowing.limits(&ceiling.limits);
    narrowing.images(&ceiling.images);
    narrowing.secrets(&ceiling.secrets);
    narrowing.service_accounts(&ceiling.service_accounts);
    narrowing.budgets(ceiling);
    let Narrowing { policy, found, .. } = narrowing;
    (found.is_empty().then_some(policy), found)
}

struct Narrowing<'a> {
    asked: &'a PolicyFile,
    policy: Policy,
    found: Vec<Diagnostic>,
}

impl Narrowing<'_> {
    fn error(&mut self, path: &str, message: String) {
        let help = "lower it, or ask the operator to raise `ceiling` in the configuration; until then the commit is not applied";
        self.found.push(self.asked.places.error(path, &TOO_MUCH, message, help));
    }

    /// The lower of two amounts; more than the ceiling is an error if the file says so itself.
    fn at_most<T: PartialOrd + Copy + Display>(&mut self, path: &str, asked: Option<T>, most: Option<T>) -> Option<T> {
        let (Some(value), Some(ceiling)) = (asked, most) else { return asked.or(most) };
        if value <= ceiling {
            return Some(value);
        }
        if self.asked.places.has(path) {
            self.error(path, format!("expected {path} to be at most {ceiling}, as the operator allows, found {value}"));
        }
        Some(ceiling)
    }

    fn limits(&mut self, ceiling: &CeilingLimits) {
        let (item, total) = (self.policy.limits, self.policy.total);
        let size = |limits: Limits| limits.file_size.map(Memory);
        self.policy.limits = Limits {
            processes: self.at_most("limits.processes", item.processes, ceiling.processes),
            cpu: self.at_most("limits.cpu", item.cpu, ceiling.cpu),
            memory: self.at_most("limits.memory", item.memory, ceiling.memory),
            file_size: self.at_most("limits.file_size", size(item), ceiling.file_size).map(|size| size.0),
            file_count: self.at_most("limits.file_count", item.file_count, ceiling.file_count),
        };
        let most = ceiling.total;
        self.policy.total = Limits {
            processes: self.at_most("limits.total.processes", total.processes, most.processes),
            cpu: self.at_most("limits.total.cpu", total.cpu, most.cpu),
            memory: self.at_most("limits.total.memory", total.memory, most.memory),
            ..total
        };
    }

    fn images(&mut self, ceiling: &ImageCeiling) {
        if ceiling.require_digest && !self.policy.require_digest && self.asked.places.has("images.require_digest") {
            let message = "expected images.require_digest to be true, as the operator requires, found false";
            self.error("images.require_digest", message.to_owned());
        }
        self.policy.require_digest |= ceiling.require_digest;
        if self.policy.images_allow.is_empty() {
            self.policy.images_allow.clone_from(&ceiling.allow);
        } else if !ceiling.allow.is_empty() {
            for (index, asked) in self.policy.images_allow.clone().iter().enumerate() {
                if !ceiling.allow.iter().any(|allowed| covers(allowed, asked)) {
                    let allowed = ceiling.allow.join(", ");
                    let path = format!("images.allow.{index}");
                    self.error(
                        &path,
                        format!("expected images within {allowed}, as the operator allows, found {}", quoted(asked)),
                    );
                }
            }
        }
    }

    fn secrets(&mut self, ceiling: &SecretCeiling) {
        for (index, asked) in self.policy.secrets_allow.clone().iter().enumerate() {
            let inside = |rule: &SecretRule| covers(&rule.items, &asked.items) && covers(&rule.names, &asked.names);
            if !ceiling.allow.iter().any(inside) {
                let message = format!(
                    "expected a rule within the operator's, found the secrets {} for the items {}",
                    quoted(&asked.names),
                    quoted(&asked.items)
                );
                self.error(&format!("secrets.allow.{index}"), message);
            }
        }
    }

    fn service_accounts(&mut self, ceiling: &[String]) {
        for (index, asked) in self.policy.service_accounts.clone().iter().enumerate() {
            if !ceiling.contains(asked) {
                let message = format!("expected a service account that the operator allows, found {}", quoted(asked));
                self.error(&format!("service_accounts.{index}"), message);
            }
        }
    }

    fn budgets(&mut self, ceiling: &Ceiling) {
        let (usual, asked) = (Budget::default(), self.policy.budget);
        let count = Some(ceiling.deletions.max_count.unwrap_or(usual.max_deletions));
        let percent = Some(ceiling.deletions.max_percent.unwrap_or(usual.max_deletions_percent));
        let moves = Some(ceiling.moves.max_percent.unwrap_or(usual.max_moves_percent));
        let budget = Budget {
            max_deletions: self.at_most("deletions.max_count", Some(asked.max_deletions), count).unwrap_or_default(),
            max_deletions_percent: self
                .at_most("deletions.max_percent", Some(asked.max_deletions_percent), percent)
                .unwrap_or_default(),
            max_moves_percent: self
                .at_most("moves.max_percent", Some(asked.max_moves_percent), moves)
                .unwrap_or_default(),
        };
        self.policy.budget = budget;
    }
}

/// Whether a glob of the operator covers one of the repository. A broken one covers nothing; `Admission` reports it.
fn covers(outer: &str, inner: &str) -> bool {
    Glob::new(outer).is_ok_and(|outer| outer.covers(inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::policy::read_policy;
    use crate::desired::yaml;

    fn ceiling(text: &str) -> Ceiling {
        yaml::from_str(text).unwrap()
    }

    fn narrowed(ceiling: &Ceiling, text: &str) -> (Option<Policy>, Vec<String>) {
        let file = read_policy("wharf.yaml", text.as_bytes());
        assert_eq!(file.diagnostics, [], "{text}");
        let (policy, found) = narrow(ceiling, &file);
        let place = |found: &Diagnostic| found.place.as_ref().unwrap().to_string();
        (policy, found.iter().map(|found| format!("{} {}", place(found), found.message)).collect())
    }

    const OPERATOR: &str = "
limits: {cpu: 2, memory: 4Gi, processes: 5, total: {processes: 50}}
images: {allow: [ghcr.io/example/**, registry.example/base:*], require_digest: false}
service_accounts: [reader]
secrets: {allow: [{items: 'reports/**', names: 'db-*'}]}
deletions: {max_count: 5, max_percent: 50}
";

    #[test]
    fn silence_is_the_operators_value_and_nothing_for_secrets() {
        let policy = narrow(&ceiling(OPERATOR), &PolicyFile::absent()).0.unwrap();
        assert_eq!(policy.limits.cpu, Some(Cpu(2000)));
        assert_eq!(policy.total.processes, Some(50));
        assert_eq!(policy.images_allow.len(), 2);
        assert!(policy.secrets_allow.is_empty() && policy.service_accounts.is_empty());
        assert_eq!((policy.budget.max_deletions, policy.budget.max_deletions_percent), (5, 20));
        assert_eq!(narrow(&Ceiling::default(), &PolicyFile::absent()), (Some(Policy::default()), Vec::new()));
    }

    #[test]
    fn less_is_taken() {
        let text = "limits: {cpu: 500m, memory: 1Gi, total: {processes: 10}}\nimages: {allow: ['ghcr.io/example/team/*'], require_digest: true}\nservice_accounts: [reader]\nsecrets: {allow: [{items: reports/daily, names: 'db-r*'}]}\ndeletions: {max_count: 1, max_percent: 40}\n";
        let (policy, found) = narrowed(&ceiling(OPERATOR), text);
        assert!(found.is_empty(), "{found:?}");
        let policy = policy.unwrap();
        assert_eq!((policy.limits.cpu, policy.limits.processes), (Some(Cpu(500)), Some(5)));
        assert_eq!((policy.budget.max_deletions, policy.budget.max_deletions_percent), (1, 40));
        assert_eq!(policy.images_allow, ["ghcr.io/example/team/*"]);
        assert!(policy.require_digest);
    }

    #[test]
    fn more_is_an_error_at_its_place() {
        let text = "limits:\n  cpu: 4\n  total: {processes: 51}\nimages:\n  allow:\n    - ghcr.io/**\nservice_accounts:\n  - admin\nsecrets:\n  allow:\n    - {items: '**', names: db-a}\nmoves: {max_percent: 30}\n";
        let (policy, found) = narrowed(&ceiling(OPERATOR), text);
        assert_eq!(policy, None);
        let places: Vec<_> = found.iter().map(|line| line.split(' ').next().unwrap()).collect();
        let expected = ["2:8", "3:22", "6:7", "11:7", "8:5", "12:22"].map(|place| format!("wharf.yaml:{place}"));
        assert_eq!(places, expected, "{found:#?}");
        let (policy, found) = narrowed(&ceiling("images: {require_digest: true}"), "images: {require_digest: false}\n");
        assert_eq!((policy, found.len()), (None, 1));
    }

    #[test]
    fn the_configuration_is_read_strictly() {
        assert_eq!(ceiling("{}"), Ceiling::default());
        assert!(yaml::from_str::<Ceiling>("limits: {cpus: 2}").is_err());
        assert!(yaml::from_str::<Ceiling>("limits: {cpu: lots}").is_err());
        assert!(yaml::from_str::<Ceiling>("secrets: {allow: [{items: a}]}").is_err());
    }
}
