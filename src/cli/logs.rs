//! `wharf logs ITEM`: what an item's jobs wrote. Sessions write the log; control characters in it are never printed raw.

use std::collections::VecDeque;
use std::time::Duration;

use super::escape::plain;
use super::state::{build_jobs, telling_job};
use super::style::{BAD, QUIET, paint};
use super::world::World;
use super::{CliError, Context, Exit};
use crate::executor::{Executor as _, LogRequest};
use crate::model::ItemName;
use crate::plan::{ExecutorView, ObservedJob, RegistryView};
use serde::Serialize;

/// How much is read at once, in bytes.
const PIECE: u64 = 256 << 10;
/// How often a log that is followed is looked at. Its growth is no event of the executor's.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Show what an item wrote: of its newest process, build or render.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The item.
    item: ItemName,
    /// Go on until the job ends.
    #[arg(long, short)]
    follow: bool,
    /// Of this job, as `wharf ps` names it.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only the last lines.
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
    /// With the time of each line.
    #[arg(long, short)]
    timestamps: bool,
}

/// One line of a log, as `--output jsonl` prints it.
#[derive(Debug, Serialize)]
struct LogLine<'a> {
    /// The job.
    job: &'a str,
    /// `out`, `err`, or `say` for the session's own words.
    stream: &'a str,
    /// When it was written, RFC 3339.
    time: &'a str,
    /// The line.
    text: &'a str,
}

impl Logs {
    /// Finds the job, and prints its log.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let world = World::observe(context).await?;
        let (registry, executor) = (world.registry.view().await?, world.executor.view().await?);
        let job = self.find(&registry, &executor)?.clone();
        let mut offset = 0;
        let mut rest = String::new();
        let mut last: VecDeque<String> = VecDeque::new();
        loop {
            let piece = world.executor.log(&job, LogRequest { offset, limit: PIECE }).await?;
            let is_end = piece.next_offset == offset;
            offset = piece.next_offset;
            rest.push_str(&piece.text);
            while let Some(feed) = rest.find('\n') {
                let line: String = rest.drain(..=feed).collect();
                match self.tail {
                    Some(most) => {
                        last.push_back(line);
                        last.drain(..last.len().saturating_sub(most));
                    }
                    None => self.print(context, &job, line.trim_end_matches('\n'))?,
                }
            }
            if is_end {
                for line in last.drain(..) {
                    self.print(context, &job, line.trim_end_matches('\n'))?;
                }
                if piece.ended || !self.follow {
                    return Ok(Exit::Good);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    fn find<'a>(&self, registry: &RegistryView, executor: &'a ExecutorView) -> Result<&'a ObservedJob, CliError> {
        let Some(name) = &self.job else {
            let known = registry.contents.contains_key(&self.item);
            return telling_job(&self.item, registry, executor).ok_or_else(|| {
                if known {
                    CliError::Refused {
                        message: format!("{} has no job with a log; `wharf ps {0}` shows its state", self.item),
                    }
                } else {
                    CliError::NoItem { found: self.item.to_string(), near: Vec::new() }
                }
            });
        };
        let own = executor.items.get(&self.item.slug()).into_iter().flat_map(|item| item.jobs.values());
        let builds = registry.contents.get(&self.item).map_or(&[][..], |record| build_jobs(&record.form, executor));
        let mut all = own.chain(builds);
        let message = || format!("{} has no job {name:?}; `wharf ps {}` names its jobs", self.item, self.item);
        all.find(|job| job.name.as_str() == name).ok_or_else(|| CliError::Refused { message: message() })
    }

    /// Lines are `out|err|say TIME TEXT`.
    fn print(&self, context: &Context, job: &ObservedJob, line: &str) -> Result<(), CliError> {
        let mut parts = line.splitn(3, ' ');
        let (stream, time, text) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !context.output.is_text() {
            return context.output.line(&LogLine { job: job.name.as_str(), stream, time, text });
        }
        let when = if self.timestamps { format!("{} ", paint(QUIET, time)) } else { String::new() };
        let text = match stream {
            "say" => paint(QUIET, text),
            "err" => format!("{} {}", paint(BAD, "│"), plain(text)),
            _ => plain(text).into_owned(),
        };
        context.output.text(&format!("{when}{text}\n"))
    }
}
