//! Secrets as files: `--secrets-dir` holds `NAME/KEY`, as a mounted Kubernetes Secret does. Values are only passed on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::executor::ExecutorError;

/// A secret is no larger, as in Kubernetes.
const MAX_BYTES: u64 = 1 << 20;

/// Which value a variable gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SecretReference {
    /// The secret: a directory.
    pub secret: String,
    /// The key: a file in it.
    pub key: String,
}

impl SecretReference {
    fn error(&self, problem: String) -> ExecutorError {
        ExecutorError::Secret { secret: self.secret.clone(), key: self.key.clone(), problem }
    }
}

/// Reads all values a job gets, as the JSON object its session takes on standard input; `None` if it gets none.
pub(super) fn read_all(
    directory: Option<&Path>,
    references: &BTreeMap<String, SecretReference>,
) -> Result<Option<SecretString>, ExecutorError> {
    if references.is_empty() {
        return Ok(None);
    }
    let mut values = BTreeMap::new();
    for (variable, reference) in references {
        values.insert(variable.as_str(), read(directory, reference)?);
    }
    let exposed: BTreeMap<&str, &str> = values.iter().map(|(name, value)| (*name, value.expose_secret())).collect();
    let text = serde_json::to_string(&exposed).unwrap_or_default();
    Ok(Some(SecretString::from(text)))
}

fn read(directory: Option<&Path>, reference: &SecretReference) -> Result<SecretString, ExecutorError> {
    let Some(directory) = directory else {
        return Err(reference
            .error("no secrets are kept here; name a directory of NAME/KEY files with --secrets-dir".to_owned()));
    };
    for part in [&reference.secret, &reference.key] {
        if part.is_empty() || part.starts_with("..") || part == "." || part.contains(['/', '\0']) {
            return Err(reference.error(format!("{part:?} cannot be the name of a file; take out '/' and '..'")));
        }
    }
    let path = directory.join(&reference.secret).join(&reference.key);
    let unreadable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => {
            reference.error(format!("expected the file {}, found none; create it", path.display()))
        }
        _ => reference.error(format!("reading {}: {cause}", path.display())),
    };
    let resolved = inside(directory, &path).map_err(unreadable)?;
    let Some(resolved) = resolved else {
        return Err(
            reference.error(format!("{} is a link to somewhere outside of the secrets directory", path.display()))
        );
    };
    let mut text = String::new();
    let file = fs::File::open(resolved).map_err(unreadable)?;
    match file.take(MAX_BYTES + 1).read_to_string(&mut text) {
        Ok(count) if count as u64 > MAX_BYTES => Err(reference.error("it is larger than 1 MiB".to_owned())),
        Ok(_) => Ok(SecretString::from(text)),
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData => Err(reference
            .error("it is not UTF-8 text, and variables are text; encode it, as base64 for instance".to_owned())),
        Err(cause) => Err(unreadable(cause)),
    }
}

/// The file behind its links (`KEY -> ..data/KEY -> ..2026_11_21/KEY`); `None` if they lead out of the directory.
fn inside(directory: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let directory = directory.canonicalize()?;
    let path = path.canonicalize()?;
    Ok(path.starts_with(&directory).then_some(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn reference(secret: &str, key: &str) -> SecretReference {
        SecretReference { secret: secret.to_owned(), key: key.to_owned() }
    }

    /// A directory as a cluster mounts it, with one link that leads out.
    fn mounted() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("database/..2026_11_21")).unwrap();
        fs::write(root.join("database/..2026_11_21/password"), "open sesame").unwrap();
        symlink("..2026_11_21", root.join("database/..data")).unwrap();
        symlink("..data/password", root.join("database/password")).unwrap();
        symlink("/etc/hostname", root.join("database/escape")).unwrap();
        fs::write(root.join("database/binary"), [0xff, 0xfe]).unwrap();
        directory
    }

    #[test]
    fn links_inside_are_followed() {
        let directory = mounted();
        let value = read(Some(directory.path()), &reference("database", "password")).unwrap();
        assert_eq!(value.expose_secret(), "open sesame");
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        let directory = mounted();
        let said = |secret: &str, key: &str| {
            let error = read(Some(directory.path()), &reference(secret, key)).unwrap_err().to_string();
            error.replace(&directory.path().display().to_string(), "DIR")
        };
        insta::assert_snapshot!(
            [
                said("database", "missing"),
                said("database", "escape"),
                said("database", "../other"),
                said("..data", "x"),
                said("database", "binary"),
                read(None, &reference("a", "b")).unwrap_err().to_string(),
            ]
            .join("\n")
        );
    }
}
