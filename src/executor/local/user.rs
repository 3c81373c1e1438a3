//! Whom content becomes: whether a user can reach what it needs, judged by permissions alone. Becoming it is the session's work.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::config::{DEFAULT_USER, LocalConfig, UserMode};
use crate::executor::ExecutorError;
use crate::model::Installation;
use crate::session::protocol::ContentUser;

/// The permission to pass through a directory or to start a program.
const EXECUTE: u32 = 0o1;

/// Whom content becomes, and what the operator should know about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// `None`: the same user as this program.
    pub user: Option<ContentUser>,
    /// In words.
    pub warnings: Vec<String>,
}

/// Decides whom content becomes. `own` is the user of this program.
pub(super) fn decide(
    config: &LocalConfig,
    own: u32,
    interpreters: &[&Installation],
) -> Result<Decision, ExecutorError> {
    match config.user {
        UserMode::Same => Ok(Decision::default()),
        UserMode::Auto if own != 0 => Ok(Decision::default()),
        UserMode::Number(wanted) if wanted == own => Ok(Decision::default()),
        UserMode::Number(wanted) if own != 0 => Err(ExecutorError::Start {
            program: format!("content as user {wanted}"),
            problem: format!(
                "only root can start programs as somebody else, and this is user {own}; leave local.user out, or run wharf as root"
            ),
        }),
        UserMode::Number(wanted) => match obstacle(&config.data_dir, wanted) {
            None => Ok(Decision { user: Some(numbered(wanted)), warnings: Vec::new() }),
            Some(directory) => Err(ExecutorError::Volume {
                place: config.data_dir.display().to_string(),
                problem: format!(
                    "cannot be reached by user {wanted}, whom content is to become (local.user): {directory} is closed to it; open it with chmod o+x {directory}, or choose another --data-dir",
                    directory = directory.display()
                ),
            }),
        },
        UserMode::Auto => Ok(decide_for_root(config, interpreters)),
    }
}

fn decide_for_root(config: &LocalConfig, interpreters: &[&Installation]) -> Decision {
    let stay = |why: String| Decision {
        user: None,
        warnings: vec![format!(
            "content runs as root: {why}. With this mended, or local.user set, content becomes user {DEFAULT_USER}"
        )],
    };
    if let Some(directory) = obstacle(&config.data_dir, DEFAULT_USER) {
        return stay(format!(
            "user {DEFAULT_USER} cannot reach the data directory {}, because {directory} is closed to it (chmod o+x {directory}, or choose another --data-dir)",
            config.data_dir.display(),
            directory = directory.display()
        ));
    }
    let obstacles: Vec<Option<PathBuf>> =
        interpreters.iter().map(|one| obstacle(Path::new(&one.path), DEFAULT_USER)).collect();
    if let Some(Some(directory)) = obstacles.first().filter(|_| obstacles.iter().all(Option::is_some)) {
        return stay(format!(
            "user {DEFAULT_USER} can start no interpreter of this host, for one because {directory} is closed to it (install one that everybody can start, for instance below /opt)",
            directory = directory.display()
        ));
    }
    Decision { user: Some(numbered(DEFAULT_USER)), warnings: Vec::new() }
}

const fn numbered(number: u32) -> ContentUser {
    ContentUser { uid: number, gid: number }
}

/// The first directory or file on the way to a path that a user without groups cannot pass; links are followed. What is
/// not there yet will be made reachable.
pub(super) fn obstacle(path: &Path, user: u32) -> Option<PathBuf> {
    let resolved = path.canonicalize().ok();
    let ways = [Some(path), resolved.as_deref()];
    ways.into_iter().flatten().find_map(|way| {
        let mut places: Vec<&Path> = way.ancestors().collect();
        places.reverse();
        let closed = places.into_iter().find(|place| fs::metadata(place).is_ok_and(|about| !may_pass(&about, user)));
        closed.map(Path::to_owned)
    })
}

fn may_pass(about: &fs::Metadata, user: u32) -> bool {
    let mode = about.mode();
    let bits = match () {
        () if user == 0 => return true,
        () if about.uid() == user => mode >> 6,
        () if about.gid() == user => mode >> 3,
        () => mode,
    };
    bits & EXECUTE != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(data_dir: &Path, user: UserMode) -> LocalConfig {
        LocalConfig { user, ..LocalConfig::new(data_dir.to_owned(), "/nowhere".into(), "test".parse().unwrap()) }
    }

    fn interpreter(path: &Path) -> Installation {
        Installation { version: "3.12.1".parse().unwrap(), path: path.display().to_string() }
    }

    /// A directory everybody passes with a program in it, and one that only its owner does.
    fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (open, closed) = (root.path().join("open"), root.path().join("closed"));
        for (directory, mode) in [(&open, 0o755), (&closed, 0o700)] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("python3"), "").unwrap();
            fs::set_permissions(directory.join("python3"), fs::Permissions::from_mode(0o755)).unwrap();
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
        }
        (root, open, closed)
    }

    #[test]
    fn root_drops_where_that_works_and_says_why_not_elsewhere() {
        let (root, open, closed) = places();
        let (good, bad) = (interpreter(&open.join("python3")), interpreter(&closed.join("python3")));
        let decided = |data_dir: &Path, interpreters: &[&Installation]| {
            decide(&config(data_dir, UserMode::Auto), 0, interpreters).unwrap()
        };
        assert_eq!(decided(&open, &[&bad, &good]).user, Some(numbered(DEFAULT_USER)));
        assert_eq!(decided(&open, &[]).user, Some(numbered(DEFAULT_USER)));
        let warnings = [decided(&closed, &[&good]), decided(&open, &[&bad])].map(|decision| {
            assert_eq!(decision.user, None);
            decision.warnings.join("\n").replace(&root.path().display().to_string(), "ROOT")
        });
        insta::assert_snapshot!(warnings.join("\n"));
    }

    #[test]
    fn a_number_is_kept_or_refused() {
        let (root, open, closed) = places();
        let decided = |data_dir: &Path, user, own| decide(&config(data_dir, user), own, &[]);
        assert_eq!(decided(&open, UserMode::Number(4000), 0).unwrap().user, Some(numbered(4000)));
        assert_eq!(decided(&closed, UserMode::Same, 0).unwrap(), Decision::default());
        assert_eq!(decided(&closed, UserMode::Auto, 1000).unwrap(), Decision::default());
        assert_eq!(decided(&closed, UserMode::Number(1000), 1000).unwrap(), Decision::default());
        let said = [decided(&closed, UserMode::Number(4000), 0), decided(&open, UserMode::Number(4000), 1000)]
            .map(|refused| refused.unwrap_err().to_string().replace(&root.path().display().to_string(), "ROOT"));
        insta::assert_snapshot!(said.join("\n"));
    }
}
