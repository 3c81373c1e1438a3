//! The plan as a unified diff for a terminal. Colour is marked, and drawn by whoever prints.

use similar::{ChangeTag, TextDiff};

use super::operation::{Action, Operation, Plan, Subject};
use super::words;

/// How a line of the text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The first line, headings.
    Strong,
    /// Something is added.
    Added,
    /// Something is taken away.
    Removed,
    /// Something is changed.
    Changed,
    /// Something needs a person.
    Alarm,
    /// Context.
    Quiet,
    /// Everything else.
    Plain,
}

/// One line of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How it is meant.
    pub tone: Tone,
    /// What it says, without a line feed. Control characters are escaped.
    pub text: String,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// One line an operation.
    Short,
    /// With what changes in each record.
    #[default]
    Full,
}

/// The plan as lines.
pub fn lines(plan: &Plan, detail: Detail) -> Vec<Line> {
    let mut text = Text(Vec::new());
    if plan.is_empty() && plan.in_flight.is_empty() && plan.backing_off.is_empty() {
        text.push(Tone::Strong, words::nothing_to_do(plan));
    } else {
        text.push(Tone::Strong, words::cost_line(&plan.cost));
    }
    let mut heading = None;
    for operation in plan.changes() {
        let of = operation.item.as_ref().map(ToString::to_string).unwrap_or_default();
        if heading.as_ref() != Some(&of) {
            text.push(Tone::Plain, "");
            text.push(Tone::Strong, if of.is_empty() { "environments" } else { &of });
            heading = Some(of);
        }
        text.operation(operation, detail);
    }
    text.asides(plan);
    let old = plan.operations.iter().filter(|operation| operation.housekeeping).count();
    if old > 0 {
        text.push(Tone::Plain, "");
        text.push(
            Tone::Quiet,
            format!(
                "also takes away {} that nothing needs any more",
                words::count(u32::try_from(old).unwrap_or(u32::MAX), "old thing", "old things")
            ),
        );
    }
    text.0
}

struct Text(Vec<Line>);

impl Text {
    fn push(&mut self, tone: Tone, text: impl AsRef<str>) {
        self.0.push(Line { tone, text: escape(text.as_ref()) });
    }

    fn operation(&mut self, operation: &Operation, detail: Detail) {
        let (sign, tone) = match operation.action {
            Action::Create => ('+', Tone::Added),
            Action::Delete => ('-', Tone::Removed),
            Action::Update | Action::Replace | Action::Adopt => ('~', Tone::Changed),
        };
        let kind = operation.subject.kind();
        self.push(tone, format!("  {sign} {kind:<11} {}  ({})", operation.subject, operation.reason));
        if let Some(waits) = words::waits(operation) {
            self.push(Tone::Quiet, format!("      after {waits}"));
        }
        let shows_fields = matches!(operation.subject, Subject::Environment(_) | Subject::Content(_));
        if detail == Detail::Full && shows_fields && operation.action != Action::Delete {
            self.fields(operation);
        }
    }

    /// The record's canonical JSON, before against after, as a unified diff without far context.
    fn fields(&mut self, operation: &Operation) {
        let Some(before) = &operation.before else { return };
        let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
        let before = pretty(before);
        let after = operation.after_value().map(|value| pretty(&value)).unwrap_or_default();
        let diff = TextDiff::from_lines(&before, &after);
        for hunk in diff.unified_diff().context_radius(1).iter_hunks() {
            for change in hunk.iter_changes() {
                let (sign, tone) = match change.tag() {
                    ChangeTag::Equal => (' ', Tone::Quiet),
                    ChangeTag::Delete => ('-', Tone::Removed),
                    ChangeTag::Insert => ('+', Tone::Added),
                };
                self.push(tone, format!("      {sign} {}", change.value().trim_end_matches('\n')));
            }
        }
    }

    fn asides(&mut self, plan: &Plan) {
        self.section(
            "in flight",
            Tone::Plain,
            plan.in_flight.iter().map(|it| {
                let progress = it.progress.as_deref().unwrap_or("started");
                format!("{}: {} ({progress})", it.item, it.job)
            }),
        );
        self.section(
            "tried again later",
            Tone::Changed,
            plan.backing_off.iter().map(|it| {
                format!(
                    "{}: {} failed {}, next try {}: {}",
                    it.item,
                    it.step,
                    times(it.failures),
                    it.next_try.strftime("%H:%M:%S UTC"),
                    it.reason
                )
            }),
        );
        for blocked in &plan.blocked {
            let things = blocked.things.iter().map(|thing| format!("{} {}", thing.kind, thing.name));
            self.section(&words::blocked(blocked), Tone::Alarm, things);
        }
        for (number, stalled) in plan.stalled.iter().enumerate() {
            if number == 0 {
                self.push(Tone::Plain, "");
                self.push(Tone::Alarm, "stalled");
            }
            self.push(Tone::Alarm, format!("  ! {}: {}", stalled.name, stalled.reason));
            for line in &stalled.tail {
                self.push(Tone::Quiet, format!("      | {line}"));
            }
            if let Some(help) = &stalled.help {
                self.push(Tone::Quiet, format!("      help: {help}"));
            }
        }
        self.section("notes", Tone::Quiet, plan.notes.iter().map(|note| format!("{}: {}", note.name, note.text)));
    }

    fn section(&mut self, title: &str, tone: Tone, lines: impl Iterator<Item = String>) {
        let mut lines = lines.peekable();
        if lines.peek().is_some() {
            self.push(Tone::Plain, "");
            self.push(Tone::Strong, title);
            for line in lines {
                self.push(tone, format!("  {line}"));
            }
        }
    }
}

fn times(failures: u32) -> String {
    if failures == 1 { "once".to_owned() } else { format!("{failures} times") }
}

/// Text from the repository may hold control characters; a terminal never gets them raw.
pub fn escape(text: &str) -> String {
    if !text.contains(|c: char| c.is_control()) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
