//! The plan as a pull-request comment in GitHub's and GitLab's Markdown.

use std::fmt::Write as _;

use super::operation::{Action, Operation, Plan};
use super::text::escape;
use super::words;

/// Operations listed before the rest is only counted: a comment may hold 65,536 characters.
const LISTED: usize = 200;

/// The plan as Markdown.
pub fn markdown(plan: &Plan) -> String {
    let mut text = String::new();
    let first = if plan.is_settled() { words::nothing_to_do(plan) } else { words::cost_line(&plan.cost) };
    line(&mut text, &format!("### Wharf: {}", cell(&first)));
    let changes: Vec<&Operation> = plan.changes().collect();
    if !changes.is_empty() {
        line(&mut text, "");
        line(&mut text, "| | item | what | why |");
        line(&mut text, "| --- | --- | --- | --- |");
        for operation in changes.iter().take(LISTED) {
            row(&mut text, operation);
        }
        if changes.len() > LISTED {
            line(&mut text, "");
            line(&mut text, &format!("... and {} more.", changes.len() - LISTED));
        }
    }
    for blocked in &plan.blocked {
        line(&mut text, "");
        line(&mut text, &format!("> **{}**", cell(&words::blocked(blocked))));
        for thing in &blocked.things {
            line(&mut text, &format!("> - {} `{}`", thing.kind, code(&thing.name)));
        }
    }
    list(
        &mut text,
        "Stalled",
        plan.stalled.iter().map(|it| {
            let help = it.help.as_deref().map(|help| format!(" ({})", cell(help))).unwrap_or_default();
            format!("`{}`: {}{help}", code(&it.name), cell(&it.reason))
        }),
    );
    list(&mut text, "Notes", plan.notes.iter().map(|it| format!("`{}`: {}", code(&it.name), cell(&it.text))));
    line(&mut text, "");
    line(&mut text, &format!("<sub>plan `{}`</sub>", plan.id.as_str().get(..12).unwrap_or_default()));
    text
}

fn row(text: &mut String, operation: &Operation) {
    let sign = match operation.action {
        Action::Create => "🟢 create",
        Action::Update => "🟡 update",
        Action::Replace => "🟡 replace",
        Action::Adopt => "🟡 adopt",
        Action::Delete => "🔴 delete",
    };
    let item = operation.item.as_ref().map(|item| format!("`{}`", code(item.as_str()))).unwrap_or_default();
    let subject = format!("{} `{}`", operation.subject.kind(), code(&operation.subject.to_string()));
    line(text, &format!("| {sign} | {item} | {subject} | {} |", cell(&operation.reason)));
}

fn list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        line(text, "");
        line(text, &format!("**{title}**"));
        line(text, "");
        for entry in lines {
            line(text, &format!("- {entry}"));
        }
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// Text from the repository, harmless inside a table or a list: no markup, no links, no mentions.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in escape(text).chars() {
        match letter {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => safe.extend(['\\', letter]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '@' => safe.push_str("@\u{200b}"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Text inside a code span.
fn code(text: &str) -> String {
    escape(text).replace('`', "'").replace('|', "\\|")
}
