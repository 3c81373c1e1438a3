//! The log of a job: what its content prints, line by line, secrets masked, at most twice [`ROTATE_BYTES`]. Nothing is read from it here.
//!
//! Each line is `out|err|say TIMESTAMP TEXT`: the content's standard output, its standard error, and the session's own
//! words. The first lines say what runs where (`say ... item: penguins`). When `log` is full it becomes `log.1`.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::SessionError;
use super::secrets::Secrets;
use super::state::now_ms;

/// The log's name below the job directory.
pub const LOG_FILE: &str = "log";
/// The name of the log's former part.
pub const OLD_LOG_FILE: &str = "log.1";
/// A log file is closed when it is larger, in bytes.
const ROTATE_BYTES: u64 = 16 << 20;
/// Longer lines are broken, in bytes.
const LONGEST_LINE: usize = 16 << 10;
/// How many lines are remembered to find out why a process ended: a traceback is longer than what is shown of it.
const REMEMBERED: usize = 200;

/// Who says a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// The content's standard output.
    Out,
    /// The content's standard error.
    Err,
    /// The session.
    Say,
}

impl Voice {
    const fn mark(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Say => "say",
        }
    }
}

/// The log of one job, shared by the threads that read the content's output.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    secrets: Secrets,
    echo: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    size: u64,
    recent: VecDeque<(Voice, String)>,
}

impl Log {
    /// Opens the log of a job directory, after what a former session of the same directory wrote.
    pub fn open(directory: &Path, secrets: Secrets, echo: bool) -> Result<Self, SessionError> {
        let (file, size) =
            open_file(directory).map_err(|cause| SessionError::write(directory.join(LOG_FILE), cause))?;
        let inner = Mutex::new(Inner { file, size, recent: VecDeque::new() });
        Ok(Self { directory: directory.to_owned(), secrets, echo, inner })
    }

    /// The secrets it masks.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Writes a line of the session itself.
    pub fn say(&self, text: &str) {
        for line in text.lines() {
            self.write(Voice::Say, line);
        }
    }

    /// Writes one line. A full disk must not end the content, so that a failure is dropped.
    pub fn write(&self, voice: Voice, line: &str) {
        let line = self.secrets.mask(line);
        let text = format!("{} {} {line}\n", voice.mark(), timestamp(now_ms()));
        if self.echo {
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.size > ROTATE_BYTES {
            let moved = fs::rename(self.directory.join(LOG_FILE), self.directory.join(OLD_LOG_FILE));
            if let Ok((file, size)) = moved.and_then(|()| open_file(&self.directory)) {
                inner.file = file;
                inner.size = size;
            }
        }
        if inner.file.write_all(text.as_bytes()).is_ok() {
            inner.size += text.len() as u64;
        }
        if voice != Voice::Say {
            if inner.recent.len() >= REMEMBERED {
                inner.recent.pop_front();
            }
            inner.recent.push_back((voice, line));
        }
    }

    /// The content's last lines, the oldest first.
    pub fn recent(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.recent.iter().map(|(_, line)| line.clone()).collect()
    }

    /// The same of one voice only: lines of two streams come in any order.
    pub fn recent_of(&self, voice: Voice) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.recent.iter().filter(|(whose, _)| *whose == voice).map(|(_, line)| line.clone()).collect()
    }

    /// Forgets the content's last lines, before another process is started.
    pub fn forget(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).recent.clear();
    }

    /// Copies a stream into the log until it ends, and shows each line to an observer.
    pub fn copy(&self, voice: Voice, stream: impl Read, observe: &(dyn Fn(&str) + Sync)) {
        // What cannot be read any more is the end: the process it came from is gone.
        let _ = self.copy_lines(voice, stream, observe);
    }

    fn copy_lines(&self, voice: Voice, stream: impl Read, observe: &(dyn Fn(&str) + Sync)) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        // A broken line keeps this much for its next part, so that no secret lies across the break.
        let kept = self.secrets.longest().saturating_sub(1);
        loop {
            let count = reader.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
            if count == 0 && line.is_empty() {
                return Ok(());
            }
            let broken = count == LONGEST_LINE && line.last() != Some(&b'\n');
            let mut end = line.len();
            if broken {
                // Mask before the break; what is kept may be the beginning of a secret.
                line = self.secrets.mask(&String::from_utf8_lossy(&line)).into_bytes();
                end = line.len().saturating_sub(kept);
            }
            let part: Vec<u8> = line.drain(..end).collect();
            let text = String::from_utf8_lossy(&part);
            // A progress bar redraws its line; only its last state is worth keeping.
            let text = text.trim_end_matches(['\n', '\r']);
            let text = without_escapes(text.rsplit('\r').next().unwrap_or(text));
            self.write(voice, &text);
            observe(&text);
        }
    }
}

/// The text without colours, cursor movements and titles: a log is read in many places, few of them terminals.
fn without_escapes(text: &str) -> Cow<'_, str> {
    const ESCAPE: char = '\u{1b}';
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != ESCAPE {
            plain.push(c);
            continue;
        }
        match rest.next() {
            // ECMA-48: parameters, then one final byte.
            Some('[') => _ = rest.find(|c| matches!(c, '@'..='~')),
            // A title, up to the bell or the string terminator, whose second character goes with it.
            Some(']') => {
                let end = rest.find(|c| matches!(*c, '\u{7}' | ESCAPE));
                if end == Some(ESCAPE) {
                    rest.next();
                }
            }
            _ => {}
        }
    }
    Cow::Owned(plain)
}

fn open_file(directory: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(directory.join(LOG_FILE))?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// RFC 3339 in UTC with milliseconds; the session has no calendar library.
pub(super) fn timestamp(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil from days, after Howard Hinnant: years begin in March, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_follow_the_calendar() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(1_795_300_245_678), "2026-11-21T22:30:45.678Z");
    }

    fn logged(bytes: &[u8]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let mut secrets = Secrets::default();
        secrets.also_mask("open-sesame");
        let log = Log::open(directory.path(), secrets, false).unwrap();
        log.copy(Voice::Out, bytes, &|_| {});
        assert_eq!(fs::read_to_string(directory.path().join(LOG_FILE)).unwrap().lines().count(), log.recent().len());
        log.recent()
    }

    #[test]
    fn lines_are_kept_apart_and_bars_are_not_redrawn() {
        assert_eq!(logged(b"one\n10%\r50%\r100%\r\n\nlast"), ["one", "100%", "", "last"]);
        assert_eq!(logged(b"\xffopen-sesame\n"), ["\u{fffd}********"]);
        assert!(logged(b"").is_empty());
        assert_eq!(logged(b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07and \x1b]8;;\x1b\\plain\x1b"), ["red and plain"]);
    }

    #[test]
    fn a_full_log_makes_room() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path(), Secrets::default(), false).unwrap();
        let line = "x".repeat(LONGEST_LINE);
        for _ in 0..=2 * ROTATE_BYTES / LONGEST_LINE as u64 {
            log.write(Voice::Out, &line);
        }
        log.write(Voice::Out, "last");
        let size = |name| fs::metadata(directory.path().join(name)).unwrap().len();
        assert!(size(OLD_LOG_FILE) > ROTATE_BYTES && size(LOG_FILE) < ROTATE_BYTES);
        assert!(fs::read_to_string(directory.path().join(LOG_FILE)).unwrap().ends_with(" last\n"));
    }

    #[test]
    fn no_secret_survives_the_break_of_a_long_line() {
        for shift in 0..24 {
            let mut line = vec![b'x'; LONGEST_LINE - 12 + shift];
            line.extend(b"open-sesame");
            line.extend(vec![b'y'; LONGEST_LINE]);
            let joined = logged(&line).concat();
            assert!(!joined.contains("sesame") && joined.contains("****"), "shift {shift}");
            assert!(joined.ends_with("yyy"));
        }
    }
}
