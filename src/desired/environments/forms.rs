//! Where the entries stand in a file: lists, legacy maps, Helm values, and the objects that carry them. Not what they say.

use super::codes;
use crate::desired::reading::{Reading, nearest};
use crate::desired::source_text::quoted;
use crate::desired::tree::Node;
use crate::desired::yaml;
use crate::model::{Language, Span};

/// The key of Helm values that holds entries since Connect 2026.03.
const CURRENT_VALUES: &str = "executionEnvironments";
/// The keys below `launcher` that held them before.
const LEGACY_VALUES: [&str; 2] = ["customRuntimeYaml", "additionalRuntimeImages"];
/// The keys of a ConfigMap that the chart renders.
const CONFIG_MAP_KEYS: [&str; 2] = ["environments.yaml", "runtime.yaml"];
/// The chart's name, under which its values stand when it is a dependency of another chart.
const CHART: &str = "rstudio-connect";
/// Texts of text: values in an Argo CD Application, runtime YAML in those values, and one to spare.
const MAX_NESTED_TEXTS: usize = 3;

/// The entries found.
#[derive(Debug)]
pub(super) struct Found {
    /// In the order of the file. Nothing is known of them but that they stand where entries stand.
    pub entries: Vec<Node>,
    /// False when a part of the file that holds entries could not be understood.
    pub complete: bool,
}

/// Finds the entries of a file.
pub(super) fn entries(reading: &mut Reading<'_>, documents: &[Node]) -> Found {
    let mut finder = Finder { reading, found: Found { entries: Vec::new(), complete: true }, texts: 0, known: false };
    if documents.is_empty() {
        // An emptied file looks like a wish to delete everything; somebody who has that wish can say so.
        finder.refuse(
            Span { line: 1, column: 1, start: 0, end: 0 },
            "an empty file",
            "write `[]` if it defines nothing",
        );
    }
    for document in documents {
        finder.document(document);
    }
    finder.note_nothing_found(documents);
    finder.found
}

struct Finder<'r, 's> {
    reading: &'r mut Reading<'s>,
    found: Found,
    /// How many texts inside texts are open.
    texts: usize,
    /// Whether a key that holds entries was seen, be its list empty or not.
    known: bool,
}

impl Finder<'_, '_> {
    fn document(&mut self, node: &Node) {
        if node.is_sequence() {
            self.list(node, "the list");
        } else if !node.is_mapping() {
            self.refuse(node.span, &format!("only the text {}", quoted(node.text().unwrap_or_default())), FORMS);
        } else if let (Some(kind), Some(_)) = (node.get("kind").and_then(Node::text), node.get("apiVersion")) {
            self.kubernetes_object(node, kind);
        } else if node.get("images").is_some() {
            self.legacy_map(node);
        } else if is_like_entry(node) {
            self.found.entries.push(node.clone());
        } else {
            self.values(node);
        }
    }

    /// Form 1, and the lists in all other forms.
    fn list(&mut self, node: &Node, what: &str) {
        if !node.is_sequence() {
            self.reading.wrong_kind(node, what, "a list");
            self.found.complete = false;
            return;
        }
        let items = node.items();
        if !items.is_empty() && !items.iter().any(|item| item.get("name").is_some() || is_like_entry(item)) {
            let found = format!("a list of {} things of which none has a `name`", items.len());
            self.refuse(node.span, &found, FORMS);
            return;
        }
        self.found.entries.extend(items.iter().cloned());
    }

    /// Form 2: `name: Kubernetes` and `images`.
    fn legacy_map(&mut self, node: &Node) {
        let Some(images) = node.get("images") else { return };
        let cluster = node.get("name").and_then(Node::text);
        if cluster.is_none() && !images.items().iter().any(is_like_entry) {
            self.refuse(node.span, "`images` without `name: Kubernetes`, as other tools have it", FORMS);
            return;
        }
        self.reading.map(node, "a runtime file", &["name", "images"], crate::desired::reading::Unknown::Ignored);
        if let Some((cluster, name)) = cluster.zip(node.get("name")).filter(|(cluster, _)| *cluster != "Kubernetes") {
            let message = format!("expected `name: Kubernetes`, found the cluster {}", quoted(cluster));
            let help = "environments are container images on Kubernetes; remove what is for other clusters";
            self.reading.error(&codes::CLUSTER, name.span, message, help);
            self.found.complete = false;
            return;
        }
        self.list(images, "`images`");
    }

    /// Form 3: values of the Helm chart, alone or below the chart's name.
    fn values(&mut self, node: &Node) {
        self.chart_values(node);
        if let Some(below) = node.get(CHART).filter(|below| below.is_mapping()) {
            self.chart_values(below);
        }
    }

    fn chart_values(&mut self, node: &Node) {
        self.misspelt(node, &[CURRENT_VALUES]);
        if let Some(list) = node.get(CURRENT_VALUES) {
            self.known = true;
            self.list(list, "`executionEnvironments`");
        }
        let Some(launcher) = node.get("launcher").filter(|launcher| launcher.is_mapping()) else { return };
        self.misspelt(launcher, &LEGACY_VALUES);
        let [runtime, additional] = LEGACY_VALUES.map(|key| launcher.get(key));
        self.known |= runtime.or(additional).is_some();
        if let Some(runtime) = runtime {
            self.custom_runtime(runtime);
        }
        if let Some(additional) = additional {
            self.list(additional, "`additionalRuntimeImages`");
        }
    }

    /// A file without environments is fine, but whoever expects some should not have to guess.
    fn note_nothing_found(&mut self, documents: &[Node]) {
        let list = |node: &Node| node.is_sequence() || node.get("images").is_some();
        if !self.found.complete || !self.found.entries.is_empty() || self.known || documents.iter().any(list) {
            return;
        }
        if let Some(first) = documents.first() {
            let message =
                "no environments in this file: neither a list of them, nor `executionEnvironments` in Helm values";
            self.reading.note(&codes::NO_ENVIRONMENTS, first.span, message);
        }
    }

    /// `customRuntimeYaml`: a map, the same as text, or a word that names a list in the chart.
    fn custom_runtime(&mut self, node: &Node) {
        match node.text().map(str::trim) {
            None => self.document(node),
            Some("" | "false") => {}
            Some(word @ ("base" | "pro" | "true")) => {
                let message =
                    format!("`customRuntimeYaml: {word}` names a list inside the Helm chart, which is not read");
                self.reading.note(&codes::CHART_LIST, node.span, message);
            }
            Some(_) => self.text(node, Finder::document),
        }
    }

    /// Form 4: an object that carries values or the file itself.
    fn kubernetes_object(&mut self, node: &Node, kind: &str) {
        match kind {
            "HelmRelease" => {
                if let Some(values) = node.at(&["spec", "values"]) {
                    self.values(values);
                }
            }
            "Application" => {
                let many = node.at(&["spec", "sources"]).map(Node::items).unwrap_or_default();
                for source in node.at(&["spec", "source"]).into_iter().chain(many) {
                    self.argo_source(source);
                }
            }
            "ConfigMap" => {
                let texts = CONFIG_MAP_KEYS.iter().filter_map(|key| node.at(&["data", key]));
                texts.for_each(|text| self.text(text, Finder::document));
            }
            "List" => node.get("items").map(Node::items).unwrap_or_default().iter().for_each(|item| self.item(item)),
            // A Secret or a Deployment beside the others: the note below says that the file defines nothing.
            _ => {}
        }
    }

    /// One object of a `List`; lists inside lists are not a thing, and would be a way to nest.
    fn item(&mut self, node: &Node) {
        if let Some(kind) = node.get("kind").and_then(Node::text).filter(|kind| *kind != "List") {
            self.kubernetes_object(node, kind);
        }
    }

    fn argo_source(&mut self, source: &Node) {
        // `valuesObject` wins over `values`, as in Argo CD.
        if let Some(values) = source.at(&["helm", "valuesObject"]) {
            self.values(values);
        } else if let Some(text) = source.at(&["helm", "values"]) {
            self.text(text, Finder::values);
        }
    }

    /// YAML that stands in a text.
    fn text(&mut self, node: &Node, read: fn(&mut Self, &Node)) {
        if node.text().is_none() || self.texts == MAX_NESTED_TEXTS {
            self.reading.wrong_kind(node, "this value", "text that holds YAML");
            self.found.complete = false;
            return;
        }
        match yaml::nested_documents(self.reading.source(), node) {
            Ok(documents) => {
                self.texts += 1;
                for document in &documents {
                    read(self, document);
                }
                self.texts -= 1;
            }
            Err(fault) => {
                self.reading.record(*fault);
                self.found.complete = false;
            }
        }
    }

    /// A misspelt key would silently be a file without environments.
    fn misspelt(&mut self, node: &Node, keys: &[&str]) {
        for (key, _) in node.entries() {
            let Some(near) = nearest(&key.text, keys).filter(|near| *near != key.text) else { continue };
            let message = format!("expected `{near}`, found the key {}", quoted(&key.text));
            self.reading.error(&codes::CODES.unknown, key.span, message, format!("did you mean `{near}`?"));
            self.found.complete = false;
        }
    }

    fn refuse(&mut self, span: Span, found: &str, help: &str) {
        self.reading.error(&codes::NO_FORM, span, format!("expected execution environments, found {found}"), help);
        self.found.complete = false;
    }
}

/// The help for files that are something else.
const FORMS: &str = "an environment file is a list of `- name: IMAGE` entries, a map with `name: Kubernetes` and `images`, \
                     or Helm values with `executionEnvironments`; move other files out of this directory";

/// Whether a map is an entry, be it with mistakes: it names an image, or says what is installed.
fn is_like_entry(node: &Node) -> bool {
    let installed = Language::ALL.iter().any(|language| node.at(&[language.key(), "installations"]).is_some());
    let image = || node.get("name").and_then(Node::text).is_some();
    let described =
        || ["matching", "supervisor", "digest", "redirect", "guid"].iter().any(|key| node.get(key).is_some());
    installed || (image() && described())
}
