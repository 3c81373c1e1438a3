//! The tree that YAML and JSON files become: text, lists and maps, each with its place. No typing: `3.10` stays `3.10`.

use crate::model::Span;

/// How a scalar was written, which is all that tells text from numbers and booleans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: `3.10`, `true`, `nearest`; numbers and booleans of JSON.
    Plain,
    /// In quotes; every string of JSON.
    Quoted,
    /// A literal block (`|`): its lines are the lines of the file.
    Literal,
    /// A folded block (`>`).
    Folded,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// Text, a number or a boolean, as it was written.
    Scalar {
        /// The text; escapes are resolved, types are not.
        text: String,
        /// How it was written.
        style: Style,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A map in the order of the file. A key that stands there twice is kept twice.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands: from its first character to its last.
    pub span: Span,
}

impl Node {
    /// The value of a key, the last one if the key stands there twice. `None` if this is no map, or the value is null:
    /// an absent and an empty value mean the same everywhere.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().rev().find(|(found, _)| found.text == key);
        found.map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The value at a path of keys; `None` as soon as one is missing.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a map; empty for everything else.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; empty for everything else.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether nothing stands here.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Whether this is a map.
    pub fn is_mapping(&self) -> bool {
        matches!(self.value, Value::Mapping(_))
    }

    /// Whether this is a list.
    pub fn is_sequence(&self) -> bool {
        matches!(self.value, Value::Sequence(_))
    }

    /// What it is, for "expected ..., found ...".
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a map",
        }
    }

    /// How many nodes this is, how many bytes of text they hold, and how deep they nest: what copying it would cost.
    pub fn weight(&self) -> Weight {
        let mut total = Weight { nodes: 1, bytes: 0, height: 0 };
        match &self.value {
            Value::Null => {}
            Value::Scalar { text, .. } => total.bytes = text.len(),
            Value::Sequence(items) => items.iter().for_each(|item| total.add(item.weight())),
            Value::Mapping(entries) => entries.iter().for_each(|(key, value)| {
                total.bytes += key.text.len();
                total.add(value.weight());
            }),
        }
        total
    }
}

/// The size of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Nodes, itself included.
    pub nodes: usize,
    /// Bytes of text and keys.
    pub bytes: usize,
    /// Lists and maps on the longest way down.
    pub height: usize,
}

impl Weight {
    fn add(&mut self, child: Self) {
        self.nodes += child.nodes;
        self.bytes += child.bytes;
        self.height = self.height.max(child.height + 1);
    }
}
