//! Tells what changes while items come up: one line a change, and on a terminal a line that moves. What changed is read from the passes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::state::{Doing, ItemState};
use super::style::{ACCENT, BAD, GOOD, QUIET, STRONG, WAITING, count, padded, paint};
use super::world::World;
use super::{CliError, Output, state};
use crate::executor::Executor;
use crate::model::CommitId;
use crate::plan::Plan;
use crate::reconcile::Seen;

/// How often a line says what is being installed, where no line moves.
const BETWEEN_DETAILS: Duration = Duration::from_secs(5);
/// The width of the word for what an item does.
const WORD: usize = 10;

/// What was told so far.
pub struct Progress {
    output: Output,
    items: BTreeMap<String, ItemState>,
    said: BTreeSet<String>,
    commit: Option<CommitId>,
    /// When the last line about an item was told.
    told: BTreeMap<String, Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing was told yet. With `bar`, a line that moves stands below, if somebody watches.
    pub fn new(output: Output, bar: bool) -> Self {
        let bar = (bar && output.is_watched()).then(|| {
            let bar = ProgressBar::new_spinner();
            // A template of our own is well formed; the default one would do as well.
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { output, items: BTreeMap::new(), said: BTreeSet::new(), commit: None, told: BTreeMap::new(), bar }
    }

    /// Tells what is different since the last time, and gives every item as it is now.
    pub async fn update(&mut self, seen: &Seen, world: &World) -> Result<Vec<ItemState>, CliError> {
        let registry = world.registry.view().await?;
        let executor = world.executor.view().await?;
        let states = state::items(&registry, &executor);
        if self.output.is_text() {
            self.commit(seen)?;
        }
        for state in &states {
            if self.is_news(state) {
                self.told.insert(state.item.clone(), Instant::now());
                self.item(state)?;
            }
        }
        let gone: Vec<String> =
            self.items.keys().filter(|name| !states.iter().any(|it| it.item == **name)).cloned().collect();
        if self.output.is_text() {
            for name in gone {
                self.say(&format!("{}  {}", padded(QUIET, "gone", WORD), paint(STRONG, &name)))?;
            }
            self.statements(seen, world)?;
        }
        self.items = states.iter().map(|state| (state.item.clone(), state.clone())).collect();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}{}", summary(&states), under_way(&states)));
        }
        Ok(states)
    }

    /// Whether a change is worth a line: the state, the address, the revision; what is being installed now and then.
    fn is_news(&self, now: &ItemState) -> bool {
        let Some(former) = self.items.get(&now.item) else { return true };
        let passing = matches!(now.state, Doing::Building | Doing::Starting | Doing::Rendering);
        let recent = self.told.get(&now.item).is_some_and(|told| told.elapsed() < BETWEEN_DETAILS);
        (former.state, &former.url, &former.revision) != (now.state, &now.url, &now.revision)
            || (former.detail != now.detail && !(passing && (recent || self.bar.is_some())))
    }

    /// Takes the moving line away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) -> Result<(), CliError> {
        match &self.bar {
            Some(bar) => {
                bar.println(line);
                Ok(())
            }
            None => self.output.text(&format!("{line}\n")),
        }
    }

    fn commit(&mut self, seen: &Seen) -> Result<(), CliError> {
        let status = &seen.status;
        if status.commit.is_some() && status.commit != self.commit {
            self.commit = status.commit;
            let errors = status.diagnostics.0.iter().filter(|it| it.is_error()).count();
            let errors = (errors > 0).then(|| {
                format!("  {}", paint(BAD, format!("{} (wharf validate shows them)", count(errors, "error", "errors"))))
            });
            let commit = status.commit.map(|commit| commit.short()).unwrap_or_default();
            self.say(&format!(
                "{}  {}{}",
                padded(QUIET, "commit", WORD),
                paint(ACCENT, commit),
                errors.unwrap_or_default()
            ))?;
        }
        Ok(())
    }

    fn item(&self, state: &ItemState) -> Result<(), CliError> {
        if !self.output.is_text() {
            return self.output.line(state);
        }
        let detail = match (state.state, &state.detail, &state.url) {
            (Doing::Ready, _, Some(url)) => paint(ACCENT, url),
            (_, Some(detail), _) => paint(QUIET, detail),
            _ => String::new(),
        };
        self.say(
            format!(
                "{}  {}  {detail}",
                padded(style(state.state), state.state.word(), WORD),
                paint(STRONG, &state.item)
            )
            .trim_end(),
        )
    }

    /// What is true now and was not before: refusals, stalled items, what is held back.
    fn statements(&mut self, seen: &Seen, world: &World) -> Result<(), CliError> {
        let mut now: Vec<String> = Vec::new();
        let mut state = |style, word: &str, text: String| now.push(format!("{}  {text}", padded(style, word, WORD)));
        for problem in seen.status.refusal.iter().chain(&seen.status.source_error).chain(&seen.error) {
            state(BAD, "problem", super::escape::plain(problem).into_owned());
        }
        for notice in world.executor.take_notices() {
            state(WAITING, "note", super::escape::plain(&notice).into_owned());
        }
        if let Some(pass) = &seen.pass {
            asides(&pass.plan, &mut state);
        }
        for line in &now {
            if !self.said.contains(line) {
                self.say(line)?;
            }
        }
        self.said = now.into_iter().collect();
        Ok(())
    }
}

/// What a plan lists beside its operations, for people.
fn asides(plan: &Plan, state: &mut impl FnMut(anstyle::Style, &str, String)) {
    for stalled in &plan.stalled {
        let help = stalled.help.as_ref().map(|help| format!("  {}", paint(QUIET, help))).unwrap_or_default();
        state(
            BAD,
            "stalled",
            format!("{}  {}{help}", paint(STRONG, &stalled.name), super::escape::plain(&stalled.reason)),
        );
    }
    for blocked in &plan.blocked {
        let approve = paint(ACCENT, format!("wharf approve {}", blocked.approval));
        state(BAD, "held back", format!("{}; let it through with {approve}", super::escape::plain(&blocked.reason)));
    }
    for note in &plan.notes {
        state(QUIET, "note", format!("{}  {}", paint(STRONG, &note.name), paint(QUIET, &note.text)));
    }
}

/// What the first item that is not ready does just now.
fn under_way(states: &[ItemState]) -> String {
    let first =
        states.iter().find_map(|state| Some((state, state.detail.as_ref().filter(|_| state.state != Doing::Ready)?)));
    first.map(|(state, detail)| format!("  {}", paint(QUIET, format!("{}: {detail}", state.item)))).unwrap_or_default()
}

/// The colour of a state.
pub const fn style(state: Doing) -> anstyle::Style {
    match state {
        Doing::Ready => GOOD,
        Doing::Building | Doing::Starting | Doing::Rendering | Doing::Waiting | Doing::Retrying => WAITING,
        Doing::Failed => BAD,
        Doing::Suspended => QUIET,
    }
}

/// `8 items: 6 ready, 1 building, 1 failed`.
pub fn summary(states: &[ItemState]) -> String {
    let mut numbers: BTreeMap<Doing, usize> = BTreeMap::new();
    for state in states {
        *numbers.entry(state.state).or_default() += 1;
    }
    let parts: Vec<String> =
        numbers.iter().map(|(state, number)| paint(style(*state), format!("{number} {}", state.word()))).collect();
    let of = count(states.len(), "item", "items");
    if parts.is_empty() { of } else { format!("{of}: {}", parts.join(", ")) }
}
