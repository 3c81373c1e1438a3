//! When to look again: at once when files of a local repository change, and after an interval in any case. What is seen
//! then is not decided here; waking for nothing costs one look.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// The longest pause after failures, unless the interval itself is longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// How long files have to be quiet before a change counts as over, and how often that is waited for.
const QUIET: Duration = Duration::from_millis(50);
const MOST_QUIET: usize = 10;

/// How long to wait before the next look: the interval and a tenth of it more or less, so that many instances do not ask at
/// the same moment; after failures twice as long each time, up to 15 minutes. `random` is any number.
pub fn next_poll(interval: Duration, failures: u32, random: u64) -> Duration {
    let longest = LONGEST_PAUSE.max(interval);
    let doubled = interval.checked_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).unwrap_or(longest);
    let pause = doubled.min(longest);
    // 900 to 1100 thousandths.
    let share = 900 + u32::try_from(random % 201).unwrap_or_default();
    pause.checked_mul(share).map_or(pause, |scaled| scaled / 1000)
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Files changed.
    Files,
    /// The interval is over.
    Interval,
}

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Watched {
    /// A remote says nothing by itself.
    Nothing,
    /// The directory of `HEAD`, and the one of branches and tags.
    Refs { git_directory: PathBuf, common_directory: PathBuf },
    /// All files below a directory.
    Files(PathBuf),
}

/// Wakes whoever reads a source. It only wakes: a change that is missed is found at the next interval.
#[derive(Debug)]
pub struct Watch {
    interval: Duration,
    changed: Arc<Notify>,
    /// Ends with this value.
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Starts to watch. If the system refuses (too many watches, a network file system), the interval remains.
    pub(super) fn start(what: &Watched, interval: Duration) -> Self {
        let changed = Arc::new(Notify::new());
        let watcher = match watcher(what, &changed) {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(%error, "files cannot be watched, looking every {} s instead", interval.as_secs());
                None
            }
        };
        Self { interval, changed, watcher }
    }

    /// Whether file changes wake; otherwise only the interval does.
    pub const fn sees_files(&self) -> bool {
        self.watcher.is_some()
    }

    /// Waits for a change or for the interval. A change that happened before the call ends it at once, and so does one
    /// that an earlier call had seen when it was dropped.
    pub async fn woken(&self, failures: u32, random: u64) -> Woken {
        let pause = next_poll(self.interval, failures, random);
        if tokio::time::timeout(pause, self.changed.notified()).await.is_err() {
            return Woken::Interval;
        }
        let mut seen = Seen { changed: &self.changed, told: false };
        for _ in 0..MOST_QUIET {
            if tokio::time::timeout(QUIET, self.changed.notified()).await.is_err() {
                break;
            }
        }
        seen.told = true;
        Woken::Files
    }
}

/// A change that was seen and that nobody was told yet: dropped like that, it wakes the next wait.
struct Seen<'a> {
    changed: &'a Notify,
    told: bool,
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.changed.notify_one();
        }
    }
}

fn watcher(what: &Watched, changed: &Arc<Notify>) -> notify::Result<Option<RecommendedWatcher>> {
    let (changed, filter) = (Arc::clone(changed), what.clone());
    let wake = move |event: notify::Result<notify::Event>| match event {
        Ok(event) if !event.need_rescan() && !filter.matters(&event) => {}
        // An error may mean that changes were lost.
        _ => changed.notify_one(),
    };
    let mut watcher = match what {
        Watched::Nothing => return Ok(None),
        _ => notify::recommended_watcher(wake)?,
    };
    match what {
        Watched::Nothing => {}
        Watched::Files(directory) => watcher.watch(directory, RecursiveMode::Recursive)?,
        Watched::Refs { git_directory, common_directory } => {
            // Directories, not files: Git replaces HEAD and packed-refs by a rename.
            watcher.watch(git_directory, RecursiveMode::NonRecursive)?;
            if git_directory != common_directory {
                watcher.watch(common_directory, RecursiveMode::NonRecursive)?;
            }
            watcher.watch(&common_directory.join("refs"), RecursiveMode::Recursive)?;
        }
    }
    Ok(Some(watcher))
}

impl Watched {
    /// Whether an event may mean another commit or other files. Reading wakes nobody, least of all our own.
    fn matters(&self, event: &notify::Event) -> bool {
        if matches!(event.kind, EventKind::Access(_)) {
            return false;
        }
        event.paths.iter().any(|path| match self {
            Self::Nothing => false,
            Self::Files(directory) => !inside_git(path.strip_prefix(directory).unwrap_or(path)),
            Self::Refs { common_directory, .. } => {
                let name = path.file_name().unwrap_or_default();
                let is_lock = path.extension().is_some_and(|extension| extension == "lock");
                !is_lock && (name == "HEAD" || name == "packed-refs" || path.starts_with(common_directory.join("refs")))
            }
        })
    }
}

/// Git's own files below a working tree: its index changes with every `git status`.
fn inside_git(path: &Path) -> bool {
    path.components().any(|part| part == Component::Normal(".git".as_ref()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn failures_double_the_pause_up_to_a_quarter_of_an_hour() {
        let pauses: Vec<u64> = (0..6).map(|failures| next_poll(MINUTE, failures, 100).as_secs()).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
        assert_eq!(next_poll(Duration::from_hours(1), 3, 100), Duration::from_hours(1));
    }

    #[test]
    fn locks_reads_and_gits_index_wake_nobody() {
        let refs = Watched::Refs { git_directory: "/r/.git".into(), common_directory: "/r/.git".into() };
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        let changed = EventKind::Modify(notify::event::ModifyKind::Any);
        for path in ["/r/.git/HEAD", "/r/.git/packed-refs", "/r/.git/refs/heads/a/b"] {
            assert!(refs.matters(&event(changed, path)), "{path}");
            assert!(!refs.matters(&event(EventKind::Access(notify::event::AccessKind::Any), path)), "{path}");
        }
        for path in ["/r/.git/index", "/r/.git/HEAD.lock", "/r/.git/refs/heads/a.lock", "/r/.git/COMMIT_EDITMSG"] {
            assert!(!refs.matters(&event(changed, path)), "{path}");
        }
        let files = Watched::Files("/r".into());
        assert!(files.matters(&event(changed, "/r/app/content.yaml")));
        assert!(!files.matters(&event(changed, "/r/.git/index")));
    }

    #[tokio::test]
    async fn a_change_is_not_lost_with_the_wait_that_saw_it() {
        let watch = Watch { interval: MINUTE, changed: Arc::default(), watcher: None };
        watch.changed.notify_one();
        let cut_short = tokio::time::timeout(QUIET / 2, watch.woken(0, 0)).await;
        assert!(cut_short.is_err(), "it waits for more changes first");
        let next = tokio::time::timeout(MINUTE / 2, watch.woken(0, 0)).await;
        assert_eq!(next, Ok(Woken::Files));
    }

    proptest! {
        #[test]
        fn a_pause_is_never_nothing_and_never_without_end(seconds in 1_u64..100_000, failures: u32, random: u64) {
            let interval = Duration::from_secs(seconds);
            let pause = next_poll(interval, failures, random);
            prop_assert!(pause >= interval * 9 / 10);
            prop_assert!(pause <= LONGEST_PAUSE.max(interval) * 11 / 10);
        }
    }
}
