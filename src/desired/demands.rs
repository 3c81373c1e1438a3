//! What a manifest demands of its environment (selection.md, 1 and 2). Which environment satisfies it is `select`'s work.

use serde_json::Value;

use crate::model::{
    Appmode, Code, Constraint, Demand, Demands, Diagnostic, ExplicitRequest, Language, Place, RequestedVersion,
    Severity,
};

/// A version is not text, or holds no number.
pub const BAD_VERSION: Code = Code::new("E0205");
/// A constraint does not parse.
pub const BAD_CONSTRAINT: Code = Code::new("E0206");
/// The environment asked for is no GUID, or no image.
pub const BAD_REQUEST: Code = Code::new("E0207");
/// A block of the manifest is not an object.
pub const BAD_BLOCK: Code = Code::new("E0208");

/// Reads the demands of a manifest. `place` says where a path of keys such as `["python", "version"]` stands.
/// With an error in one of them nothing is demanded: an item is not selected for by half of what it asks.
pub fn demands(
    appmode: Appmode,
    manifest: &Value,
    place: &dyn Fn(&[&str]) -> Option<Place>,
) -> Result<Demands, Vec<Diagnostic>> {
    if appmode == Appmode::Static {
        return Ok(Demands::without_environment());
    }
    let mut reader = Reader { manifest, place, problems: Vec::new() };
    let mut demands = Demands::default();
    reader.explicit(&mut demands);
    if appmode == Appmode::TensorflowSavedModel {
        demands.languages.insert(Language::Tensorflow, reader.demand(Language::Tensorflow, &[], &[], &[]));
    } else {
        reader.check_blocks();
        for language in [Language::R, Language::Python, Language::Quarto, Language::Nodejs] {
            if let Some(demand) = reader.language(appmode, language) {
                demands.languages.insert(language, demand);
            }
        }
    }
    if reader.problems.is_empty() { Ok(demands) } else { Err(reader.problems) }
}

/// Missing, null, blank and empty all mean the same.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A path of keys in a manifest.
type Keys = &'static [&'static str];

struct Reader<'a> {
    manifest: &'a Value,
    place: &'a dyn Fn(&[&str]) -> Option<Place>,
    problems: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    /// The value at a path, unless it is absent.
    fn get(&self, keys: &[&str]) -> Option<&'a Value> {
        let value = keys.iter().try_fold(self.manifest, |value, key| value.get(key));
        value.filter(|value| !is_absent(value))
    }

    /// The first of several paths that has a value.
    fn first(&self, paths: &[Keys]) -> Option<(Keys, &'a Value)> {
        paths.iter().find_map(|keys| Some((*keys, self.get(keys)?)))
    }

    fn problem(&mut self, code: Code, keys: &[&str], message: String, help: String) {
        let diagnostic = Diagnostic::new(Severity::Error, code, (self.place)(keys), message);
        self.problems.push(diagnostic.with_help(help));
    }

    /// A block that is no object would silently ask for nothing.
    fn check_blocks(&mut self) {
        let blocks: [Keys; 10] = [
            &["python"],
            &["quarto"],
            &["nodejs"],
            &["node"],
            &["environment"],
            &["environment", "r"],
            &["environment", "python"],
            &["environment", "quarto"],
            &["environment", "nodejs"],
            &["environment", "node"],
        ];
        for keys in blocks {
            if let Some(value) = self.get(keys).filter(|value| !value.is_object()) {
                let name = keys.join(".");
                let message = format!("expected an object in {name}, found {}", shown(value));
                let field = if keys.len() == 1 && keys != ["environment"] { "version" } else { "requires" };
                self.problem(BAD_BLOCK, keys, message, format!("write {{\"{field}\": \"...\"}} inside {name}"));
            }
        }
    }

    /// The demand for a language, if there is one.
    fn language(&mut self, appmode: Appmode, language: Language) -> Option<Demand> {
        let (demanded, versions, constraints, other): (bool, &[Keys], &[Keys], &[Keys]) = match language {
            Language::R => (
                appmode.runtime() == Some(Language::R) || self.quarto_uses_knitr(appmode) || self.has_r_packages(),
                &[&["platform"]],
                &[&["environment", "r", "requires"]],
                &[],
            ),
            Language::Python => (
                appmode.runtime() == Some(Language::Python) || self.get(&["python"]).is_some(),
                &[&["python", "version"]],
                &[&["environment", "python", "requires"]],
                &[&["python"]],
            ),
            Language::Quarto => (
                appmode.runtime() == Some(Language::Quarto) || self.get(&["quarto"]).is_some(),
                &[&["quarto", "version"]],
                &[&["environment", "quarto", "requires"]],
                &[&["quarto"]],
            ),
            Language::Nodejs => (
                appmode.runtime() == Some(Language::Nodejs),
                &[&["nodejs", "version"], &["node", "version"]],
                &[&["environment", "nodejs", "requires"], &["environment", "node", "requires"]],
                &[],
            ),
            Language::Tensorflow => (false, &[], &[], &[]),
        };
        let demanded = demanded || self.first(constraints).is_some();
        demanded.then(|| self.demand(language, versions, constraints, other))
    }

    fn quarto_uses_knitr(&self, appmode: Appmode) -> bool {
        let engines = self.get(&["quarto", "engines"]).and_then(Value::as_array);
        appmode.runtime() == Some(Language::Quarto)
            && engines.is_some_and(|engines| engines.iter().any(|engine| engine.as_str() == Some("knitr")))
    }

    fn has_r_packages(&self) -> bool {
        self.get(&["packages"]).is_some_and(Value::is_object)
    }

    /// A demand with what is asked, and the place of the text that decides: the constraint, else the version.
    fn demand(&mut self, language: Language, versions: &[Keys], constraints: &[Keys], other: &[Keys]) -> Demand {
        let constraint = self.first(constraints);
        let version = self.first(versions);
        let deciding = constraint.or(version).or_else(|| self.first(other)).map(|(keys, _)| keys);
        Demand {
            version: version.and_then(|(keys, value)| self.version(language, keys, value)),
            requires: constraint.and_then(|(keys, value)| self.constraint(language, keys, value)),
            place: deciding.and_then(|keys| (self.place)(keys)).or_else(|| (self.place)(&["metadata", "appmode"])),
        }
    }

    fn version(&mut self, language: Language, keys: Keys, value: &Value) -> Option<RequestedVersion> {
        let name = keys.join(".");
        let Some(text) = value.as_str() else {
            let message = format!("expected the version of {language} as text in {name}, found {}", shown(value));
            // A number that was written 3.10 is 3.1 by now, so what was meant cannot be suggested.
            self.problem(BAD_VERSION, keys, message, "put it in quotes, such as \"3.11.4\"".to_owned());
            return None;
        };
        match text.parse() {
            Ok(version) => Some(version),
            Err(error) => {
                let help = "write one to three numbers, such as 3.11 or 4.4.1, or leave it out".to_owned();
                self.problem(BAD_VERSION, keys, format!("{name} is no version: {error}"), help);
                None
            }
        }
    }

    fn constraint(&mut self, language: Language, keys: Keys, value: &Value) -> Option<Constraint> {
        let name = keys.join(".");
        let Some(text) = value.as_str() else {
            let message = format!("expected a constraint as text in {name}, found {}", shown(value));
            self.problem(BAD_CONSTRAINT, keys, message, grammar(language).to_owned());
            return None;
        };
        match Constraint::parse(language, text) {
            Ok(constraint) => Some(constraint),
            Err(error) => {
                let help = error
                    .suggestion
                    .as_ref()
                    .map_or_else(|| grammar(language).to_owned(), |suggestion| format!("did you mean {suggestion}?"));
                self.problem(BAD_CONSTRAINT, keys, format!("{name}: {error}"), help);
                None
            }
        }
    }

    /// The record's GUID, else the image.
    fn explicit(&mut self, demands: &mut Demands) {
        let paths: [Keys; 2] = [&["environment", "identifier"], &["environment", "image"]];
        let Some((keys, value)) = self.first(&paths) else { return };
        let by_guid = keys.last() == Some(&"identifier");
        let request = match value.as_str().map(str::trim) {
            Some(text) if by_guid => text.parse().map(ExplicitRequest::Guid).map_err(|error| error.to_string()),
            Some(text) => text.parse().map(ExplicitRequest::Image).map_err(|error| error.to_string()),
            None => Err(format!("expected text, found {}", shown(value))),
        };
        match request {
            Ok(request) => {
                demands.explicit = Some(request);
                demands.explicit_place = (self.place)(keys);
            }
            Err(error) => {
                let help = if by_guid {
                    "write the GUID of an environment, or its image in environment.image"
                } else {
                    "write the name of an environment as its file has it, or leave it out to have one chosen"
                };
                self.problem(BAD_REQUEST, keys, format!("{}: {error}", keys.join(".")), help.to_owned());
            }
        }
    }
}

/// How a constraint of a language is written.
const fn grammar(language: Language) -> &'static str {
    match language {
        Language::Nodejs => "write an npm range, such as ^20 or >=18 <23",
        Language::R => "write a PEP 440 specifier set, such as >=4.3,<5 or ==4.4.*",
        Language::Python | Language::Quarto | Language::Tensorflow => {
            "write a PEP 440 specifier set, such as >=3.10,<4 or ==3.11.*"
        }
    }
}

/// A JSON value as people see it, not longer than a line has room for.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Null => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
    }
}
