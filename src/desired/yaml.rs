//! YAML to a tree, and to our own types: the only file that knows the YAML crate. What the fields mean is not known here.
//!
//! Files from the repository become a [`Node`] tree built from the parser's events, because deserializing decides types
//! too early: `3.10` becomes the number 3.1 wherever serde buffers a value, and the first problem ends the reading.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span as Range, StrInput, Tag,
};

use super::source_text::{Fault, SourceText, quoted};
use super::tree::{Key, Node, Style, Value};
use crate::model::{Code, Diagnostic, Span};

/// The largest YAML file, in bytes (plan.md, "The repository is not trusted").
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of lists and maps (plan.md, as above).
pub const MAX_DEPTH: usize = 64;
/// The most values in a file, those that aliases repeat included. A full file of 1 MiB holds fewer.
const MAX_NODES: usize = 300_000;
/// The most aliases in a file: people use a handful, bombs thousands.
const MAX_ALIASES: usize = 100;
/// The most values that aliases may repeat: enough for shared blocks, too few for a bomb.
const MAX_REPEATED_NODES: usize = 10_000;

/// The text is not YAML or not JSON.
pub const SYNTAX: Code = Code::new("E0103");
/// Lists and maps nest too deeply.
pub const TOO_DEEP: Code = Code::new("E0104");
/// The file unfolds into more than is read.
pub const TOO_MANY: Code = Code::new("E0105");
/// YAML that is valid and that we do not read: application tags, keys that are not text.
pub const NOT_READ: Code = Code::new("E0107");

/// A text that our types could not be read from, or a value that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// Reading failed.
    #[error("{message}")]
    Read {
        /// Place and problem, without the text itself, which may hold a secret.
        message: String,
    },
    /// Writing failed.
    #[error("a value cannot be written as YAML: {message}")]
    Write {
        /// The problem.
        message: String,
    },
}

/// Reads one of our own types from a trusted file, such as the operator's configuration: strict booleans, budgets.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let options = serde_yaml::options! {
        strict_booleans: true,
        budget: serde_yaml::budget! { max_documents: 1, max_aliases: MAX_ALIASES, max_nodes: MAX_NODES, max_depth: MAX_DEPTH },
    };
    serde_yaml::from_str_with_options(text, options)
        .map_err(|error| YamlError::Read { message: error.without_snippet().to_string() })
}

/// Writes a value as YAML, such as a file that `wharf init` or `wharf import` makes.
pub fn to_string(value: &impl Serialize) -> Result<String, YamlError> {
    serde_yaml::to_string(value).map_err(|error| YamlError::Write { message: error.to_string() })
}

/// The documents of a YAML file, in order. Empty documents are left out.
pub fn documents(source: &SourceText) -> Result<Vec<Node>, Fault> {
    Builder::new(source, source.as_str(), Shift::None).documents()
}

/// The documents of YAML text that stands in a scalar of another file (a ConfigMap's key, Helm values in a string).
///
/// The places are those of the outer file: exact for a literal block, whose lines are lines of the file; the whole
/// scalar for quoted and folded text.
pub fn nested_documents(source: &SourceText, node: &Node) -> Result<Vec<Node>, Fault> {
    let inner = SourceText::new(source.file().clone(), node.text().unwrap_or_default());
    let shift = literal_shift(source, node, &inner).unwrap_or(Shift::Fixed(node.span));
    Builder::new(source, inner.as_str(), shift).documents()
}

/// Where places of a text stand in the file.
#[derive(Debug, Clone, Copy)]
enum Shift {
    /// The text is the file.
    None,
    /// Line n of the text is line n + `lines` of the file, `indent` spaces to the right.
    Lines { lines: u32, indent: usize },
    /// Nothing better is known than the whole.
    Fixed(Span),
}

/// How the lines of a literal block stand in the file; `None` if this is no such block.
fn literal_shift(source: &SourceText, node: &Node, inner: &SourceText) -> Option<Shift> {
    let Value::Scalar { style: Style::Literal, .. } = node.value else { return None };
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let (number, line) =
        (1_u32..).map_while(|n| Some((n, inner.line(n)?))).find(|(_, line)| !line.trim().is_empty())?;
    // The parser gives the place of the text or of the `|` before it, so the first line is looked for from there.
    let outer = (node.span.line..=node.span.line + number).find(|outer| {
        source.line(*outer).is_some_and(|found| found.trim_start_matches(' ') == line.trim_start_matches(' '))
    })?;
    let indent = spaces(source.line(outer)?).checked_sub(spaces(line))?;
    Some(Shift::Lines { lines: outer.checked_sub(number)?, indent })
}

/// An anchor whose value is complete, and what a copy of it costs.
struct Anchored {
    node: Node,
    nodes: usize,
}

/// Builds the tree of one text.
struct Builder<'a> {
    source: &'a SourceText,
    shift: Shift,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    aliases: usize,
    repeated: usize,
    repeated_bytes: usize,
    /// Values kept for aliases; anchors inside each other keep theirs again.
    kept: usize,
}

impl<'a> Builder<'a> {
    fn new(source: &'a SourceText, text: &'a str, shift: Shift) -> Self {
        let mut options = serde_yaml::granit_parser::options! {
            flow_nesting_limit: MAX_DEPTH + 1,
            block_nesting_limit: MAX_DEPTH + 1,
        };
        options.set_emit_comments(false);
        let events = Parser::new_from_str_with_options(text, options);
        let anchors = HashMap::new();
        Self { source, shift, events, anchors, nodes: 0, aliases: 0, repeated: 0, repeated_bytes: 0, kept: 0 }
    }

    fn documents(mut self) -> Result<Vec<Node>, Fault> {
        let mut documents = Vec::new();
        while let Some(next) = self.next()? {
            match next {
                (Event::StreamStart | Event::StreamEnd | Event::DocumentEnd, _) => {}
                (Event::DocumentStart(..), _) => self.anchors.clear(),
                (event, range) => {
                    let node = self.node(event, range, 0)?;
                    if !node.is_null() {
                        documents.push(node);
                    }
                }
            }
        }
        Ok(documents)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Range)>, Fault> {
        self.events.next().transpose().map_err(|error| self.scan_fault(&error))
    }

    /// The next event inside a list or map; the parser never ends one early without an error.
    fn inside(&mut self, opened: Range) -> Result<(Event<'a>, Range), Fault> {
        self.next()?.ok_or_else(|| self.fault(SYNTAX, self.span(opened), "this list or map does not end"))
    }

    fn node(&mut self, event: Event<'a>, range: Range, depth: usize) -> Result<Node, Fault> {
        self.count(range)?;
        match event {
            Event::Alias(anchor) => self.alias(anchor, range, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let style = self.style(style, tag.as_deref(), range)?;
                let null = style == Style::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar { text: text.into_owned(), style } };
                let span = self.span(range);
                self.anchored(anchor, Node { value, span })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.deeper(depth, range)?;
                self.style(ScalarStyle::Plain, tag.as_deref(), range)?;
                let node = self.sequence(range, depth + 1)?;
                self.anchored(anchor, node)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.deeper(depth, range)?;
                self.style(ScalarStyle::Plain, tag.as_deref(), range)?;
                let node = self.mapping(range, depth + 1)?;
                self.anchored(anchor, node)
            }
            _ => Err(self.fault(SYNTAX, self.span(range), "expected a value")),
        }
    }

    fn sequence(&mut self, range: Range, depth: usize) -> Result<Node, Fault> {
        let mut items = Vec::new();
        let mut span = self.span(range);
        loop {
            match self.inside(range)? {
                (Event::SequenceEnd, _) => return Ok(Node { value: Value::Sequence(items), span }),
                (event, range) => items.push(self.node(event, range, depth)?),
            }
            span.end = items.last().map_or(span.end, |item| item.span.end.max(span.end));
        }
    }

    fn mapping(&mut self, range: Range, depth: usize) -> Result<Node, Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged = Vec::new();
        let mut span = self.span(range);
        loop {
            let (event, place) = self.inside(range)?;
            if matches!(event, Event::MappingEnd) {
                self.merge(&mut entries, merged)?;
                return Ok(Node { value: Value::Mapping(entries), span });
            }
            let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let written = if let Event::Scalar(text, ..) = &event { text.to_string() } else { String::new() };
            let key = self.node(event, place, depth)?;
            let text = match key.value {
                Value::Scalar { text, .. } => text,
                // `null:` and `~:` are written as text, and mean nothing else where keys are names.
                Value::Null => written,
                Value::Sequence(_) | Value::Mapping(_) => {
                    return Err(self.fault(NOT_READ, key.span, "expected text as a key, found a list or a map"));
                }
            };
            let (event, place) = self.inside(range)?;
            let value = self.node(event, place, depth)?;
            span.end = span.end.max(value.span.end);
            if plain && text == "<<" {
                merged.push(value);
            } else {
                entries.push((Key { text, span: key.span }, value));
            }
        }
    }

    /// `<<: *base`, which Helm and most tools read: what the map does not say itself is taken from the base.
    fn merge(&self, entries: &mut Vec<(Key, Node)>, merged: Vec<Node>) -> Result<(), Fault> {
        if merged.is_empty() {
            return Ok(());
        }
        let mut known: HashSet<String> = entries.iter().map(|(key, _)| key.text.clone()).collect();
        for base in merged {
            let bases = if let Value::Sequence(bases) = base.value { bases } else { vec![base] };
            for base in bases {
                let Value::Mapping(inherited) = base.value else {
                    return Err(self.fault(
                        NOT_READ,
                        base.span,
                        "expected a map to merge after <<:, found something else",
                    ));
                };
                entries.extend(inherited.into_iter().filter(|(key, _)| known.insert(key.text.clone())));
            }
        }
        Ok(())
    }

    /// A copy of what the alias names, within the budget. Places inside stay those of the original, which is what
    /// somebody would have to edit; the copy as a whole stands where the alias stands.
    fn alias(&mut self, anchor: usize, range: Range, depth: usize) -> Result<Node, Fault> {
        let span = self.span(range);
        let Some(found) = self.anchors.get(&anchor) else {
            return Err(self.fault(TOO_MANY, span, "this alias repeats a value that it is itself a part of"));
        };
        let weight = found.node.weight();
        self.aliases += 1;
        self.repeated += found.nodes;
        self.repeated_bytes += weight.bytes;
        if depth + weight.height > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        if self.aliases > MAX_ALIASES || self.repeated > MAX_REPEATED_NODES || self.repeated_bytes > MAX_BYTES {
            let message = format!(
                "expected at most {MAX_ALIASES} aliases that repeat at most {MAX_REPEATED_NODES} values, found more"
            );
            return Err(self.fault(TOO_MANY, span, message));
        }
        Ok(Node { span, ..found.node.clone() })
    }

    /// Remembers a complete value that has an anchor (0 is none).
    fn anchored(&mut self, anchor: usize, node: Node) -> Result<Node, Fault> {
        if anchor > 0 {
            let nodes = node.weight().nodes;
            self.kept += nodes;
            if self.kept > MAX_NODES {
                return Err(self.fault(TOO_MANY, node.span, "expected few anchors inside each other, found many"));
            }
            self.anchors.insert(anchor, Anchored { nodes, node: node.clone() });
        }
        Ok(node)
    }

    /// YAML's own tags say what we decide by field; `!!str` is a way to quote. Others belong to some application.
    fn style(&self, style: ScalarStyle, tag: Option<&Tag>, range: Range) -> Result<Style, Fault> {
        let written = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
            _ => Style::Quoted,
        };
        let Some(tag) = tag else { return Ok(written) };
        match tag.core_suffix() {
            Some("str") if written == Style::Plain => Ok(Style::Quoted),
            Some("str" | "int" | "float" | "bool" | "null" | "seq" | "map" | "merge") => Ok(written),
            _ if tag.original() == "!" => Ok(Style::Quoted),
            _ => {
                let message = format!("expected plain YAML, found the tag {}", quoted(&tag.original()));
                Err(self.fault(NOT_READ, self.span(range), message))
            }
        }
    }

    fn deeper(&self, depth: usize, range: Range) -> Result<(), Fault> {
        if depth < MAX_DEPTH { Ok(()) } else { Err(self.too_deep(self.span(range))) }
    }

    fn too_deep(&self, span: Span) -> Fault {
        let message = format!("expected at most {MAX_DEPTH} lists and maps inside each other, found more");
        self.fault(TOO_DEEP, span, message)
    }

    fn count(&mut self, range: Range) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes + self.repeated <= MAX_NODES {
            return Ok(());
        }
        Err(self.fault(
            TOO_MANY,
            self.span(range),
            format!("expected at most {MAX_NODES} values in a file, found more"),
        ))
    }

    fn scan_fault(&self, error: &ScanError) -> Fault {
        let span = self.span(Range::empty(*error.marker()));
        let text = error.info();
        let problem = text.lines().next().unwrap_or("the text ends or turns in an unexpected place");
        let help = match error.kind() {
            ErrorKind::RecursionLimitExceeded => return self.too_deep(span),
            ErrorKind::UnknownAnchor => "define the anchor above its first use: `name: &anchor ...`",
            // The parser has half a dozen errors about tabs, for one mistake.
            _ if problem.contains("tab") => "indent with spaces; YAML does not allow tabs there",
            _ => "look at this line and the ones above it: indentation, an unclosed quote or a missing colon",
        };
        Diagnostic { help: Some(help.to_owned()), ..*self.fault(SYNTAX, span, format!("expected YAML: {problem}")) }
            .into()
    }

    fn fault(&self, code: Code, span: Span, message: impl Into<String>) -> Fault {
        self.source.error(code, span, message).into()
    }

    /// The place in the file of a range of the text.
    fn span(&self, range: Range) -> Span {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let bytes = |marker: &Marker| marker.byte_offset().unwrap_or_default();
        let (line, column) = (number(range.start.line()), number(range.start.col()));
        let (start, end) = (bytes(&range.start), bytes(&range.end));
        match self.shift {
            Shift::None => self.source.span_at(line, column + 1, start, end),
            Shift::Fixed(span) => span,
            Shift::Lines { lines, indent } => {
                let line = line + lines;
                // Text before a value on its line is nearly always ASCII; where it is not, the line and column, which
                // are what people see, are right all the same.
                let begin = self.source.line_start(line).unwrap_or_default() + indent + range.start.col();
                self.source.span_at(line, column + number(indent) + 1, begin, begin + end.saturating_sub(start))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceText {
        SourceText::decode("a.yaml", text.as_bytes(), MAX_BYTES).unwrap()
    }

    fn read(text: &str) -> Result<Vec<Node>, Fault> {
        documents(&source(text))
    }

    fn place(node: &Node) -> (u32, u32) {
        (node.span.line, node.span.column)
    }

    #[test]
    fn nothing_is_typed() {
        let all = read("a: 3.10\nb: no\nc: 1e3\nd: '3.10'\ne: 0x10\nf:\ng: !!str 1\nh: ''\n").unwrap();
        let text = |key: &str| all[0].get(key).and_then(Node::text);
        assert_eq!([text("a"), text("b"), text("c"), text("e")], [Some("3.10"), Some("no"), Some("1e3"), Some("0x10")]);
        assert_eq!(all[0].get("f"), None);
        assert_eq!(text("h"), Some(""));
        let style = |key: &str| match all[0].get(key).unwrap().value {
            Value::Scalar { style, .. } => style,
            _ => panic!("{key} is a scalar"),
        };
        assert_eq!([style("a"), style("d"), style("g")], [Style::Plain, Style::Quoted, Style::Quoted]);
    }

    #[test]
    fn places_are_exact() {
        let all = read("\u{feff}a:\r\n  - \u{fc}: [1, {x: y}]\r\n").unwrap();
        let inner = &all[0].get("a").unwrap().items()[0];
        assert_eq!(place(inner), (2, 5));
        let y = inner.get("\u{fc}").unwrap().items()[1].get("x").unwrap();
        assert_eq!((place(y), y.span.start, y.span.end), ((2, 16), 23, 24));
    }

    #[test]
    fn documents_are_read_in_order() {
        let all = read("---\na: 1\n---\n---\n# nothing\n---\na: 2\n...\n").unwrap();
        let texts: Vec<_> = all.iter().map(|node| node.get("a").and_then(Node::text)).collect();
        assert_eq!(texts, [Some("1"), Some("2")]);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn repeated_keys_are_kept() {
        let all = read("a: 1\nb: 2\na: 3\n").unwrap();
        assert_eq!(all[0].entries().len(), 3);
        assert_eq!(all[0].get("a").and_then(Node::text), Some("3"));
    }

    #[test]
    fn shared_blocks_are_read_and_bombs_are_not() {
        let all = read("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\ncopy: *b\n").unwrap();
        assert_eq!(all[0].at(&["use", "x"]).and_then(Node::text), Some("1"));
        assert_eq!(all[0].at(&["use", "y"]).and_then(Node::text), Some("3"));
        assert_eq!(place(all[0].get("copy").unwrap()), (5, 7));

        let nine = |level: usize| vec![format!("*a{level}"); 9].join(", ");
        let levels = (1..12).map(|level| format!("a{level}: &a{level} [{}]", nine(level - 1)));
        let bomb: Vec<_> = std::iter::once("a0: &a0 [x, x]".to_owned()).chain(levels).collect();
        assert_eq!(read(&bomb.join("\n")).unwrap_err().code, TOO_MANY);
        assert_eq!(read("a: &a [*a]\n").unwrap_err().code, TOO_MANY);
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 90].join(", "));
        assert_eq!(read(&long).unwrap_err().code, TOO_MANY);
    }

    #[test]
    fn nesting_is_limited_in_every_spelling() {
        let flow = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&flow(MAX_DEPTH)).is_ok());
        assert_eq!(read(&flow(MAX_DEPTH + 1)).unwrap_err().code, TOO_DEEP);
        assert_eq!(read(&"[".repeat(100_000)).unwrap_err().code, TOO_DEEP);
        assert_eq!(read(&"- ".repeat(100_000)).unwrap_err().code, TOO_DEEP);
        let block: Vec<_> = (0..70).map(|depth| " ".repeat(depth) + "a:").collect();
        assert_eq!(read(&block.join("\n")).unwrap_err().code, TOO_DEEP);
        let levels = (1..10).map(|level| format!("a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]", level - 1));
        let chain: Vec<_> = std::iter::once("a0: &a0 [[[[[[[[[[x]]]]]]]]]]".to_owned()).chain(levels).collect();
        assert_eq!(read(&chain.join("\n")).unwrap_err().code, TOO_DEEP);
    }

    #[test]
    fn what_is_not_read_says_so() {
        let vault = read("a: !vault x\n").unwrap_err();
        assert_eq!((vault.code, vault.place.unwrap().to_string()), (NOT_READ, "a.yaml:1:11".to_owned()));
        assert_eq!(read("? [a]\n: b\n").unwrap_err().code, NOT_READ);
        let tab = read("a:\n\tb: 1\n").unwrap_err();
        assert_eq!((tab.code, tab.help.unwrap().contains("spaces")), (SYNTAX, true));
        let open = read("a: 'b\nc: d\n").unwrap_err();
        assert_eq!(open.code, SYNTAX);
        assert_eq!(read("a: *b\n").unwrap_err().code, SYNTAX);
    }

    #[test]
    fn text_in_text_keeps_the_places_of_the_file() {
        let outer = source("x:\n  y: |  # a comment\n\n    a: 1\n    b:\n      - c: d\n  z: \"a: 1\"\n");
        let all = documents(&outer).unwrap();
        let inner = nested_documents(&outer, all[0].at(&["x", "y"]).unwrap()).unwrap();
        assert_eq!(place(inner[0].get("a").unwrap()), (4, 8));
        let c = inner[0].get("b").unwrap().items()[0].get("c").unwrap();
        assert_eq!(place(c), (6, 12));
        assert_eq!(outer.as_str().get(c.span.start as usize..c.span.end as usize), Some("d"));
        let quoted = nested_documents(&outer, all[0].at(&["x", "z"]).unwrap()).unwrap();
        assert_eq!(place(quoted[0].get("a").unwrap()), (7, 6));
        let bad = source("y: |\n  a: 1\n  b: [\n");
        let all = documents(&bad).unwrap();
        let fault = nested_documents(&bad, all[0].get("y").unwrap()).unwrap_err();
        assert_eq!(fault.place.unwrap().span.unwrap().line, 3);
    }

    #[test]
    fn our_own_types_are_read_strictly() {
        #[derive(serde::Deserialize, serde::Serialize, Debug, PartialEq)]
        #[serde(deny_unknown_fields)]
        struct Settings {
            name: String,
            on: bool,
        }
        let settings = Settings { name: "a".to_owned(), on: true };
        assert_eq!(from_str::<Settings>("name: a\non: true\n").unwrap(), settings);
        assert_eq!(from_str::<Settings>(&to_string(&settings).unwrap()).unwrap(), settings);
        let error = from_str::<Settings>("name: a\non: yes\n").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(from_str::<Settings>("name: a\non: true\nother: 1\n").is_err());
    }
}
