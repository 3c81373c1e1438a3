//! Takes old things away, never one in use, and reads what is there: bundles, results, package environments, logs. What is old is the plan's decision.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::Inner;
use super::files::{blocking, is_leftover, names_in, remove_tree, storage};
use super::layout::{Layout, check_component, parse_result_name};
use crate::executor::{ExecutorError, Garbage, LogPiece, LogRequest};
use crate::model::Slug;
use crate::plan::{BundleId, ExecutorView, ObservedJob, PackageKey, Revision, Slot, Target};
use crate::session::{LOG_FILE, OLD_LOG_FILE, is_complete};

/// A piece of a log is no larger, whatever is asked for.
const MAX_PIECE: u64 = 1 << 20;

impl Inner {
    /// Takes something away, unless it is in use after all.
    pub(super) async fn collect(self: &Arc<Self>, garbage: &Garbage) -> Result<(), ExecutorError> {
        if let Some(user) = self.user_of(garbage) {
            tracing::warn!(?garbage, %user, "is in use after all, and stays");
            return Ok(());
        }
        let path = match garbage {
            Garbage::Job(name) => {
                check_component(name.as_str())?;
                let _guard = self.locks.of(name.as_str()).await;
                let intent = self.world().job(name).map(|known| Arc::clone(&known.intent));
                if let Some(intent) = intent {
                    // It told its end; the process may still be about to go.
                    self.end_session(&intent).await?;
                }
                return self.forget(name).await;
            }
            Garbage::Bundle(slug, id) => self.layout.bundle(slug, id),
            Garbage::Result(slug, revision, slot) => self.layout.result(slug, revision, *slot),
            Garbage::PackageEnvironment(key) => self.layout.environment(key),
        };
        let item = if let Garbage::Bundle(slug, _) | Garbage::Result(slug, _, _) = garbage { Some(slug) } else { None };
        item.map_or(Ok(()), |slug| check_component(slug.as_str()))?;
        let is_items = item.is_some();
        self.hide(garbage);
        self.tell();
        blocking(move || {
            remove_tree(&path)?;
            // The last one takes the item's directory along; a directory that is not empty stays.
            if let Some(parent) = path.parent().filter(|_| is_items) {
                let _ = fs::remove_dir(parent);
            }
            Ok(())
        })
        .await
    }

    /// The job or service that uses it.
    fn user_of(&self, garbage: &Garbage) -> Option<String> {
        let world = self.world();
        let job = world.jobs().find(|known| {
            let intent = &known.intent;
            known.is_live()
                && match garbage {
                    Garbage::Job(name) => intent.name == *name,
                    Garbage::Bundle(slug, id) => intent.uses_bundle(slug, id),
                    Garbage::Result(..) => false,
                    Garbage::PackageEnvironment(key) => intent.package() == Some(key),
                }
        });
        let service = world.services.values().find(|service| match (garbage, service.target()) {
            (Garbage::Bundle(slug, id), Some(Target::Bundle { id: shown, .. })) => service.slug == *slug && shown == id,
            (Garbage::Result(slug, revision, slot), Some(Target::Result { revision: shown, slot: shown_slot })) => {
                service.slug == *slug && shown == revision && shown_slot == slot
            }
            _ => false,
        });
        job.map(|known| known.intent.name.to_string()).or_else(|| service.map(|service| service.slug.to_string()))
    }

    fn hide(&self, garbage: &Garbage) {
        let mut world = self.world();
        match garbage {
            Garbage::Job(_) => {}
            Garbage::Bundle(slug, id) => world.change_item(slug, |item| item.bundles.retain(|bundle| bundle != id)),
            Garbage::Result(slug, revision, slot) => {
                world.change_item(slug, |item| item.results.retain(|result| *result != (revision.clone(), *slot)));
            }
            Garbage::PackageEnvironment(key) => world.change_view(|view| {
                view.package_environments.remove(key);
            }),
        }
    }

    /// Looks again which bundles an item has.
    pub(super) async fn refresh_bundles(&self, slug: &Slug) -> Result<(), ExecutorError> {
        let (layout, of) = (self.layout.clone(), slug.clone());
        let bundles = blocking(move || bundles(&layout, of.as_str())).await?;
        self.world().change_item(slug, |item| item.bundles = bundles);
        self.tell();
        Ok(())
    }

    /// Looks again which results an item has.
    pub(super) async fn refresh_results(&self, slug: &Slug) {
        let (layout, of) = (self.layout.clone(), slug.clone());
        match blocking(move || results(&layout, of.as_str())).await {
            Ok(results) => self.world().change_item(slug, |item| item.results = results),
            Err(error) => tracing::warn!(%slug, %error, "cannot look for results"),
        }
    }

    /// Looks again whether a package environment is whole.
    pub(super) async fn refresh_environment(&self, key: Option<&PackageKey>) {
        let Some(key) = key else { return };
        let path = self.layout.environment(key);
        if blocking(move || Ok(is_complete(&path))).await.unwrap_or(false) {
            self.world().change_view(|view| {
                view.package_environments.insert(key.clone());
            });
        }
    }

    /// A piece of a job's log.
    pub(super) async fn log(&self, job: &ObservedJob, request: LogRequest) -> Result<LogPiece, ExecutorError> {
        check_component(job.name.as_str())?;
        check_component(&job.uid.0)?;
        let (directory, ended) = {
            let world = self.world();
            match world.job(&job.name).filter(|known| known.intent.uid == job.uid) {
                Some(known) => (self.layout.job(&job.name), known.is_over()),
                None => (self.layout.stopped_job(&job.uid), true),
            }
        };
        blocking(move || read_log(&directory, request, ended).map_err(|cause| storage("reading", &directory, &cause)))
            .await
    }
}

/// Everything that is whole in the data directory, jobs and services apart.
pub(super) fn inventory(layout: &Layout) -> Result<ExecutorView, ExecutorError> {
    let mut view = ExecutorView::default();
    let slugs = |directory: &Path| -> Result<Vec<(String, Slug)>, ExecutorError> {
        let names = names_in(directory)?.into_iter().filter(|name| !is_leftover(name));
        Ok(names.filter_map(|name| Some((name.clone(), slug(&name)?))).collect())
    };
    for (name, slug) in slugs(&layout.apps())? {
        let bundles = bundles(layout, &name)?;
        if !bundles.is_empty() {
            view.items.entry(slug).or_default().bundles = bundles;
        }
    }
    for (name, slug) in slugs(&layout.results())? {
        let results = results(layout, &name)?;
        if !results.is_empty() {
            view.items.entry(slug).or_default().results = results;
        }
    }
    for name in names_in(&layout.environments())? {
        let key = name.parse::<PackageKey>().ok();
        view.package_environments.extend(key.filter(|key| is_complete(&layout.environment(key))));
    }
    Ok(view)
}

/// A slug read back from a directory's name: it is stored as it is.
pub(super) fn slug(name: &str) -> Option<Slug> {
    check_component(name).ok()?;
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

fn bundles(layout: &Layout, slug: &str) -> Result<Vec<BundleId>, ExecutorError> {
    by_age(&layout.apps().join(slug), |name| name.parse().ok())
}

fn results(layout: &Layout, slug: &str) -> Result<Vec<(Revision, Slot)>, ExecutorError> {
    by_age(&layout.results().join(slug), parse_result_name)
}

/// What a directory holds, the oldest first.
fn by_age<T>(directory: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ExecutorError> {
    let names = names_in(directory)?.into_iter().filter_map(|name| Some((parse(&name)?, name)));
    let age = |name: &str| {
        fs::metadata(directory.join(name)).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut found: Vec<(SystemTime, String, T)> = names.map(|(thing, name)| (age(&name), name, thing)).collect();
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    Ok(found.into_iter().map(|(_, _, thing)| thing).collect())
}

/// Reads on from an offset that counts through the former part of the log into the present one. When the former part is
/// dropped, offsets beyond what is there begin again with the present part.
fn read_log(directory: &Path, request: LogRequest, ended: bool) -> io::Result<LogPiece> {
    let [mut former, mut present] = [open(&directory.join(OLD_LOG_FILE))?, open(&directory.join(LOG_FILE))?];
    let length = |file: &Option<File>| file.as_ref().map_or(Ok(0), |file| file.metadata().map(|about| about.len()));
    let (first, second) = (length(&former)?, length(&present)?);
    let offset = if request.offset > first + second { first } else { request.offset };
    let mut bytes = Vec::new();
    let mut left = request.limit.min(MAX_PIECE);
    for (file, start) in [(&mut former, 0), (&mut present, first)] {
        let Some(file) = file else { continue };
        let position = offset.saturating_sub(start);
        file.seek(SeekFrom::Start(position))?;
        // What is appended while this runs comes with the next piece.
        let there = if start == 0 && first > 0 { first } else { second };
        let count = file.take(left.min(there.saturating_sub(position))).read_to_end(&mut bytes)?;
        left -= count as u64;
    }
    let whole = whole_characters(&bytes, first + second <= offset + bytes.len() as u64 && ended);
    let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned();
    let next_offset = offset + whole as u64;
    Ok(LogPiece { text, next_offset, ended: ended && next_offset >= first + second })
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Where the last whole character ends: a piece may end within one, and the rest of it comes next. A piece that is only
/// a broken character, or the log's end, is given as it is.
fn whole_characters(bytes: &[u8], last: bool) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 && !last => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_through_its_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let piece = |offset, limit| {
            let piece = read_log(directory.path(), LogRequest { offset, limit }, true).unwrap();
            (piece.text, piece.next_offset, piece.ended)
        };
        assert_eq!(piece(0, 100), (String::new(), 0, true));
        fs::write(directory.path().join("log"), "one\ntwo\n").unwrap();
        assert_eq!(piece(0, 5), ("one\nt".to_owned(), 5, false));
        fs::rename(directory.path().join("log"), directory.path().join("log.1")).unwrap();
        fs::write(directory.path().join("log"), "three\n").unwrap();
        assert_eq!(piece(5, 6), ("wo\nthr".to_owned(), 11, false));
        assert_eq!(piece(11, 100), ("ee\n".to_owned(), 14, true));
        assert_eq!(piece(400, 100), ("three\n".to_owned(), 14, true));
    }

    #[test]
    fn characters_are_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("log"), "aü").unwrap();
        let piece = |offset, limit| read_log(directory.path(), LogRequest { offset, limit }, false).unwrap();
        assert_eq!((piece(0, 2).text.as_str(), piece(0, 2).next_offset), ("a", 1));
        assert_eq!(piece(1, 10).text, "ü");
        assert_eq!(piece(1, 1).text, "\u{fffd}");
    }
}
