//! content.yaml, and `defaults` of wharf.yaml: deployment settings, field by field (formats.md, "content.yaml"). What the
//! policy and the appmode allow of them is checked in `settings_rules`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use super::reading::{Codes, Reading, Unknown};
use super::source_text::{SourceText, quoted};
use super::tree::{Node, Value};
use super::yaml;
use crate::model::{
    Code, Cpu, Diagnostic, EnvironmentValue, ExplicitRequest, Guid, ImageRef, Memory, Place, Schedule, Seconds,
    Settings, Span,
};

/// A value of another kind than expected.
pub const KIND: Code = Code::new("E0401");
/// A field that stands there twice.
pub const REPEATED: Code = Code::new("E0402");
/// An unknown field that is nearly a known one.
pub const UNKNOWN: Code = Code::new("E0403");
/// An unknown field.
pub const IGNORED: Code = Code::new("W0403");
/// A value that is not in the form its field needs.
pub const FORM: Code = Code::new("E0404");
/// A name or a value of an environment variable that cannot be one.
pub const VARIABLE: Code = Code::new("E0405");
/// A setting that is recognised and not enforced.
pub const NOT_ENFORCED: Code = Code::new("E0410");

/// Every field, in the order of formats.md.
const FIELDS: [&str; 27] = [
    "title",
    "description",
    "owner",
    "tags",
    "id",
    "environment",
    "min_processes",
    "max_processes",
    "max_conns_per_process",
    "load_factor",
    "init_timeout",
    "idle_timeout",
    "connection_timeout",
    "read_timeout",
    "cpu_request",
    "cpu_limit",
    "memory_request",
    "memory_limit",
    "nvidia_gpu_limit",
    "amd_gpu_limit",
    "schedule",
    "timezone",
    "env",
    "service_account",
    "default_r_environment_management",
    "default_py_environment_management",
    "suspend",
];

/// Settings that people would rely on and this version does not keep, with the reason. A version that keeps one deletes
/// its line; nothing else has to change.
const UNENFORCED: [(&str, &str); 8] = [
    ("max_conns_per_process", "connections are not counted, and nothing scales up"),
    ("load_factor", "connections are not counted, and nothing scales up"),
    ("idle_timeout", "processes are kept alive, idle or not"),
    ("connection_timeout", "connections go to the process directly"),
    ("read_timeout", "connections go to the process directly"),
    ("nvidia_gpu_limit", "no executor of this version hands out GPUs"),
    ("amd_gpu_limit", "no executor of this version hands out GPUs"),
    ("service_account", "processes on this host have no Kubernetes service account"),
];

/// The limit on `max_processes` and `min_processes` (formats.md).
pub const MOST_PROCESSES: u32 = 20;
/// The longest timeout, in seconds: 30 days, as Connect has it.
const LONGEST_TIMEOUT: u64 = 2_592_000;
/// The longest text that is only shown, in characters.
const LONGEST_TEXT: usize = 10_000;

/// Settings, and where each stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Placed {
    /// The values.
    pub settings: Settings,
    /// The place of each field that stands in the file.
    pub places: BTreeMap<&'static str, Place>,
    /// The place of each variable.
    pub variables: BTreeMap<String, Place>,
}

/// Reads a content.yaml. `None` for the settings comes with at least one error.
pub fn read(file: &str, bytes: &[u8]) -> (Option<Placed>, Vec<Diagnostic>) {
    let source = match SourceText::decode(file, bytes, yaml::MAX_BYTES) {
        Ok(source) => source,
        Err(fault) => return (None, vec![*fault]),
    };
    let documents = match yaml::documents(&source) {
        Ok(documents) => documents,
        Err(fault) => return (None, vec![*fault]),
    };
    let mut reading = Reading::new(&source, codes());
    let mut placed = Placed::default();
    if let Some(node) = documents.first() {
        placed = fields(&mut reading, node, "content.yaml");
    }
    if let Some(second) = documents.get(1) {
        let message = "expected one document in content.yaml, found more";
        reading.error(&KIND, second.span, message, "remove what follows the line with ---");
    }
    let sound = reading.errors() == 0;
    (sound.then_some(placed), reading.finish())
}

/// The codes of problems that every file can have, as content.yaml numbers them.
pub fn codes() -> Codes {
    Codes { kind: KIND, repeated: REPEATED, unknown: UNKNOWN, ignored: IGNORED }
}

/// Reads a map of settings; problems are recorded. `what` names the map in messages.
pub fn fields(reading: &mut Reading<'_>, node: &Node, what: &str) -> Placed {
    let mut placed = Placed::default();
    if reading.map(node, what, &FIELDS, Unknown::Ignored).is_none() {
        return placed;
    }
    let file = Arc::clone(reading.source().file());
    for (key, value) in node.entries() {
        let Some(field) = FIELDS.iter().find(|field| **field == key.text) else { continue };
        if value.is_null() {
            continue;
        }
        placed.places.insert(field, Place::at(Arc::clone(&file), value.span));
        if let Some((_, reason)) = UNENFORCED.iter().find(|(name, _)| name == field) {
            let message = format!("`{field}` is recognised but not enforced by this version: {reason}");
            reading.error(&NOT_ENFORCED, key.span, message, "remove it; an unkept promise would be worse");
        }
        Fields { reading, field, value }.read_into(&mut placed);
    }
    placed
}

/// One field.
struct Fields<'r, 'a, 'n> {
    reading: &'r mut Reading<'a>,
    field: &'static str,
    value: &'n Node,
}

impl Fields<'_, '_, '_> {
    fn read_into(mut self, placed: &mut Placed) {
        let settings = &mut placed.settings;
        match self.field {
            "title" => settings.title = self.line(),
            "description" => settings.description = self.prose(),
            "owner" => settings.owner = self.line(),
            "id" => settings.id = self.line(),
            "tags" => settings.tags = self.tags(),
            "environment" => settings.environment = self.environment(),
            "min_processes" => settings.min_processes = self.count(0, MOST_PROCESSES),
            "max_processes" => settings.max_processes = self.count(1, MOST_PROCESSES),
            "max_conns_per_process" => settings.max_conns_per_process = self.count(1, u32::MAX),
            "load_factor" => settings.load_factor = self.share(),
            "init_timeout" => settings.init_timeout = self.timeout(1),
            "idle_timeout" => settings.idle_timeout = self.timeout(0),
            "connection_timeout" => settings.connection_timeout = self.timeout(0),
            "read_timeout" => settings.read_timeout = self.timeout(0),
            "cpu_request" => settings.cpu_request = self.amount::<Cpu>(|amount| amount.0),
            "cpu_limit" => settings.cpu_limit = self.amount::<Cpu>(|amount| amount.0),
            "memory_request" => settings.memory_request = self.amount::<Memory>(|amount| amount.0),
            "memory_limit" => settings.memory_limit = self.amount::<Memory>(|amount| amount.0),
            "nvidia_gpu_limit" => settings.nvidia_gpu_limit = self.count(0, u32::MAX),
            "amd_gpu_limit" => settings.amd_gpu_limit = self.count(0, u32::MAX),
            "schedule" => settings.schedule = self.schedule(),
            "timezone" => settings.timezone = self.timezone(),
            "env" => self.variables(placed),
            "service_account" => settings.service_account = self.line(),
            "default_r_environment_management" => settings.default_r_environment_management = self.boolean(),
            "default_py_environment_management" => settings.default_py_environment_management = self.boolean(),
            "suspend" => settings.suspend = self.boolean(),
            _ => {}
        }
    }

    fn wrong(&mut self, message: impl Display, help: impl Into<String>) {
        self.reading.error(&FORM, self.value.span, format!("{}: {message}", self.field), help);
    }

    /// Text that is shown, without what would move a terminal's cursor.
    fn text(&mut self, allowed: &[char]) -> Option<String> {
        let text = self.reading.text(self.value, self.field)?.trim().to_owned();
        if text.is_empty() {
            return None;
        }
        if let Some(letter) = text.chars().find(|letter| letter.is_control() && !allowed.contains(letter)) {
            let letter = letter.escape_default();
            self.wrong(format!("expected text, found the control character {letter}"), "remove the character");
            return None;
        }
        if text.chars().count() > LONGEST_TEXT {
            self.wrong(format!("expected at most {LONGEST_TEXT} characters, found more"), "shorten it");
            return None;
        }
        Some(text)
    }

    fn line(&mut self) -> Option<String> {
        self.text(&[])
    }

    fn prose(&mut self) -> Option<String> {
        self.text(&['\n', '\t', '\r'])
    }

    fn boolean(&mut self) -> Option<bool> {
        self.reading.boolean(self.value, self.field)
    }

    fn count(&mut self, least: u32, most: u32) -> Option<u32> {
        self.reading.integer(self.value, self.field, least, most)
    }

    fn tags(&mut self) -> Vec<String> {
        let field = self.field;
        let tags = self.reading.list(self.value, field);
        tags.iter().filter_map(|value| Fields { reading: self.reading, field: "tags", value }.line()).collect()
    }

    fn share(&mut self) -> Option<f64> {
        let text = self.reading.text(self.value, self.field)?;
        let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.wrong(format!("expected a number from 0 to 1, found {}", quoted(text)), "write such as 0.5");
        }
        share
    }

    fn timeout(&mut self, least: u64) -> Option<Seconds> {
        let seconds: Seconds = self.parsed("write seconds, or such as 90s, 5m or 1h")?;
        if (least..=LONGEST_TIMEOUT).contains(&seconds.0) {
            return Some(seconds);
        }
        let expected = format!("expected {least} to {LONGEST_TIMEOUT} seconds (30 days), found {}", seconds.0);
        self.wrong(expected, "write a duration inside these bounds");
        None
    }

    fn amount<T: FromStr<Err: Display> + Copy>(&mut self, size: impl Fn(T) -> u64) -> Option<T> {
        let amount: T = self.parsed("write a number, or a quantity as Kubernetes has it")?;
        if size(amount) == 0 {
            self.wrong("expected more than nothing, found 0", "leave the field out for no limit");
            return None;
        }
        Some(amount)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, help: &str) -> Option<T> {
        self.reading.parsed(self.value, &FORM, self.field, help)
    }

    /// A GUID, or an image's name.
    fn environment(&mut self) -> Option<ExplicitRequest> {
        let text = self.line()?;
        if let Ok(guid) = text.parse::<Guid>() {
            return Some(ExplicitRequest::Guid(guid));
        }
        match text.parse::<ImageRef>() {
            Ok(image) => Some(ExplicitRequest::Image(image)),
            Err(error) => {
                self.wrong(error, "write the `name` or the `guid` of an environment");
                None
            }
        }
    }

    fn schedule(&mut self) -> Option<String> {
        let text = self.line()?;
        match Schedule::read(&text, None) {
            Ok(_) => Some(text),
            Err(error) => {
                self.wrong(error, "crontab.guru explains such expressions");
                None
            }
        }
    }

    fn timezone(&mut self) -> Option<String> {
        let text = self.line()?;
        match Schedule::timezone(&text) {
            Ok(_) => Some(text),
            Err(error) => {
                self.wrong(error, "write a name of the IANA timezone database");
                None
            }
        }
    }

    fn variables(&mut self, placed: &mut Placed) {
        if !self.value.is_mapping() {
            self.reading.wrong_kind(self.value, "env", "a map");
            return;
        }
        for (key, value) in self.value.entries() {
            if placed.settings.env.contains_key(&key.text) {
                let message = format!("expected the variable {} once, found it again", quoted(&key.text));
                self.reading.error(&REPEATED, key.span, message, "keep one of them");
            }
            if !is_variable(&key.text) {
                let message = format!("expected the name of an environment variable, found {}", quoted(&key.text));
                self.reading.error(
                    &VARIABLE,
                    key.span,
                    message,
                    "use letters, digits and _, not starting with a digit",
                );
                continue;
            }
            if let Some(value) = self.variable(&key.text, key.span, value) {
                placed.variables.insert(key.text.clone(), self.reading.source().place(key.span));
                placed.settings.env.insert(key.text.clone(), value);
            }
        }
    }

    /// A plain value, or a reference to a secret.
    fn variable(&mut self, name: &str, span: Span, value: &Node) -> Option<EnvironmentValue> {
        match &value.value {
            Value::Scalar { text, .. } if !text.contains('\0') => Some(EnvironmentValue::Plain(text.clone())),
            Value::Mapping(_) => {
                let what = format!("the variable {name}");
                self.reading.map(value, &what, &["secret", "key"], Unknown::Refused)?;
                let [secret, key] = ["secret", "key"].map(|field| value.get(field).and_then(Node::text).map(str::trim));
                match (secret, key) {
                    (Some(secret), Some(key)) if is_secret_name(secret) && is_secret_name(key) => {
                        Some(EnvironmentValue::Secret { secret: secret.to_owned(), key: key.to_owned() })
                    }
                    _ => {
                        let message = format!("expected {{secret: NAME, key: KEY}} for {name}, found another map");
                        let help = "both are names of letters, digits, `-`, `_` and `.`";
                        self.reading.error(&VARIABLE, value.span, message, help);
                        None
                    }
                }
            }
            _ => {
                let message =
                    format!("expected a text or {{secret: NAME, key: KEY}} for {name}, found {}", value.kind());
                self.reading.error(&VARIABLE, span, message, "write \"\" for an empty value");
                None
            }
        }
    }
}

fn is_variable(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit()) && name.len() <= 256
}

/// Names of secrets and their keys become file names below `--secrets-dir`.
fn is_secret_name(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    letters && name.bytes().any(|byte| byte != b'.') && !name.starts_with("..") && name.len() <= 253
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let (settings, found) = read("content.yaml", text.as_bytes());
        assert_eq!(settings.is_none(), found.iter().any(Diagnostic::is_error));
        found.into_iter().map(|one| format!("{} {}: {}", one.place.unwrap(), one.code, one.message)).collect()
    }

    #[test]
    fn every_field_that_is_kept_is_read() {
        let text = "title: Penguins\ntags: [birds, 2026]\nenvironment: ghcr.io/example/r:4.4\nmin_processes: 2\n\
            max_processes: 4\ninit_timeout: 5m\ncpu_limit: 1.5\nmemory_limit: 2Gi\nschedule: 0 6 * * mon-fri\n\
            timezone: Europe/Berlin\nenv:\n  A: 3.10\n  B: {secret: db, key: password}\nsuspend: false\n";
        let (placed, found) = read("content.yaml", text.as_bytes());
        assert_eq!(found, []);
        let settings = placed.unwrap().settings;
        assert_eq!(settings.title.as_deref(), Some("Penguins"));
        assert_eq!(settings.tags, ["birds", "2026"]);
        assert_eq!(settings.init_timeout, Some(Seconds(300)));
        assert_eq!(settings.cpu_limit, Some(Cpu(1500)));
        assert_eq!(settings.env["A"], EnvironmentValue::Plain("3.10".to_owned()));
        let secret = EnvironmentValue::Secret { secret: "db".to_owned(), key: "password".to_owned() };
        assert_eq!(settings.env["B"], secret);
    }

    #[test]
    fn empty_files_say_nothing() {
        for text in ["", "\n# nothing\n", "---\n", "{}", "title:\ndescription: ''\n"] {
            let (placed, found) = read("content.yaml", text.as_bytes());
            assert_eq!((placed.unwrap().settings, found), (Settings::default(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn problems_are_named_with_their_place() {
        let text = "titel: x\nmin_processes: 21\nmax_processes: -1\ncpu_limit: lots\nschedule: every day\n\
            timezone: Berlin\nenv:\n  1A: x\n  B: [1]\n  C: {secret: ../x, key: y}\nsuspend: yes\nload_factor: 0.5\n\
            owner: \"a\\u001b[31m\"\nenvironment: A B\ninit_timeout: 0\n";
        insta::assert_snapshot!(problems(text).join("\n"));
    }
}
