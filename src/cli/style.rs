//! The few colours of the command line, and the one way to put text into them. Whether they are drawn is `output`'s decision.

use anstyle::{AnsiColor, Style};

use super::escape::plain;

/// Names, headings.
pub const STRONG: Style = Style::new().bold();
/// It is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// It waits, it changes.
pub const WAITING: Style = AnsiColor::Yellow.on_default();
/// It needs a person.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is taken away.
pub const REMOVED: Style = AnsiColor::Red.on_default();
/// Addresses, versions, what to type.
pub const ACCENT: Style = AnsiColor::Cyan.on_default();
/// Context.
pub const QUIET: Style = Style::new().dimmed();

/// Text in a style, with its control characters made visible.
pub fn paint(style: Style, text: impl AsRef<str>) -> String {
    let text = plain(text.as_ref());
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// The same, filled with spaces to a width in characters.
pub fn padded(style: Style, text: impl AsRef<str>, width: usize) -> String {
    let text = plain(text.as_ref());
    let missing = width.saturating_sub(text.chars().count());
    format!("{style}{text}{style:#}{:missing$}", "")
}

/// `1 item`, `2 items`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
