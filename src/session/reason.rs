//! Says in plain words how a content process ended and what that means. Knows what Python and the kernel leave behind; starts and stops nothing.

use nix::sys::signal::Signal;

use super::context::Context;
use super::launch::{NOT_LAUNCHED, NOT_LAUNCHED_PREFIX};
use super::log::Voice;
use super::protocol::{Exit, Outcome, Work};
use super::supervise::{Ended, Finish};

/// How many of the content's last lines go into the state.
const TAIL: usize = 20;
/// A reason is a sentence; what content prints can be pages.
const LONGEST_REASON: usize = 500;

/// The work is done.
pub(super) fn succeeded(context: &Context, what: &str) -> Exit {
    exit(context, None, Outcome::Succeeded, what)
}

/// The work failed without a process having ended badly.
pub(super) fn failed(context: &Context, why: &str) -> Exit {
    exit(context, None, Outcome::Failed, why)
}

/// It was asked to stop.
pub(super) fn stopped(context: &Context, what: &str, ended: Option<Ended>) -> Exit {
    exit(context, ended, Outcome::Stopped, what)
}

/// How a process that was asked to stop did so.
pub(super) fn of_stop(context: &Context, killed: bool, ended: Ended) -> Exit {
    let grace = context.job.stop_grace_seconds;
    let what = if killed {
        format!("was asked to stop, did not within {grace} s, and was killed")
    } else {
        "was asked to stop and did".to_owned()
    };
    stopped(context, &what, Some(ended))
}

/// How a process that ended by itself did so; `doing` is what it should have done instead: `before it listened on port 8000`.
pub(super) fn of_end(context: &Context, ended: Ended, doing: &str) -> Exit {
    let recent = evidence(context);
    let outcome = if ended == Ended::Code(0) && doing.is_empty() { Outcome::Succeeded } else { Outcome::Failed };
    let reason = memory(context, &recent).unwrap_or_else(|| describe(ended, doing, &recent));
    exit(context, Some(ended), outcome, &reason)
}

/// What a finished step of several means: `None` if the next one may begin. `explain` may know better why it failed.
pub(super) fn of_step(
    context: &Context,
    finish: Finish,
    explain: impl FnOnce(&[String]) -> Option<String>,
) -> Option<Exit> {
    match finish {
        Finish::Ended(Ended::Code(0)) => None,
        Finish::Ended(ended) => {
            let mut exit = of_end(context, ended, "");
            let recent = evidence(context);
            if ended != Ended::Code(NOT_LAUNCHED) && memory(context, &recent).is_none() {
                exit.reason = explain(&recent).map_or(exit.reason, |text| shorten(&text));
            }
            Some(exit)
        }
        Finish::Stopped { killed, ended } => Some(of_stop(context, killed, ended)),
        Finish::TimedOut => Some(timed_out(context)),
    }
}

/// It was ended at its deadline.
pub(super) fn timed_out(context: &Context) -> Exit {
    let (what, limit) = match &context.job.work {
        Work::Build(build) => ("installing its packages", build.timeout_seconds),
        Work::Render(render) => ("rendering", render.timeout_seconds),
        Work::Run(_) | Work::Forward(_) => ("it", None),
    };
    failed(context, &describe_timeout(what, limit))
}

fn describe_timeout(what: &str, limit: Option<u64>) -> String {
    let limit = match limit {
        Some(seconds) if seconds >= 60 && seconds % 60 == 0 => format!("the {} min that it may", seconds / 60),
        Some(seconds) => format!("the {seconds} s that it may"),
        None => "it may".to_owned(),
    };
    format!("{what} took longer than {limit}, and was ended")
}

/// The content's last lines, those of standard error last: that is where reasons are, and the order in which lines of
/// two streams arrive is chance.
fn evidence(context: &Context) -> Vec<String> {
    let mut lines = context.log.recent_of(Voice::Out);
    lines.extend(context.log.recent_of(Voice::Err));
    lines
}

fn exit(context: &Context, ended: Option<Ended>, outcome: Outcome, reason: &str) -> Exit {
    let recent = context.log.recent();
    let tail = recent.get(recent.len().saturating_sub(TAIL)..).unwrap_or_default().to_vec();
    let (code, signal) = match ended {
        Some(Ended::Code(code)) => (Some(code), None),
        Some(Ended::Signal(signal)) => (None, Some(signal as i32)),
        None => (None, None),
    };
    Exit { code, signal, reason: shorten(reason), outcome, tail }
}

/// The memory limit shows in the cgroup's count, or as Python's own error under RLIMIT_DATA.
fn memory(context: &Context, recent: &[String]) -> Option<String> {
    let bytes = context.job.limits.memory_bytes?;
    let python = python_error(recent).is_some_and(|line| line.starts_with("MemoryError"));
    let native = recent.iter().any(|line| line.contains("std::bad_alloc") || line.contains("Cannot allocate memory"));
    let over = context.confined.killed_by_memory() || context.confined.data_limit.is_some() && (python || native);
    over.then(|| format!("ran out of memory: its limit is {} MiB", bytes >> 20))
}

fn describe(ended: Ended, doing: &str, recent: &[String]) -> String {
    let place = if doing.is_empty() { String::new() } else { format!(" {doing}") };
    match ended {
        Ended::Code(NOT_LAUNCHED) => {
            let line = recent.iter().rev().find_map(|line| line.strip_prefix(NOT_LAUNCHED_PREFIX));
            line.map_or_else(|| format!("ended with exit code {NOT_LAUNCHED}{place}"), str::to_owned)
        }
        Ended::Code(code) => match python_error(recent) {
            Some(error) => format!("ended with exit code {code}{place}: {error}{}", hint(error)),
            None => match last_words(recent) {
                Some(line) if code != 0 => format!("ended with exit code {code}{place}: {line}"),
                _ => format!("ended with exit code {code}{place}"),
            },
        },
        Ended::Signal(signal) => format!("{}{place}", describe_signal(signal)),
    }
}

fn describe_signal(signal: Signal) -> String {
    let words = match signal {
        Signal::SIGKILL => "was killed from outside, perhaps because the host ran out of memory",
        Signal::SIGTERM => "was ended from outside",
        Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL => "crashed in native code",
        Signal::SIGABRT => "gave up in native code",
        Signal::SIGFPE => "crashed in an impossible calculation",
        Signal::SIGXCPU => "used more processor time than it may",
        Signal::SIGXFSZ => "wrote a larger file than it may",
        Signal::SIGPIPE => "wrote to something that was closed",
        _ => "was ended by a signal",
    };
    format!("{words} ({})", signal.as_str())
}

/// The last line of the last traceback: the first one after it that is not indented.
fn python_error(recent: &[String]) -> Option<&str> {
    let begin = recent.iter().rposition(|line| line.starts_with("Traceback (most recent call last)"))?;
    let mut after = recent.iter().skip(begin + 1).map(String::as_str);
    let mut flush = after.by_ref().filter(|line| !line.is_empty() && !line.starts_with([' ', '\t', '|']));
    let error = flush.next()?;
    // A notebook's cell has a traceback of its own, whose last line says more.
    if error.contains("CellExecutionError") { flush.last().or(Some(error)) } else { Some(error) }
}

fn hint(error: &str) -> &'static str {
    if error.starts_with("ModuleNotFoundError") { " (is it listed in the item's requirements?)" } else { "" }
}

/// The last line that says something.
fn last_words(recent: &[String]) -> Option<&str> {
    recent.iter().rev().map(|line| line.trim()).find(|line| line.chars().any(char::is_alphanumeric))
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect();
    if text.chars().nth(LONGEST_REASON).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_last_traceback_names_the_error() {
        let recent = lines(
            "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 2\n    import flask\nModuleNotFoundError: No module named 'flask'",
        );
        assert_eq!(
            describe(Ended::Code(1), "before it listened on port 8000", &recent),
            "ended with exit code 1 before it listened on port 8000: ModuleNotFoundError: No module named 'flask' (is it listed in the item's requirements?)"
        );
    }

    #[test]
    fn a_failed_cell_names_its_own_error() {
        let recent = lines(
            "Traceback (most recent call last):\n  File \"n.py\", line 1\nnbclient.exceptions.CellExecutionError: An error occurred\n------\nraise ValueError('x')\n------\n\nCell In[1], line 1\n\nValueError: x\n",
        );
        assert_eq!(python_error(&recent), Some("ValueError: x"));
    }

    #[test]
    fn ends_are_said_in_words() {
        assert_eq!(describe(Ended::Code(2), "", &lines("usage: app\n---")), "ended with exit code 2: usage: app");
        assert_eq!(describe(Ended::Code(0), "", &lines("bye")), "ended with exit code 0");
        assert_eq!(
            describe_timeout("rendering", Some(3600)),
            "rendering took longer than the 60 min that it may, and was ended"
        );
        assert_eq!(describe(Ended::Signal(Signal::SIGSEGV), "", &[]), "crashed in native code (SIGSEGV)");
        let launch = lines("wharf-session: cannot start /x/python as user 65532: Permission denied (os error 13)");
        assert_eq!(
            describe(Ended::Code(125), "", &launch),
            "cannot start /x/python as user 65532: Permission denied (os error 13)"
        );
    }

    #[test]
    fn reasons_stay_sentences() {
        assert_eq!(shorten("a\u{1b}[31mb\nc"), "a [31mb c");
        assert_eq!(shorten(&"é".repeat(600)).chars().count(), LONGEST_REASON + 3);
    }
}
