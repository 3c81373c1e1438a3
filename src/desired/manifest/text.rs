//! The text of a manifest: JSON to a value, and back to the place of a value. What the fields mean is not known here.
//!
//! Ten thousand manifests are read at a start, and almost none has a problem. So the text becomes a value in one pass
//! that leaves out what nothing reads, and places are looked for only when somebody asks for one.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::SYNTAX;
use crate::desired::source_text::{Fault, SourceText};
use crate::model::{Diagnostic, Place, Severity, Span};

/// The largest manifest, in bytes: one that lists 20,000 files and the DESCRIPTION of 500 packages has 4 MiB.
pub const MAX_BYTES: u64 = 8 << 20;

/// A manifest's text that was read successfully.
#[derive(Debug)]
pub struct ManifestText {
    file: Arc<str>,
    whole: String,
    /// Bytes before the text in the file: 3 for a byte order mark, else 0.
    skipped: usize,
    /// Whether a key stands twice in one object; then the last one counts, and the search for a place cannot stop early.
    pub has_duplicates: bool,
}

impl ManifestText {
    /// Reads the text, and the value it holds. Of `packages` only what identifies a package is kept.
    pub fn read(file: &Arc<str>, bytes: Vec<u8>) -> Result<(Self, Value), Fault> {
        let skipped = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let whole = String::from_utf8(bytes).map_err(|error| {
            let fault = SourceText::decode(file, error.as_bytes(), usize::MAX).err();
            let plain = || Diagnostic::error(SYNTAX, Place::file(Arc::clone(file)), "expected JSON in UTF-8").into();
            fault.unwrap_or_else(plain)
        })?;
        match parse(whole.get(skipped..).unwrap_or_default()) {
            Ok((value, has_duplicates)) => Ok((Self { file: Arc::clone(file), whole, skipped, has_duplicates }, value)),
            Err(error) => Err(syntax_fault(file, whole.as_bytes(), &error)),
        }
    }

    fn text(&self) -> &str {
        self.whole.get(self.skipped..).unwrap_or_default()
    }

    /// The place of the value at a path of keys; `None` where nothing stands.
    pub fn place(&self, path: &[&str]) -> Option<Place> {
        let mut scanner = Scanner { bytes: self.text().as_bytes(), at: 0 };
        let (start, end) = scanner.find(path, self.has_duplicates)?;
        Some(Place::at(Arc::clone(&self.file), self.span(start, end)))
    }

    /// The place of the value at a path, or of the closest thing around it that stands in the file.
    pub fn nearest_place(&self, path: &[&str]) -> Place {
        let closest = (1..=path.len()).rev().find_map(|length| self.place(path.get(..length)?));
        closest.unwrap_or_else(|| Place::file(Arc::clone(&self.file)))
    }

    /// A problem with the value at a path, with the line it stands in.
    pub fn problem(&self, severity: Severity, code: crate::model::Code, path: &[&str], message: String) -> Diagnostic {
        Diagnostic::new(severity, code, Some(self.nearest_place(path)), message).with_source(self.text())
    }

    /// The keys that stand twice in one object, each with the place of its last occurrence.
    pub fn duplicates(&self) -> Vec<(String, Place)> {
        let mut found = Vec::new();
        Scanner { bytes: self.text().as_bytes(), at: 0 }.duplicates(&mut found);
        let placed = found
            .into_iter()
            .map(|(key, start, end)| (key.into_owned(), Place::at(Arc::clone(&self.file), self.span(start, end))));
        placed.collect()
    }

    /// The line of a place, for a code frame.
    pub fn with_source(&self, diagnostic: Diagnostic) -> Diagnostic {
        diagnostic.with_source(self.text())
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let before = self.text().get(..start).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Span {
            line: narrow(line),
            column: narrow(column),
            start: narrow(start + self.skipped),
            end: narrow(end + self.skipped),
        }
    }
}

/// Why a text is not JSON, in words for people who did not write JSON by hand.
fn syntax_fault(file: &Arc<str>, bytes: &[u8], error: &serde_json::Error) -> Fault {
    let source = match SourceText::decode(file, bytes, usize::MAX) {
        Ok(source) => source,
        Err(fault) => return fault,
    };
    if source.as_str().trim().is_empty() {
        let found = if bytes.is_empty() { "an empty file" } else { "only white space" };
        return Diagnostic::error(SYNTAX, Place::file(Arc::clone(file)), format!("expected JSON, found {found}"))
            .with_help("write the manifest again with the tool that made it, or restore it from history")
            .into();
    }
    let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
    let start = source.line_start(line).unwrap_or_default();
    let mut at = (start + error.column().saturating_sub(1)).min(source.as_str().len());
    while !source.as_str().is_char_boundary(at) {
        at -= 1;
    }
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    let help = match reason {
        "trailing comma" => "remove the comma before the closing bracket",
        _ if reason.starts_with("EOF") => {
            "the file ends in the middle; write the manifest again, or restore it from history"
        }
        _ => "write the manifest again with the tool that made it",
    };
    source.error(SYNTAX, source.span(at, at), format!("expected JSON: {reason}")).with_help(help).into()
}

/// The value, and whether a key stands twice.
fn parse(text: &str) -> Result<(Value, bool), serde_json::Error> {
    let duplicates = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Part::Top.seed(&duplicates).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, duplicates.get()))
}

/// Where in the manifest a value stands, which decides what of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Top,
    Packages,
    Package,
    Description,
    Other,
}

impl Part {
    fn seed(self, duplicates: &Cell<bool>) -> Keep<'_> {
        Keep { part: self, duplicates }
    }

    /// What a key leads to; `None` where the value is not kept.
    fn below(self, key: &str) -> Option<Self> {
        match self {
            Self::Top => Some(if key == "packages" { Self::Packages } else { Self::Other }),
            Self::Packages => Some(Self::Package),
            Self::Package => Some(if key == "description" { Self::Description } else { Self::Other }),
            Self::Description => {
                let kept = matches!(key, "Package" | "Version" | "Repository" | "Source")
                    || key.starts_with("Remote")
                    || key.starts_with("Github");
                kept.then_some(Self::Other)
            }
            Self::Other => Some(Self::Other),
        }
    }
}

/// Builds a `Value`, leaving out what nothing reads.
#[derive(Clone, Copy)]
struct Keep<'a> {
    part: Part,
    duplicates: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Keep<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Part::Other.seed(self.duplicates))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(KeyText)? {
            match self.part.below(&key) {
                Some(part) => {
                    let value = entries.next_value_seed(part.seed(self.duplicates))?;
                    if map.insert(key.into_owned(), value).is_some() {
                        self.duplicates.set(true);
                    }
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(map))
    }
}

/// Reads a key without copying it, where it has no escapes.
struct KeyText;

impl<'de> DeserializeSeed<'de> for KeyText {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyText {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Walks over JSON that is known to be valid and nests at most 128 deep. Anything unexpected ends the walk with `None`.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The first and last byte of the value at a path. With `last`, the last of several equal keys.
    fn find(&mut self, path: &[&str], last: bool) -> Option<(usize, usize)> {
        self.space();
        let Some((wanted, rest)) = path.split_first() else {
            let start = self.at;
            self.skip()?;
            return Some((start, self.at));
        };
        if self.peek()? != b'{' {
            return None;
        }
        self.at += 1;
        let mut found = None;
        while let Some(key) = self.key()? {
            if key != *wanted {
                self.skip()?;
                continue;
            }
            let start = self.at;
            found = self.find(rest, last);
            if !last {
                return found;
            }
            self.at = start;
            self.skip()?;
        }
        found
    }

    /// The keys that stand twice in one object.
    fn duplicates(&mut self, found: &mut Vec<(Cow<'a, str>, usize, usize)>) -> Option<()> {
        self.space();
        match self.peek()? {
            b'{' => {
                self.at += 1;
                let mut seen: std::collections::BTreeMap<Cow<'a, str>, u32> = std::collections::BTreeMap::new();
                loop {
                    let before = self.at;
                    let Some(key) = self.key()? else { return Some(()) };
                    let count = seen.entry(key.clone()).or_insert(0);
                    *count += 1;
                    if *count == 2 {
                        let quote = before + self.bytes.get(before..)?.iter().position(|byte| *byte == b'"')?;
                        found.push((key, quote, quote + 1));
                    }
                    self.duplicates(found)?;
                }
            }
            b'[' => {
                self.at += 1;
                loop {
                    self.separator();
                    if self.peek()? == b']' {
                        self.at += 1;
                        return Some(());
                    }
                    self.duplicates(found)?;
                }
            }
            _ => self.skip(),
        }
    }

    /// The next key of an object, standing at its value afterwards; `Some(None)` after the closing brace.
    #[allow(clippy::option_option, reason = "the outer one ends the walk, the inner one the object")]
    fn key(&mut self) -> Option<Option<Cow<'a, str>>> {
        self.separator();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(None);
        }
        let start = self.at;
        self.skip_string()?;
        let text = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        let inner = text.get(1..text.len().checked_sub(1)?)?;
        let key =
            if inner.contains('\\') { Cow::Owned(serde_json::from_str(text).ok()?) } else { Cow::Borrowed(inner) };
        self.space();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        self.space();
        Some(Some(key))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn separator(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace() || byte == b',') {
            self.at += 1;
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// Steps over one value.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.separator();
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b':' => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let word = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b',' | b'}' | b']');
                    self.at += self.bytes.get(self.at..)?.iter().take_while(|byte| word(byte)).count();
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (ManifestText, Value) {
        ManifestText::read(&"m.json".into(), text.into()).unwrap()
    }

    fn place(text: &str, path: &[&str]) -> String {
        read(text).0.place(path).map(|place| place.to_string()).unwrap_or_default()
    }

    #[test]
    fn places_are_found_by_their_path() {
        let text = "{\"a\": {\"x\\\"y\": [1, {\"b\": 2}], \"é\": 3},\r\n  \"b\" : {\"a\": \"z\"}}";
        assert_eq!(place(text, &["b", "a"]), "m.json:2:15");
        assert_eq!(place(text, &["a", "x\"y"]), "m.json:1:16");
        assert_eq!(place(text, &["a", "é"]), "m.json:1:36");
        assert_eq!(place(text, &["a", "b"]), "");
        assert_eq!(place("\u{feff}{\"a\": 1}", &["a"]), "m.json:1:7");
        assert_eq!(read("\u{feff}{\"a\": 1}").0.place(&["a"]).unwrap().span.unwrap().start, 9);
    }

    #[test]
    fn of_equal_keys_the_last_one_counts() {
        let (text, value) = read("{\"a\": {\"b\": 1},\n \"a\": {\"b\": 2, \"c\": 1, \"c\": 2}}");
        assert_eq!(value["a"]["b"], 2);
        assert_eq!(text.place(&["a", "b"]).unwrap().to_string(), "m.json:2:13");
        let twice: Vec<String> = text.duplicates().into_iter().map(|(key, place)| format!("{key} {place}")).collect();
        assert_eq!(twice, ["a m.json:2:2", "c m.json:2:24"]);
    }

    #[test]
    fn of_packages_only_what_identifies_them_is_kept() {
        let (_, value) = read(
            r#"{"packages": {"a": {"Source": "CRAN", "description": {"Version": "1", "Authors": ["x"], "RemoteSha": "0"}}}}"#,
        );
        assert_eq!(
            value["packages"]["a"],
            serde_json::json!({"Source": "CRAN", "description": {"Version": "1", "RemoteSha": "0"}})
        );
    }

    #[test]
    fn what_is_no_json_says_where_and_why() {
        let fault = |bytes: &[u8]| {
            let fault = ManifestText::read(&"m.json".into(), bytes.to_vec()).unwrap_err();
            format!("{} {}: {}", fault.code, fault.place.unwrap(), fault.message)
        };
        assert_eq!(fault(b""), "E0301 m.json: expected JSON, found an empty file");
        assert_eq!(fault(b"{\n  \"a\": 1,\n}"), "E0301 m.json:3:1: expected JSON: trailing comma");
        assert!(fault(b"{\n<<<<<<< HEAD\n\"a\": 1\n=======\n>>>>>>> x\n}").starts_with("E0106 m.json:2:1"));
        assert!(fault(b"\xff\xfe{").starts_with("E0101"));
        assert!(fault("[".repeat(5000).as_bytes()).contains("recursion limit"));
    }
}
