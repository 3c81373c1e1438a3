//! Reading a tree field by field: every problem is recorded with its place, and reading goes on. Which fields: the forms.

use std::fmt::Display;
use std::str::FromStr;

use super::source_text::{SourceText, quoted};
use super::tree::{Node, Style, Value};
use crate::model::{Code, Diagnostic, Severity, Span};

/// More problems than this in one file are counted, not listed: nobody reads them, and a hostile file has millions.
const MOST_PROBLEMS: usize = 200;

/// The codes of the problems that every kind of file can have.
#[derive(Debug, Clone)]
pub struct Codes {
    /// A value of another kind than expected.
    pub kind: Code,
    /// A key that stands in a map twice.
    pub repeated: Code,
    /// An unknown field that is refused: one edit away from a known one, or in a form where all fields are known.
    pub unknown: Code,
    /// An unknown field that is left alone.
    pub ignored: Code,
}

/// What an unknown field is, when it is not nearly a known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The form is ours: an unknown field is a mistake.
    Refused,
    /// The form is Connect's: a newer version may have added it. A warning.
    Ignored,
}

/// The problems found so far in one file.
#[derive(Debug)]
pub struct Reading<'a> {
    source: &'a SourceText,
    codes: Codes,
    found: Vec<Diagnostic>,
    errors: usize,
    unlisted: usize,
}

/// A moment in a reading.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    found: usize,
    errors: usize,
}

impl<'a> Reading<'a> {
    /// Starts on a file.
    pub fn new(source: &'a SourceText, codes: Codes) -> Self {
        Self { source, codes, found: Vec::new(), errors: 0, unlisted: 0 }
    }

    /// The file that is read.
    pub fn source(&self) -> &'a SourceText {
        self.source
    }

    /// How many errors were found. A part is sound if reading it did not raise the number.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Remembers this moment, to ask later what was found since.
    pub fn mark(&self) -> Mark {
        Mark { found: self.found.len(), errors: self.errors }
    }

    /// The first error since a moment; `None` if there was none.
    pub fn first_error(&self, since: Mark) -> Option<Diagnostic> {
        if self.errors == since.errors {
            return None;
        }
        let new = self.found.get(since.found..).unwrap_or_default();
        // Past the most that is listed, the last listed one stands for the others.
        new.iter().find(|found| found.is_error()).or_else(|| self.found.last()).cloned()
    }

    /// Records an error: what was expected and found, and what to do.
    pub fn error(&mut self, code: &Code, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.record(self.source.error(code.clone(), span, message).with_help(help));
    }

    /// Records a warning.
    pub fn warning(&mut self, code: &Code, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.record(self.source.problem(Severity::Warning, code.clone(), span, message).with_help(help));
    }

    /// Records a note.
    pub fn note(&mut self, code: &Code, span: Span, message: impl Into<String>) {
        self.record(self.source.problem(Severity::Note, code.clone(), span, message));
    }

    /// Records a problem made elsewhere.
    pub fn record(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.is_error());
        if self.found.len() < MOST_PROBLEMS {
            self.found.push(diagnostic);
        } else {
            self.unlisted += 1;
        }
    }

    /// All problems, in the order in which they were found.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        if let Some(last) = self.found.last_mut().filter(|_| self.unlisted > 0) {
            let more = format!("{} more problems in this file are not listed", self.unlisted);
            last.help = Some(last.help.take().map_or(more.clone(), |help| format!("{help} ({more})")));
        }
        self.found
    }

    /// A map whose fields are among `known`: repeated and unknown fields are reported. `x-` fields are left alone.
    pub fn map<'n>(&mut self, node: &'n Node, what: &str, known: &[&str], unknown: Unknown) -> Option<&'n Node> {
        if !node.is_mapping() {
            self.wrong_kind(node, what, "a map");
            return None;
        }
        let mut seen = std::collections::HashSet::new();
        for (key, _) in node.entries() {
            if !seen.insert(&key.text) {
                let message = format!("expected {} once in {what}, found it again", quoted(&key.text));
                let code = self.codes.repeated.clone();
                self.error(&code, key.span, message, "keep one of them");
            } else if !known.contains(&key.text.as_str()) && !key.text.starts_with("x-") {
                self.unknown_field(&key.text, key.span, what, known, unknown);
            }
        }
        Some(node)
    }

    fn unknown_field(&mut self, found: &str, span: Span, what: &str, known: &[&str], unknown: Unknown) {
        let message = format!("{what} has no field {}", quoted(found));
        if let Some(near) = nearest(found, known) {
            let code = self.codes.unknown.clone();
            self.error(&code, span, message, format!("did you mean `{near}`?"));
        } else if unknown == Unknown::Refused {
            let code = self.codes.unknown.clone();
            self.error(&code, span, message, format!("known are {}", known.join(", ")));
        } else {
            let code = self.codes.ignored.clone();
            let help = "it is ignored; start a field of your own with `x-` to have no warning";
            self.warning(&code, span, message, help);
        }
    }

    /// Text. Numbers are text as well: nothing is typed.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        if node.text().is_none() {
            self.wrong_kind(node, what, "text");
        }
        node.text()
    }

    /// `true` or `false`, without quotes. YAML 1.1's `yes` and `on` are refused, since tools disagree on them.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Value::Scalar { text, style: Style::Plain } if text == "true" => Some(true),
            Value::Scalar { text, style: Style::Plain } if text == "false" => Some(false),
            _ => {
                self.wrong_kind(node, what, "true or false, without quotes");
                None
            }
        }
    }

    /// A whole number from `least` to `most`.
    pub fn integer<T>(&mut self, node: &Node, what: &str, least: T, most: T) -> Option<T>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let number = match &node.value {
            Value::Scalar { text, style: Style::Plain } => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| *number >= least && *number <= most);
        if number.is_none() {
            self.wrong_kind(node, what, &format!("a whole number from {least} to {most}"));
        }
        number
    }

    /// The elements of a list.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        if !node.is_sequence() {
            self.wrong_kind(node, what, "a list");
        }
        node.items()
    }

    /// A list of texts, each with its node for its place.
    pub fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, &'n Node)> {
        let items = self.list(node, what);
        let element = format!("an element of {what}");
        items.iter().filter_map(|item| Some((self.text(item, &element)?, item))).collect()
    }

    /// A text in a form of its own, such as an image or an amount.
    pub fn parsed<T>(&mut self, node: &Node, code: &Code, what: &str, help: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(node, what)?;
        match text.trim().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(code, node.span, format!("{what}: {error}"), help);
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, node: &Node, code: &Code, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let help = match nearest(text, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write one of {}", known.join(", ")),
            };
            self.error(
                code,
                node.span,
                format!("expected {what} to be {}, found {}", either(&known), quoted(text)),
                help,
            );
        }
        found
    }

    /// Records that a value is of another kind than expected.
    pub fn wrong_kind(&mut self, node: &Node, what: &str, expected: &str) {
        let found = node.text().map_or_else(|| node.kind().to_owned(), quoted);
        let help = match expected {
            "a list" => "write one element a line, each after a dash: `- ...`",
            "a map" => "write `name: value` lines below it",
            _ => "change the value",
        };
        let code = self.codes.kind.clone();
        self.error(&code, node.span, format!("expected {what} to be {expected}, found {found}"), help);
    }
}

/// `a, b or c`.
fn either(words: &[&str]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// The known word that a text was probably meant to be: one edit away, or the same in another spelling (`readOnly`).
pub fn nearest<'k>(found: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_ascii_lowercase();
    let found = plain(found.trim());
    let same = known.iter().find(|word| plain(word) == found);
    // Words of one or two letters are one edit away from half of everything.
    let close = || known.iter().find(|word| word.len() > 2 && one_edit_apart(&found, &plain(word)));
    same.or_else(close).copied()
}

/// Whether one letter was added, left out, replaced, or swapped with the next.
fn one_edit_apart(left: &str, right: &str) -> bool {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len().abs_diff(right.len()) > 1 {
        return false;
    }
    let start = left.iter().zip(&right).take_while(|(one, other)| one == other).count();
    let (left, right) = (left.get(start..).unwrap_or_default(), right.get(start..).unwrap_or_default());
    let end = left.iter().rev().zip(right.iter().rev()).take_while(|(one, other)| one == other).count();
    match (left.get(..left.len() - end), right.get(..right.len() - end)) {
        (Some([one, two]), Some(swapped)) => swapped == [*two, *one],
        (Some(left), Some(right)) => left.len() <= 1 && right.len() <= 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::yaml;

    const CODES: Codes = Codes {
        kind: Code::new("E0110"),
        repeated: Code::new("E0111"),
        unknown: Code::new("E0112"),
        ignored: Code::new("W0112"),
    };

    fn problems(text: &str, read: impl Fn(&mut Reading<'_>, &Node)) -> Vec<String> {
        let source = SourceText::new("a.yaml", text);
        let node = yaml::documents(&source).unwrap().remove(0);
        let mut reading = Reading::new(&source, CODES);
        read(&mut reading, &node);
        let line = |found: Diagnostic| format!("{} {}: {}", found.place.unwrap(), found.code, found.help.unwrap());
        reading.finish().into_iter().map(line).collect()
    }

    #[test]
    fn unknown_and_repeated_fields_are_told_apart() {
        let text = "matching: a\nmatchng: b\nx-own: c\nfuture_field: d\nmatching: e\n";
        let found = problems(text, |reading, node| {
            assert!(reading.map(node, "an entry", &["matching", "name"], Unknown::Ignored).is_some());
        });
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "a.yaml:2:1 E0112: did you mean `matching`?");
        assert!(found[1].starts_with("a.yaml:4:1 W0112"), "{found:?}");
        assert!(found[2].starts_with("a.yaml:5:1 E0111"), "{found:?}");
    }

    #[test]
    fn values_are_strict_and_reading_goes_on() {
        let found = problems("a: yes\nb: 'true'\nc: true\nd: 12\ne: -1\nf: [1]\n", |reading, node| {
            let mut boolean = |key| reading.boolean(node.get(key).unwrap(), key);
            assert_eq!([boolean("a"), boolean("b"), boolean("c")], [None, None, Some(true)]);
            assert_eq!(reading.integer(node.get("d").unwrap(), "d", 0_u8, 20), Some(12));
            assert_eq!(reading.integer(node.get("e").unwrap(), "e", 0_u8, 20), None);
            assert_eq!(reading.text(node.get("f").unwrap(), "f"), None);
            assert_eq!(reading.errors(), 4);
        });
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn nearly_right_words_are_recognised() {
        assert_eq!(nearest("readOnly", &["read_only"]), Some("read_only"));
        assert_eq!(nearest("nmae", &["name"]), Some("name"));
        assert_eq!(nearest("supervisors", &["supervisor"]), Some("supervisor"));
        assert_eq!(nearest("py", &["r", "python"]), None);
        assert_eq!(nearest("id", &["guid"]), None);
        assert_eq!(nearest("abc", &["abc-"]), Some("abc-"));
    }

    #[test]
    fn a_flood_of_problems_is_counted() {
        let text = (0..500).map(|n| format!("field{n}: 1")).collect::<Vec<_>>().join("\n");
        let found = problems(&text, |reading, node| {
            reading.map(node, "a thing", &["name"], Unknown::Refused);
            assert_eq!(reading.errors(), 500);
        });
        assert_eq!(found.len(), MOST_PROBLEMS);
        assert!(found.last().unwrap().contains("300 more problems"));
    }
}
