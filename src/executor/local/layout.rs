//! Where everything lies below the data directory (objects.md, "Two directories"), and which names may be part of a path. No file is touched.

use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::executor::ExecutorError;
use crate::model::{ImageRef, Slug};
use crate::plan::{BundleId, JobName, PackageKey, Revision, Slot, Uid};

/// What a session prints about itself before it has a log; held locked for as long as the session lives.
pub(super) const SESSION_LOG: &str = "session.log";
/// What the executor knows of a job.
pub(super) const INTENT_FILE: &str = "intent.json";
/// There from before the executor asked a job's session to end: whoever else may do so, this is how it is told apart.
pub(super) const STOP_FILE: &str = "stop";
/// The link to the result that is shown.
pub(super) const CURRENT_LINK: &str = "current";

/// The paths below one data directory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Says whose data directory this is.
    pub fn marker(&self) -> PathBuf {
        self.root.join(".wharf.json")
    }

    pub fn apps(&self) -> PathBuf {
        self.root.join("apps")
    }

    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// Directories of jobs that were stopped, kept an hour for their logs.
    pub fn stopped(&self) -> PathBuf {
        self.root.join("jobs/.stopped")
    }

    pub fn environments(&self) -> PathBuf {
        self.root.join("python")
    }

    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    pub fn services(&self) -> PathBuf {
        self.root.join("services")
    }

    /// Downloads, shared by the builds of one image.
    pub fn cache(&self, language: &str, image: &ImageRef) -> PathBuf {
        let name: String = image.as_str().chars().map(|c| if matches!(c, '/' | ':' | '@') { '_' } else { c }).collect();
        self.root.join("cache").join(language).join(name.trim_start_matches('.'))
    }

    pub fn bundle(&self, slug: &Slug, id: &BundleId) -> PathBuf {
        self.apps().join(slug.as_str()).join(id.as_str())
    }

    pub fn job(&self, name: &JobName) -> PathBuf {
        self.jobs().join(name.as_str())
    }

    pub fn stopped_job(&self, uid: &Uid) -> PathBuf {
        self.stopped().join(&uid.0)
    }

    pub fn environment(&self, key: &PackageKey) -> PathBuf {
        self.environments().join(key.as_str())
    }

    pub fn results_of(&self, slug: &Slug) -> PathBuf {
        self.results().join(slug.as_str())
    }

    pub fn result(&self, slug: &Slug, revision: &Revision, slot: Slot) -> PathBuf {
        self.results_of(slug).join(result_name(revision, slot))
    }

    pub fn service(&self, slug: &Slug) -> PathBuf {
        self.services().join(format!("{slug}.json"))
    }

    /// The directories that must be there, and their modes: content that is another user reads package environments,
    /// writes into the cache and passes through to its job; everything else reaches it through its session.
    pub fn directories(&self) -> [(PathBuf, u32); 7] {
        [
            (self.apps(), 0o700),
            (self.jobs(), 0o711),
            (self.stopped(), 0o700),
            (self.environments(), 0o755),
            (self.root.join("cache"), 0o755),
            (self.results(), 0o700),
            (self.services(), 0o700),
        ]
    }
}

/// The directory of one result: `<revision>-<slot>`.
pub(super) fn result_name(revision: &Revision, slot: Slot) -> String {
    format!("{revision}-{slot}")
}

/// Reads [`result_name`] back; `None` for what is no result.
pub(super) fn parse_result_name(name: &str) -> Option<(Revision, Slot)> {
    let (revision, slot) = name.split_once('-')?;
    Some((revision.parse().ok()?, parse_slot(slot)?))
}

fn parse_slot(text: &str) -> Option<Slot> {
    if text == "first" {
        return Some(Slot::Once);
    }
    if let Ok(number) = text.parse() {
        return Some(Slot::Ordinal(number));
    }
    let time = DateTime::strptime("%Y%m%dt%H%M%Sz", text).ok()?;
    Some(Slot::Due(time.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

/// The job that holds an item's port. No other job's name begins like this.
pub(super) fn forwarder_name(slug: &Slug) -> JobName {
    JobName::from(format!("forward-{slug}"))
}

/// Refuses a name that would be more than one part of a path. Names are made by us from hashes and sanitised words; this
/// is the second lock on the same door.
pub(super) fn check_component(name: &str) -> Result<(), ExecutorError> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if letters && !name.is_empty() && name.len() <= 200 {
        return Ok(());
    }
    Err(ExecutorError::Storage {
        doing: "using",
        place: format!("{name:?}"),
        problem: "expected a name of letters, digits and - to make a directory of; it was not made by this program"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn results_read_back_by_their_names() {
        let revision = Revision::of(&Digest::of("x"));
        for slot in [Slot::Once, Slot::Ordinal(3), Slot::Due("2026-11-21T06:30:00Z".parse().unwrap())] {
            assert_eq!(parse_result_name(&result_name(&revision, slot)), Some((revision.clone(), slot)));
        }
        for other in ["current", "0123456789", "0123456789-", "xyz-first", "0123456789-first.tmp"] {
            assert_eq!(parse_result_name(other), None, "{other}");
        }
    }

    #[test]
    fn names_stay_one_part_of_a_path() {
        assert!(check_component("run-hello-0a1b2c3d-0123456789-0-0").is_ok());
        for bad in ["", "..", "a/b", ".stopped", "a.tmp", "a\0", &"x".repeat(201)] {
            assert!(check_component(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_image_is_one_directory_of_the_cache() {
        let layout = Layout::new(Path::new("/data"));
        let image = "ghcr.io/example/image:r4.4".parse().unwrap();
        assert_eq!(layout.cache("python", &image), Path::new("/data/cache/python/ghcr.io_example_image_r4.4"));
    }
}
