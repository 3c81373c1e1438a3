//! Which environments are admitted: images, digests and volume mounts against policy and ceiling, globs compiled once.

use super::{Ceiling, VolumeRule};
use crate::desired::environments::{Entry, Environments, FORBIDDEN_IMAGE, FORBIDDEN_MOUNT, WITHOUT_DIGEST};
use crate::desired::glob::{Glob, GlobError};
use crate::model::{Diagnostic, ImageRef, MountSource, Policy, VolumeMount};

/// A ceiling that makes no sense. The operator's configuration is at fault, so nothing starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CeilingError {
    /// A glob cannot be read.
    #[error("expected a glob in ceiling.{setting}, found {found:?}; correct it in the configuration")]
    Glob {
        /// The setting it stands in.
        setting: &'static str,
        /// The glob.
        found: String,
        /// What is wrong with it.
        source: GlobError,
    },
    /// A volume rule that says nothing, or two things.
    #[error(
        "expected each rule of ceiling.volumes.allow to have either pvc_name, or nfs_host and nfs_export_path, found {found}; \
         correct it in the configuration"
    )]
    Volume {
        /// What it has.
        found: &'static str,
    },
}

/// A volume rule, compiled.
#[derive(Debug)]
struct VolumeMatcher {
    source: SourceMatcher,
    writable: bool,
}

#[derive(Debug)]
enum SourceMatcher {
    Pvc(Glob),
    Nfs { host: Glob, path: Glob },
}

/// The rules for environments.
#[derive(Debug)]
pub struct Admission {
    /// `None` allows all.
    images: Option<Vec<Glob>>,
    allowed: String,
    require_digest: bool,
    volumes: Vec<VolumeMatcher>,
}

impl Admission {
    /// The rules of a policy that was narrowed by this ceiling.
    pub fn of(policy: &Policy, ceiling: &Ceiling) -> Result<Self, CeilingError> {
        // The globs of secrets are used through the policy; a broken one should not wait for that.
        for rule in &ceiling.secrets.allow {
            glob("secrets.allow", &rule.items)?;
            glob("secrets.allow", &rule.names)?;
        }
        let images = policy.images_allow.iter().chain(&ceiling.images.allow);
        images.map(|image| glob("images.allow", image)).collect::<Result<Vec<_>, _>>()?;
        let allow = policy.images_allow.iter().map(|image| glob("images.allow", image));
        let allow = allow.collect::<Result<Vec<_>, _>>()?;
        let volumes = ceiling.volumes.allow.iter().map(VolumeMatcher::of).collect::<Result<_, _>>()?;
        Ok(Self {
            images: (!allow.is_empty()).then_some(allow),
            allowed: policy.images_allow.join(", "),
            require_digest: policy.require_digest || ceiling.images.require_digest,
            volumes,
        })
    }

    /// Leaves out the environments that may not be. Their records keep their last good state, as with every error.
    pub fn admit(&self, environments: &mut Environments) {
        let refused: Vec<(ImageRef, Diagnostic)> = environments
            .entries
            .iter()
            .flat_map(|(name, entry)| self.refusals(entry).into_iter().map(|problem| (name.clone(), problem)))
            .collect();
        for (name, problem) in refused {
            environments.leave_out(&name, problem);
        }
    }

    fn refusals(&self, entry: &Entry) -> Vec<Diagnostic> {
        let environment = &entry.environment;
        let name = environment.name.as_str();
        let mut found = Vec::new();
        // The part after @ pins an image, and is no part of its name.
        let plain = name.split('@').next().unwrap_or(name);
        if self
            .images
            .as_ref()
            .is_some_and(|allow| !allow.iter().any(|glob| glob.is_match(plain) || glob.is_match(name)))
        {
            let message = format!("expected an image within {}, found {name}", self.allowed);
            found.push(entry.error(
                &FORBIDDEN_IMAGE,
                message,
                "use another image, or widen images.allow in wharf.yaml",
            ));
        }
        if self.require_digest && environment.digest.is_none() && !name.contains('@') {
            let message = format!("expected a digest, since images.require_digest is set, found none for {name}");
            let help = "add `digest: sha256:...`; `docker buildx imagetools inspect IMAGE` shows it";
            found.push(entry.error(&WITHOUT_DIGEST, message, help));
        }
        for mount in environment.volume_mounts.iter().filter(|mount| !self.allows(mount)) {
            let message = format!("expected a volume that the operator allows, found {}", describe(mount));
            let help = "remove the mount, or ask the operator to add it to `ceiling.volumes.allow`";
            found.push(entry.error(&FORBIDDEN_MOUNT, message, help));
        }
        found
    }

    fn allows(&self, mount: &VolumeMount) -> bool {
        self.volumes.iter().any(|rule| {
            (rule.writable || mount.read_only)
                && match (&rule.source, &mount.source) {
                    (SourceMatcher::Pvc(name), MountSource::Pvc { pvc_name }) => name.is_match(pvc_name),
                    (SourceMatcher::Nfs { host, path }, MountSource::Nfs { nfs_host, nfs_export_path }) => {
                        host.is_match(nfs_host) && path.is_match(nfs_export_path)
                    }
                    _ => false,
                }
        })
    }
}

impl VolumeMatcher {
    fn of(rule: &VolumeRule) -> Result<Self, CeilingError> {
        let compiled = |text: &String| glob("volumes.allow", text);
        let source = match (&rule.pvc_name, &rule.nfs_host, &rule.nfs_export_path) {
            (Some(name), None, None) => SourceMatcher::Pvc(compiled(name)?),
            (None, Some(host), Some(path)) => SourceMatcher::Nfs { host: compiled(host)?, path: compiled(path)? },
            (None, None, None) => return Err(CeilingError::Volume { found: "neither" }),
            (Some(_), _, _) => return Err(CeilingError::Volume { found: "both" }),
            (None, _, _) => return Err(CeilingError::Volume { found: "half of the second" }),
        };
        Ok(Self { source, writable: rule.writable })
    }
}

fn glob(setting: &'static str, found: &str) -> Result<Glob, CeilingError> {
    Glob::new(found).map_err(|source| CeilingError::Glob { setting, found: found.to_owned(), source })
}

fn describe(mount: &VolumeMount) -> String {
    let how = if mount.read_only { "read-only" } else { "writable" };
    match &mount.source {
        MountSource::Pvc { pvc_name } => format!("the claim {pvc_name}, {how}"),
        MountSource::Nfs { nfs_host, nfs_export_path } => format!("the NFS export {nfs_host}:{nfs_export_path}, {how}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::environments::{join, read_environment_file};
    use crate::desired::yaml;

    const FILE: &str = "
- name: ghcr.io/example/plain:1
  r: {installations: [{version: 4.4.1, path: /opt/R/bin/R}]}
- name: ghcr.io/example/mounts:1
  r: {installations: [{version: 4.4.1, path: /opt/R/bin/R}]}
  volume_mounts:
    - {source: {volume_type: pvc, pvc_name: models-a}, target: {path: /mnt/models, read_only: true}}
    - {source: {volume_type: nfs, nfs_host: nfs.example, nfs_export_path: /exports/data/a}, target: {path: /mnt/data}}
";

    fn admitted(ceiling: &str, policy: &Policy) -> (Vec<String>, Vec<String>) {
        let ceiling: Ceiling = yaml::from_str(ceiling).unwrap();
        let mut all = join([&read_environment_file("a.yaml", FILE.as_bytes())]);
        Admission::of(policy, &ceiling).unwrap().admit(&mut all);
        let codes = all.diagnostics.iter().map(|found| format!("{} {}", found.place.as_ref().unwrap(), found.code));
        assert_eq!(all.entries.len() + all.broken.len(), 2, "what is refused is named, and its record stays");
        (all.entries.keys().map(ToString::to_string).collect(), codes.collect())
    }

    #[test]
    fn volumes_are_refused_unless_the_operator_allows_them() {
        let policy = Policy::default();
        let (kept, found) = admitted("{}", &policy);
        assert_eq!(kept, ["ghcr.io/example/plain:1"]);
        assert_eq!(found, ["a.yaml:4:9 E0134", "a.yaml:4:9 E0134"]);
        let nfs = "{nfs_host: nfs.example, nfs_export_path: '/exports/**'";
        let (_, found) = admitted(&format!("volumes: {{allow: [{{pvc_name: 'models-*'}}, {nfs}}}]}}"), &policy);
        assert_eq!(found.len(), 1, "a rule allows reading, unless it says writable");
        let (kept, _) =
            admitted(&format!("volumes: {{allow: [{{pvc_name: 'models-*'}}, {nfs}, writable: true}}]}}"), &policy);
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn images_and_digests_are_checked() {
        let allow = "volumes: {allow: [{pvc_name: '*'}, {nfs_host: '*', nfs_export_path: '**', writable: true}]}";
        let policy = Policy { images_allow: vec!["ghcr.io/example/p*".to_owned()], ..Policy::default() };
        assert_eq!(admitted(allow, &policy).1, ["a.yaml:4:9 E0135"]);
        let policy = Policy { require_digest: true, ..Policy::default() };
        assert_eq!(admitted(allow, &policy).1, ["a.yaml:4:9 E0136", "a.yaml:2:9 E0136"]);
    }

    #[test]
    fn a_ceiling_that_makes_no_sense_is_an_error() {
        let of = |text: &str| Admission::of(&Policy::default(), &yaml::from_str::<Ceiling>(text).unwrap()).unwrap_err();
        assert!(matches!(of("images: {allow: ['[a']}"), CeilingError::Glob { setting: "images.allow", .. }));
        assert!(matches!(of("secrets: {allow: [{items: '{', names: a}]}"), CeilingError::Glob { .. }));
        for rule in ["{}", "{pvc_name: a, nfs_host: b}", "{nfs_host: b}"] {
            assert!(matches!(of(&format!("volumes: {{allow: [{rule}]}}")), CeilingError::Volume { .. }), "{rule}");
        }
    }
}
