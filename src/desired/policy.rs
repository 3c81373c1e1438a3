//! wharf.yaml: the policy that a repository asks for (formats.md). What the operator allows of it: `ceiling`.

mod packages;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::content_yaml;
use super::glob::Glob;
use super::reading::{Codes, Reading, Unknown};
use super::source_text::SourceText;
use super::tree::Node;
use super::yaml;
use crate::model::{
    Code, Diagnostic, Excerpt, ItemName, Language, Limits, Memory, Place, Policy, SecretRule, Selection, Strategy,
};

/// A value of another kind than expected.
const KIND: Code = Code::new("E0501");
/// An unknown setting.
const UNKNOWN: Code = Code::new("E0502");
/// An unknown setting in `defaults`, where the form is that of content.yaml.
const IGNORED: Code = Code::new("W0502");
/// A setting that stands there twice.
const REPEATED: Code = Code::new("E0503");
/// A value that is not in the form its setting needs.
const FORM: Code = Code::new("E0504");
/// A setting that is recognised and not enforced.
const NOT_ENFORCED: Code = Code::new("E0505");
/// A setting that cannot be a default for all items.
const NO_DEFAULT: Code = Code::new("E0507");

/// An unknown setting of a policy is an error, however it is spelt: to ignore a rule would be to break it.
const CODES: Codes = Codes { kind: KIND, repeated: REPEATED, unknown: UNKNOWN, ignored: IGNORED };

/// The most rules in one list.
const MOST_RULES: usize = 1_000;

const FIELDS: [&str; 19] = [
    "matching",
    "selection",
    "content",
    "root_item",
    "defaults",
    "limits",
    "images",
    "packages",
    "secrets",
    "service_accounts",
    "deletions",
    "moves",
    "drift",
    "image_pull_secrets",
    "node_selector",
    "tolerations",
    "pod",
    "revert",
    "signers",
];

/// Settings of the format that this version does not enforce. A version that enforces one deletes its line and reads it.
const UNENFORCED: [(&str, &str); 6] = [
    ("image_pull_secrets", "jobs run on this host, not in pods"),
    ("node_selector", "jobs run on this host, not in pods"),
    ("tolerations", "jobs run on this host, not in pods"),
    ("pod", "jobs run on this host, not in pods"),
    ("revert", "a revision that does not become ready is shown, not put back"),
    ("signers", "signatures of commits are not checked"),
];

/// What a wharf.yaml says.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyFile {
    /// The policy; `None` when the file has an error, and then the commit is not applied.
    pub policy: Option<Policy>,
    /// Where each setting stands that the operator may limit.
    pub places: Places,
    /// Every problem.
    pub diagnostics: Vec<Diagnostic>,
}

impl PolicyFile {
    /// The policy of a repository without a wharf.yaml: all defaults.
    pub fn absent() -> Self {
        Self { policy: Some(Policy::default()), places: Places::default(), diagnostics: Vec::new() }
    }
}

/// Where settings stand, by their path (`limits.cpu`; elements of lists as `images.allow.0`), with their lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places(BTreeMap<String, (Place, Option<Excerpt>)>);

impl Places {
    /// Whether the file has a setting.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// An error at a setting; at none, if the file does not have it.
    pub fn error(&self, path: &str, code: &Code, message: String, help: impl Into<String>) -> Diagnostic {
        let (place, excerpt) = self.0.get(path).cloned().map_or((None, None), |(place, line)| (Some(place), line));
        let severity = crate::model::Severity::Error;
        Diagnostic { excerpt, ..Diagnostic::new(severity, code.clone(), place, message) }.with_help(help)
    }
}

/// Reads a wharf.yaml.
pub fn read_policy(path: &str, bytes: &[u8]) -> PolicyFile {
    let broken = |diagnostics| PolicyFile { policy: None, places: Places::default(), diagnostics };
    let source = match SourceText::decode(path, bytes, yaml::MAX_BYTES) {
        Ok(source) => source,
        Err(fault) => return broken(vec![*fault]),
    };
    let documents = match yaml::documents(&source) {
        Ok(documents) => documents,
        Err(fault) => return broken(vec![*fault]),
    };
    let mut reader =
        PolicyReader { reading: Reading::new(&source, CODES), policy: Policy::default(), places: Places::default() };
    if let Some(node) = documents.first() {
        reader.read(node);
    }
    if let Some(second) = documents.get(1) {
        let message = "expected one document in this file, found more";
        reader.reading.error(&KIND, second.span, message, "remove what follows the line with ---");
    }
    let PolicyReader { reading, policy, places } = reader;
    PolicyFile { policy: (reading.errors() == 0).then_some(policy), places, diagnostics: reading.finish() }
}

struct PolicyReader<'a> {
    reading: Reading<'a>,
    policy: Policy,
    places: Places,
}

impl PolicyReader<'_> {
    fn read(&mut self, node: &Node) {
        if self.reading.map(node, "wharf.yaml", &FIELDS, Unknown::Refused).is_none() {
            return;
        }
        for (key, value) in node.entries().iter().filter(|(_, value)| !value.is_null()) {
            match key.text.as_str() {
                "matching" => self.matching(value),
                "selection" => self.selection(value),
                "content" => self.content(value),
                "root_item" => self.policy.root_item = self.root_item(value),
                "defaults" => self.defaults(value),
                "limits" => self.limits(value),
                "images" => self.images(value),
                "packages" => packages::read(self, value),
                "secrets" => self.secrets(value),
                "service_accounts" => self.policy.service_accounts = self.words(value, "service_accounts"),
                "deletions" => self.deletions(value),
                "moves" => self.moves(value),
                "drift" => self.drift(value),
                name => self.unenforced(name, value),
            }
        }
    }

    /// The settings that this version knows and does not keep.
    fn unenforced(&mut self, name: &str, value: &Node) {
        let Some((_, reason)) = UNENFORCED.iter().find(|(known, _)| *known == name) else { return };
        let off = name == "revert" && matches!(value.text(), Some("off" | "false"));
        // `pod: {base: ...}` is the one of them that has a part of its own to name.
        let (name, value) = match value.get("base") {
            Some(base) if name == "pod" => ("pod.base", base),
            _ => (name, value),
        };
        if !off {
            self.refuse_unenforced(name, value, reason);
        }
    }

    /// A setting that is not enforced is an error, unless it asks for nothing. (An empty list of signers asks for much.)
    fn refuse_unenforced(&mut self, name: &str, value: &Node, reason: &str) {
        let empty = value.text().is_none() && value.entries().is_empty() && value.items().is_empty();
        if empty && name != "signers" {
            return;
        }
        let message = format!("wharf.yaml sets {name}, which this version reads but does not enforce: {reason}");
        let help = "remove it, or run a version that enforces it; until then the commit is not applied, \
                    since a rule that is not kept is worse than none";
        self.reading.error(&NOT_ENFORCED, value.span, message, help);
    }

    /// A map below a setting, whose fields are all ours.
    fn map<'n>(&mut self, node: &'n Node, name: &str, known: &[&str]) -> Option<&'n Node> {
        self.reading.map(node, &format!("`{name}`"), known, Unknown::Refused)
    }

    /// Remembers where a setting stands that the operator may limit.
    fn place(&mut self, path: impl Into<String>, node: &Node) {
        let source = self.reading.source();
        self.places.0.insert(path.into(), (source.place(node.span), source.excerpt(node.span)));
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, node: &Node, name: &str) -> Option<T> {
        self.reading.parsed(node, &FORM, &format!("`{name}`"), "correct the value, or remove the line for the default")
    }

    fn matching(&mut self, node: &Node) {
        let languages = [Language::R, Language::Python, Language::Quarto, Language::Nodejs];
        if self.map(node, "matching", &languages.map(Language::key)).is_none() {
            return;
        }
        let words = Strategy::ALL.map(|strategy| (strategy.key(), strategy));
        for language in languages {
            let Some(value) = node.get(language.key()) else { continue };
            let what = format!("`matching.{}`", language.key());
            if let Some(strategy) = self.reading.choice(value, &FORM, &what, &words) {
                self.policy.matching.insert(language, strategy);
            }
        }
    }

    fn selection(&mut self, node: &Node) {
        let words = [("sticky", Selection::Sticky), ("follow", Selection::Follow)];
        self.policy.selection = self.reading.choice(node, &FORM, "`selection`", &words).unwrap_or_default();
    }

    fn drift(&mut self, node: &Node) {
        let words = [("correct", false), ("detect", true)];
        self.policy.detect_only = self.reading.choice(node, &FORM, "`drift`", &words).unwrap_or_default();
    }

    fn content(&mut self, node: &Node) {
        let Some(paths) = self.map(node, "content", &["paths", "root_item"]) else { return };
        if let Some(name) = paths.get("root_item") {
            self.policy.root_item = self.root_item(name);
        }
        if let Some(paths) = paths.get("paths") {
            self.policy.content_paths = Some(self.globs(paths, "content.paths"));
        }
    }

    fn root_item(&mut self, node: &Node) -> Option<String> {
        self.parsed::<ItemName>(node, "root_item").map(|name| name.to_string())
    }

    fn defaults(&mut self, node: &Node) {
        let placed = content_yaml::fields(&mut self.reading, node, "`defaults`");
        if let Some(id) = node.get("id") {
            let message = "expected no `id` in `defaults`, found one: every item would have the same identity";
            self.reading.error(&NO_DEFAULT, id.span, message, "write it in the content.yaml of the item");
        }
        self.policy.defaults = placed.settings;
    }

    fn limits(&mut self, node: &Node) {
        let known = ["processes", "cpu", "memory", "file_size", "file_count", "total"];
        if self.map(node, "limits", &known).is_none() {
            return;
        }
        self.policy.limits = self.limit_fields(node, "limits");
        let total = node.get("total");
        if let Some(total) = total.filter(|total| self.map(total, "limits.total", &known[..3]).is_some()) {
            self.policy.total = self.limit_fields(total, "limits.total");
        }
    }

    fn limit_fields(&mut self, node: &Node, name: &str) -> Limits {
        let mut found = |key: &str| {
            let value = node.get(key)?;
            self.place(format!("{name}.{key}"), value);
            Some((value, format!("{name}.{key}")))
        };
        let [processes, cpu, memory] = ["processes", "cpu", "memory"].map(&mut found);
        let [file_size, file_count] = ["file_size", "file_count"].map(&mut found);
        Limits {
            processes: processes
                .and_then(|(node, name)| self.reading.integer(node, &format!("`{name}`"), 0, 1_000_000)),
            cpu: cpu.and_then(|(node, name)| self.parsed(node, &name)),
            memory: memory.and_then(|(node, name)| self.parsed(node, &name)),
            file_size: file_size.and_then(|(node, name)| self.parsed::<Memory>(node, &name)).map(|size| size.0),
            file_count: file_count
                .and_then(|(node, name)| self.reading.integer(node, &format!("`{name}`"), 0, 1_000_000_000)),
        }
    }

    fn images(&mut self, node: &Node) {
        if self.map(node, "images", &["allow", "require_digest", "verify"]).is_none() {
            return;
        }
        if let Some(allow) = node.get("allow") {
            self.policy.images_allow = self.globs(allow, "images.allow");
            if allow.is_sequence() && allow.items().is_empty() {
                let help = "remove the line to allow all images, or list those that are allowed";
                self.reading.error(
                    &FORM,
                    allow.span,
                    "expected `images.allow` to list images, found an empty list",
                    help,
                );
            }
        }
        if let Some(required) = node.get("require_digest") {
            self.place("images.require_digest", required);
            self.policy.require_digest = self.reading.boolean(required, "`images.require_digest`").unwrap_or_default();
        }
        if let Some(verify) = node.get("verify").filter(|verify| !matches!(verify.text(), Some("off" | "false"))) {
            self.refuse_unenforced("images.verify", verify, "signatures of images are not checked");
        }
    }

    fn secrets(&mut self, node: &Node) {
        let Some(allow) = self.map(node, "secrets", &["allow"]).and_then(|node| node.get("allow")) else { return };
        for rule in self.rules(allow, "secrets.allow") {
            if self.map(rule, "secrets.allow", &["items", "names"]).is_none() {
                continue;
            }
            let [items, names] = ["items", "names"].map(|key| {
                let Some(glob) = rule.get(key) else {
                    let message = format!("expected a rule of `secrets.allow` to have `{key}`, found none");
                    self.reading.error(&FORM, rule.span, message, format!("add `{key}:` with a glob"));
                    return None;
                };
                self.glob(glob, "secrets.allow")
            });
            if let Some((items, names)) = items.zip(names) {
                self.place(format!("secrets.allow.{}", self.policy.secrets_allow.len()), rule);
                self.policy.secrets_allow.push(SecretRule { items, names });
            }
        }
    }

    fn deletions(&mut self, node: &Node) {
        if self.map(node, "deletions", &["max_count", "max_percent"]).is_none() {
            return;
        }
        if let Some(value) = node.get("max_count") {
            self.place("deletions.max_count", value);
            let number = self.reading.integer(value, "`deletions.max_count`", 0, 1_000_000);
            self.policy.budget.max_deletions = number.unwrap_or_default();
        }
        if let Some(value) = node.get("max_percent") {
            self.place("deletions.max_percent", value);
            let number = self.reading.integer(value, "`deletions.max_percent`", 0, 100);
            self.policy.budget.max_deletions_percent = number.unwrap_or_default();
        }
    }

    fn moves(&mut self, node: &Node) {
        let Some(value) = self.map(node, "moves", &["max_percent"]).and_then(|node| node.get("max_percent")) else {
            return;
        };
        self.place("moves.max_percent", value);
        let number = self.reading.integer(value, "`moves.max_percent`", 0, 100);
        self.policy.budget.max_moves_percent = number.unwrap_or_default();
    }

    /// A list of plain texts, each remembered with its place.
    fn words(&mut self, node: &Node, name: &str) -> Vec<String> {
        let texts = self.reading.texts(node, &format!("`{name}`"));
        texts
            .into_iter()
            .enumerate()
            .map(|(index, (text, node))| {
                self.place(format!("{name}.{index}"), node);
                text.to_owned()
            })
            .collect()
    }

    /// The elements of a list of rules. Each rule costs time for each thing it is asked about, so there is a limit.
    fn rules<'n>(&mut self, node: &'n Node, name: &str) -> &'n [Node] {
        let rules = self.reading.list(node, &format!("`{name}`"));
        if rules.len() <= MOST_RULES {
            return rules;
        }
        let message = format!("expected at most {MOST_RULES} elements in `{name}`, found {}", rules.len());
        self.reading.error(&FORM, node.span, message, "say the same in fewer globs");
        &[]
    }

    fn globs(&mut self, node: &Node, name: &str) -> Vec<String> {
        let mut globs = Vec::new();
        for item in self.rules(node, name) {
            if let Some(glob) = self.glob(item, name) {
                self.place(format!("{name}.{}", globs.len()), item);
                globs.push(glob);
            }
        }
        globs
    }

    /// A glob that can be compiled. `*` stays between slashes, `**` does not.
    fn glob(&mut self, node: &Node, name: &str) -> Option<String> {
        let text = self.reading.text(node, &format!("an element of `{name}`"))?;
        let outside = text.starts_with('/') || text.split('/').any(|part| part == "..");
        let problem = match Glob::new(text) {
            Err(error) => error.to_string(),
            Ok(_) if outside => "it leaves the repository".to_owned(),
            Ok(_) => return Some(text.to_owned()),
        };
        let message = format!("expected a glob in `{name}`, found {}: {problem}", super::source_text::quoted(text));
        self.reading.error(
            &FORM,
            node.span,
            message,
            "write such as `content/**`; `*` stays between slashes, `**` does not",
        );
        None
    }
}
