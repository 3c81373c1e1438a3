//! Constraints on versions: PEP 440 specifier sets, and npm ranges for Node.js (selection.md, 2).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::language::Language;
use super::version::Version;

/// A text that is not a constraint in the grammar of its language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no constraint for {language}: {problem}")]
pub struct ConstraintError {
    /// The text as given.
    pub found: String,
    /// Whose grammar it was read with.
    pub language: Language,
    /// What the grammar's reader says.
    pub problem: String,
    /// What was probably meant, such as `==3.11.*` for `3.11`.
    pub suggestion: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Grammar {
    Pep440(pep440_rs::VersionSpecifiers),
    /// Alternatives of requirements that must all hold.
    Npm(Vec<semver::VersionReq>),
}

/// A set of versions. The numbers decide; an installation's suffix is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    text: String,
    grammar: Grammar,
}

impl Constraint {
    /// Reads a constraint in the grammar of `language`.
    pub fn parse(language: Language, text: &str) -> Result<Self, ConstraintError> {
        let text = text.trim();
        let grammar = match language {
            Language::Nodejs => npm(text).map(Grammar::Npm),
            _ => pep440_rs::VersionSpecifiers::from_str(text).map(Grammar::Pep440).map_err(|error| error.to_string()),
        };
        match grammar {
            Ok(grammar) => Ok(Self { text: text.to_owned(), grammar }),
            Err(problem) => Err(ConstraintError {
                found: text.to_owned(),
                language,
                problem: problem.lines().next().unwrap_or_default().to_owned(),
                suggestion: suggestion(text),
            }),
        }
    }

    /// Whether a version lies inside, by its three numbers.
    pub fn contains(&self, version: &Version) -> bool {
        let [major, minor, patch] = version.numbers();
        match &self.grammar {
            Grammar::Pep440(specifiers) => specifiers.contains(&pep440_rs::Version::new([major, minor, patch])),
            Grammar::Npm(alternatives) => {
                let version = semver::Version::new(major, minor, patch);
                alternatives.iter().any(|requirement| requirement.matches(&version))
            }
        }
    }

    /// The constraint as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Constraint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// `3.11` was probably meant as `==3.11.*`, `3.11.4` as `==3.11.4`.
fn suggestion(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    let numbers = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    match (numbers, parts.len()) {
        (true, 1 | 2) => Some(format!("=={text}.*")),
        (true, 3) => Some(format!("=={text}")),
        _ => None,
    }
}

/// An npm range: alternatives by `||`, hyphen ranges, and comparators joined by white space or commas.
fn npm(text: &str) -> Result<Vec<semver::VersionReq>, String> {
    text.split("||").map(|part| npm_alternative(part.trim())).collect()
}

fn npm_alternative(text: &str) -> Result<semver::VersionReq, String> {
    let text = text.replace(',', " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut comparators = Vec::new();
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if words.get(index + 1) == Some(&"-") {
            let high = words.get(index + 2).ok_or("a range with - needs both ends")?;
            comparators.push(format!(">={}", partial(word)?));
            comparators.push(format!("<={}", partial(high)?));
            index += 3;
        } else if !word.is_empty() && word.bytes().all(|b| matches!(b, b'<' | b'>' | b'=' | b'^' | b'~')) {
            // An operator apart from its version: `>= 18`.
            let version = words.get(index + 1).ok_or("an operator needs a version after it")?;
            comparators.push(comparator(&format!("{word}{version}"))?);
            index += 2;
        } else {
            comparators.push(comparator(word)?);
            index += 1;
        }
    }
    comparators.retain(|comparator| comparator != "*");
    if comparators.is_empty() {
        return Ok(semver::VersionReq::STAR);
    }
    semver::VersionReq::parse(&comparators.join(", ")).map_err(|error| error.to_string())
}

/// One comparator in the words of the semver crate, where a bare version means `=` (npm) and not `^` (Cargo).
fn comparator(word: &str) -> Result<String, String> {
    let version = word.trim_start_matches(['<', '>', '=', '^', '~']);
    let operator = &word[..word.len() - version.len()];
    let version = partial(version)?;
    if version == "*" {
        // npm reads `>=*` and `^x` as any version; `<*` and `>*` as none, which nobody writes.
        return Ok("*".to_owned());
    }
    match operator {
        "" | "=" => Ok(format!("={version}")),
        "~>" => Ok(format!("~{version}")),
        "<" | "<=" | ">" | ">=" | "^" | "~" => Ok(format!("{operator}{version}")),
        other => Err(format!("unknown operator {other}")),
    }
}

/// `v18`, `18.x`, `18.2.*`, `x`: numbers up to the first wildcard.
fn partial(text: &str) -> Result<String, String> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = Vec::new();
    for part in core.split('.') {
        match part {
            "x" | "X" | "*" => break,
            number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => numbers.push(number),
            other => return Err(format!("expected a number or x, found {other:?}")),
        }
    }
    if numbers.len() > 3 {
        return Err(format!("expected at most three numbers, found {core:?}"));
    }
    Ok(if numbers.is_empty() { "*".to_owned() } else { numbers.join(".") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(language: Language, constraint: &str, version: &str) -> bool {
        Constraint::parse(language, constraint).unwrap().contains(&version.parse().unwrap())
    }

    #[test]
    fn pep_440_sets() {
        assert!(inside(Language::Python, ">=3.8,<4", "3.12.1"));
        assert!(inside(Language::R, "~=4.5.0", "4.5.2"));
        assert!(!inside(Language::R, "~=4.5.0", "4.6.0"));
        assert!(inside(Language::Python, "==3.11.*", "3.11.9"));
        assert!(!inside(Language::Python, "!=3.12.1", "3.12.1"));
        assert!(inside(Language::Python, ">=3.13", "3.13.0rc1"), "a suffix is ignored");
    }

    #[test]
    fn npm_ranges() {
        for (range, good, bad) in [
            ("^18", "18.20.4", "19.0.0"),
            ("~20.1", "20.1.7", "20.2.0"),
            ("20.x", "20.9.0", "21.0.0"),
            (">=18 <21", "20.0.0", "21.0.0"),
            (">=18, <21", "20.0.0", "21.0.0"),
            (">= 18", "18.0.0", "17.9.9"),
            ("18 - 20", "20.5.1", "21.0.0"),
            ("^16 || ^18", "18.1.0", "17.0.0"),
            ("18.2.1", "18.2.1", "18.2.2"),
            ("18", "18.7.0", "19.0.0"),
            ("<=20", "20.5.0", "21.0.0"),
            (">20", "21.0.0", "20.5.0"),
        ] {
            assert!(inside(Language::Nodejs, range, good), "{range} {good}");
            assert!(!inside(Language::Nodejs, range, bad), "{range} {bad}");
        }
        assert!(inside(Language::Nodejs, "*", "1.2.3"));
    }

    #[test]
    fn what_does_not_parse_is_quoted_with_a_suggestion() {
        let error = Constraint::parse(Language::Python, "3.11").unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("==3.11.*"));
        assert!(Constraint::parse(Language::Nodejs, "banana").is_err());
        assert!(Constraint::parse(Language::Nodejs, "18 -").is_err());
    }
}
