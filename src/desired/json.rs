//! JSON to the same tree as YAML, with places. Strict JSON: a trailing comma or a comment is an error with its place.
//!
//! serde_json tells no places of values, but `RawValue` borrows each value from the text, so that its place is the
//! distance between two slices. Every level is scanned again, hence the limits on size and depth.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::source_text::{Fault, SourceText};
use super::tree::{Key, Node, Style, Value};
use super::yaml::{MAX_DEPTH, SYNTAX, TOO_DEEP, TOO_MANY};
use crate::model::Span;

/// The largest JSON file, in bytes. A manifest lists up to 20,000 files with their checksums, hence more than YAML's.
pub const MAX_BYTES: usize = 8 << 20;
/// The most values in a file.
const MAX_NODES: usize = 500_000;

/// The value a JSON file holds.
pub fn document(source: &SourceText) -> Result<Node, Fault> {
    let text = source.as_str();
    // The whole text first, so that a syntax error has its place in the file and comes before everything else.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| syntax_fault(source, &error))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax_fault(source, &error))?;
    Reader { source, nodes: 0, at: 0, line: 1, column: 1 }.node(raw, 0)
}

/// Values are visited in the order of the text, so line and column are counted on from the last one: asking for each
/// anew would cost the square of the length of a file that is one line.
struct Reader<'a> {
    source: &'a SourceText,
    nodes: usize,
    at: usize,
    line: u32,
    column: u32,
}

impl Reader<'_> {
    fn node(&mut self, raw: &RawValue, depth: usize) -> Result<Node, Fault> {
        let text = raw.get();
        let start = text.as_ptr().addr().saturating_sub(self.source.as_str().as_ptr().addr());
        let span = self.span(start, text.len());
        let refuse = |code, message: String| Fault::from(self.source.error(code, span, message));
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(refuse(TOO_MANY, format!("expected at most {MAX_NODES} values in a file, found more")));
        }
        let opens = text.starts_with(['[', '{']);
        if opens && depth >= MAX_DEPTH {
            let message = format!("expected at most {MAX_DEPTH} lists and maps inside each other, found more");
            return Err(refuse(TOO_DEEP, message));
        }
        let broken = |error: serde_json::Error| refuse(SYNTAX, format!("expected JSON: {error}"));
        let value = match text.as_bytes().first() {
            Some(b'n') => Value::Null,
            Some(b'"') => Value::Scalar { text: serde_json::from_str(text).map_err(broken)?, style: Style::Quoted },
            Some(b'[') => {
                let items = serde_json::Deserializer::from_str(text).deserialize_seq(Items).map_err(broken)?;
                Value::Sequence(items.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            Some(b'{') => {
                let entries = serde_json::Deserializer::from_str(text).deserialize_map(Entries).map_err(broken)?;
                let entry = |(key, value)| self.entry(key, value, depth);
                Value::Mapping(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
            _ => Value::Scalar { text: text.to_owned(), style: Style::Plain },
        };
        Ok(Node { value, span })
    }

    fn span(&mut self, start: usize, length: usize) -> Span {
        for letter in self.source.as_str().get(self.at..start).unwrap_or_default().chars() {
            (self.line, self.column) = if letter == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.at = start;
        self.source.span_at(self.line, self.column, start, start + length)
    }

    fn entry(&mut self, key: &RawValue, value: &RawValue, depth: usize) -> Result<(Key, Node), Fault> {
        let key = self.node(key, depth)?;
        let text = key.text().unwrap_or_default().to_owned();
        Ok((Key { text, span: key.span }, self.node(value, depth + 1)?))
    }
}

/// The elements of an array, as slices of the text.
struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

/// The members of an object, repeated ones included, as slices of the text.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn syntax_fault(source: &SourceText, error: &serde_json::Error) -> Fault {
    let line = u32::try_from(error.line()).unwrap_or(u32::MAX).max(1);
    // serde_json counts columns in bytes, and names the column before the first for an error at a line's start.
    let start = source.line_start(line).unwrap_or_default();
    let end = start + source.line(line).map_or(0, str::len);
    let mut at = (start + error.column().saturating_sub(1)).min(end);
    while !source.as_str().is_char_boundary(at) {
        at -= 1;
    }
    let text = error.to_string();
    let closes = source.as_str().get(at..).is_some_and(|rest| rest.starts_with([']', '}']));
    let comma = closes && source.as_str().get(..at).is_some_and(|before| before.trim_end().ends_with(','));
    let problem = if comma { "trailing comma" } else { text.split(" at line ").next().unwrap_or_default() };
    let help = match problem {
        "trailing comma" => "remove the comma before the closing bracket",
        "EOF while parsing a value" if source.as_str().trim().is_empty() => "the file is empty; write or remove it",
        _ => "look at this line and the one above it: a missing comma, an unclosed quote, or a comment (JSON has none)",
    };
    source.error(SYNTAX, source.span(at, at + 1), format!("expected JSON: {problem}")).with_help(help).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, Fault> {
        document(&SourceText::new("a.json", text))
    }

    #[test]
    fn values_keep_their_text_and_place() {
        let node = read("{\n\t\"a\": 3.10,\n\t\"\u{fc}\": [true, \"\\ud83d\\ude00\", null]\n}\n").unwrap();
        let version = node.get("a").unwrap();
        assert_eq!((version.text(), version.span.line, version.span.column), (Some("3.10"), 2, 7));
        let list = node.get("\u{fc}").unwrap();
        assert_eq!((list.items().len(), list.span.line, list.span.column), (3, 3, 7));
        assert_eq!(list.items()[1].text(), Some("\u{1f600}"));
        assert!(list.items()[2].is_null());
    }

    #[test]
    fn a_repeated_key_is_kept_and_the_last_one_counts() {
        let node = read(r#"{"a": 1, "a": 2}"#).unwrap();
        assert_eq!(node.entries().len(), 2);
        assert_eq!(node.get("a").unwrap().text(), Some("2"));
    }

    #[test]
    fn errors_have_a_place_and_a_way_out() {
        for (text, place) in [
            ("", "a.json:1:1"),
            ("{\"a\": 1,}", "a.json:1:9"),
            ("{\"a\": 1\n// b\n}", "a.json:2:1"),
            ("[1 2]", "a.json:1:4"),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!((fault.code, fault.place.unwrap().to_string()), (SYNTAX, place.to_owned()), "{text:?}");
            assert!(fault.help.is_some());
        }
    }

    #[test]
    fn depth_is_limited() {
        assert!(read(&format!("{}{}", "[".repeat(64), "]".repeat(64))).is_ok());
        assert_eq!(read(&format!("{}{}", "[".repeat(65), "]".repeat(65))).unwrap_err().code, TOO_DEEP);
        assert_eq!(read(&"[".repeat(100_000)).unwrap_err().code, SYNTAX);
    }
}
