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

/// The longest text read as a constraint, in bytes: far above what people write, far below what would be slow.
const LONGEST: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Grammar {
    /// Specifiers that must all hold.
    Pep440(Vec<Specifier>),
    /// Alternatives of requirements that must all hold.
    Npm(Vec<semver::VersionReq>),
}

/// A set of versions. The numbers decide; suffixes are ignored, the constraint's as the installation's.
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
            _ if text.len() > LONGEST => Err(format!("it is longer than {LONGEST} bytes")),
            Language::Nodejs => npm(text).map(Grammar::Npm),
            Language::R | Language::Python | Language::Quarto | Language::Tensorflow => {
                pep440(text).map(Grammar::Pep440)
            }
        };
        match grammar {
            Ok(grammar) => Ok(Self { text: text.to_owned(), grammar }),
            Err(problem) => Err(ConstraintError {
                found: text.chars().take(LONGEST).collect(),
                language,
                problem,
                suggestion: if language == Language::Nodejs { None } else { suggestion(text) },
            }),
        }
    }

    /// Whether a version lies inside, by its three numbers. Allocates nothing.
    pub fn contains(&self, version: &Version) -> bool {
        let numbers = version.numbers();
        match &self.grammar {
            Grammar::Pep440(specifiers) => specifiers.iter().all(|specifier| specifier.contains(numbers)),
            Grammar::Npm(alternatives) => {
                let [major, minor, patch] = numbers;
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

/// What was probably meant: `3.11`, `v3.11`, `=3.11` and `3.11.x` as `==3.11.*`, and the carets and tildes of other
/// package managers: `^3.9` as `>=3.9,<4`, `~3.9` as `==3.9.*`, `~3.9.2` as `~=3.9.2`.
fn suggestion(text: &str) -> Option<String> {
    let bare = text.trim_start_matches(['=', 'v', 'V', ' ', '^', '~']);
    let bare = bare.strip_suffix(".x").or_else(|| bare.strip_suffix(".*")).unwrap_or(bare);
    let parts: Vec<&str> = bare.split('.').collect();
    if !parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let next = parts.first()?.parse::<u64>().ok()?.checked_add(1)?;
    match parts.len() {
        1..=3 if text.starts_with('^') => Some(format!(">={bare},<{next}")),
        1 | 2 => Some(format!("=={bare}.*")),
        3 if text.starts_with('~') => Some(format!("~={bare}")),
        3 => Some(format!("=={bare}")),
        _ => None,
    }
}

/// One PEP 440 specifier. The crate reads it; it is held against plain numbers here, because a comparison with the
/// crate's own versions allocates, and weighs pre-releases that our versions only keep for display.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Specifier {
    operator: pep440_rs::Operator,
    /// Missing numbers are zero, as PEP 440 has it; a fourth is part of the suffix and dropped.
    numbers: [u64; 3],
    /// How many numbers were given.
    given: usize,
}

impl Specifier {
    fn contains(&self, version: [u64; 3]) -> bool {
        use pep440_rs::Operator;
        let same = |count: usize| version.iter().take(count).eq(self.numbers.iter().take(count));
        match self.operator {
            Operator::Equal | Operator::ExactEqual => version == self.numbers,
            Operator::NotEqual => version != self.numbers,
            Operator::EqualStar => same(self.given),
            Operator::NotEqualStar => !same(self.given),
            Operator::TildeEqual => version >= self.numbers && same(self.given.saturating_sub(1)),
            Operator::LessThan => version < self.numbers,
            Operator::LessThanEqual => version <= self.numbers,
            Operator::GreaterThan => version > self.numbers,
            Operator::GreaterThanEqual => version >= self.numbers,
        }
    }
}

/// A PEP 440 specifier set.
fn pep440(text: &str) -> Result<Vec<Specifier>, String> {
    let specifiers = pep440_rs::VersionSpecifiers::from_str(text).map_err(|error| {
        // The crate draws the text below its first line; our diagnostics do that themselves.
        let error = error.to_string();
        let problem = error.lines().next().unwrap_or_default().trim_end_matches(':');
        if problem.contains("expected operator") {
            return "each part starts with an operator such as >= or ==".to_owned();
        }
        problem.strip_prefix("Failed to parse version: ").unwrap_or(problem).to_owned()
    })?;
    specifiers
        .iter()
        .map(|specifier| {
            let version = specifier.version();
            if version.epoch() != 0 {
                return Err("versions of languages have no epoch (the part before !)".to_owned());
            }
            let mut numbers = [0; 3];
            for (number, given) in numbers.iter_mut().zip(version.release()) {
                *number = *given;
            }
            Ok(Specifier { operator: *specifier.operator(), numbers, given: version.release().len() })
        })
        .collect()
}

/// An npm range: alternatives by `||`, hyphen ranges, and comparators joined by white space or commas.
fn npm(text: &str) -> Result<Vec<semver::VersionReq>, String> {
    text.split("||").map(npm_alternative).collect()
}

/// One alternative; an empty one is any version, as npm reads it.
fn npm_alternative(text: &str) -> Result<semver::VersionReq, String> {
    let text = text.replace(',', " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut comparators = Vec::new();
    if let [low, "-", high] = words.as_slice() {
        comparators.extend(comparator(">=", Partial::read(low)?));
        comparators.extend(comparator("<=", Partial::read(high)?));
        return Ok(semver::VersionReq { comparators });
    }
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (operator, version) = split_operator(word);
        // An operator may stand apart from its version: `>= 18`.
        let version = if version.is_empty() { words.next().unwrap_or_default() } else { version };
        comparators.extend(comparator(operator, Partial::read(version)?));
    }
    Ok(semver::VersionReq { comparators })
}

/// The operator a word starts with, and the rest. npm lets `=` and `v` stand before any version, so `==18` is `=18`.
fn split_operator(word: &str) -> (&str, &str) {
    let known = [">=", "<=", "~>", ">", "<", "^", "~", "="];
    let operator = known.into_iter().find(|operator| word.starts_with(operator)).unwrap_or_default();
    (operator, word.strip_prefix(operator).unwrap_or(word).trim_start_matches('='))
}

/// One comparator, where a bare version means `=` (npm) and not `^` (Cargo). `None` holds for every version.
fn comparator(operator: &str, version: Partial) -> Option<semver::Comparator> {
    let op = match operator {
        "<" => semver::Op::Less,
        "<=" => semver::Op::LessEq,
        ">" => semver::Op::Greater,
        ">=" => semver::Op::GreaterEq,
        "^" => semver::Op::Caret,
        "~" | "~>" => semver::Op::Tilde,
        _ => semver::Op::Exact,
    };
    let new =
        |op, major, minor, patch| Some(semver::Comparator { op, major, minor, patch, pre: semver::Prerelease::EMPTY });
    match version.major {
        Some(major) => new(op, major, version.minor, version.patch),
        // npm: nothing is below or above every version; every other operator before a wildcard allows all.
        None if matches!(op, semver::Op::Less | semver::Op::Greater) => new(semver::Op::Less, 0, Some(0), Some(0)),
        None => None,
    }
}

/// `v18`, `18.x`, `18.2.*`, `x`, `18.2.1-rc.1`: numbers up to the first wildcard. A suffix is ignored.
#[derive(Clone, Copy, Default)]
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
}

impl Partial {
    fn read(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a version such as 20, 20.x or 20.11.0, found {text:?}");
        let plain = text.trim_start_matches(['v', '=']);
        let (core, suffix) = match plain.find(['-', '+']) {
            Some(start) => plain.split_at(start),
            None => (plain, ""),
        };
        let mut numbers = [None; 3];
        let mut wild = false;
        let mut count = 0;
        for part in core.split('.') {
            let number = numbers.get_mut(count).ok_or_else(expected)?;
            count += 1;
            if matches!(part, "x" | "X" | "*") {
                wild = true;
            } else if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(expected());
            } else if !wild {
                *number = Some(part.parse().map_err(|_| expected())?);
            }
        }
        // `18-20` is no range: npm takes a suffix only after three numbers, and so do we, lest it be read as 18.
        if !suffix.is_empty() && (count < 3 || suffix.len() == 1) {
            return Err(match suffix.strip_prefix('-') {
                Some(high) if !high.is_empty() => format!("a range needs spaces around the dash: {core} - {high}"),
                _ => expected(),
            });
        }
        let [major, minor, patch] = numbers;
        Ok(Self { major, minor, patch })
    }
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
    fn pep_440_edges() {
        for (set, good, bad) in [
            ("~=4.5", "4.9.0", "5.0.0"),
            ("~=4.5", "4.5.0", "4.4.9"),
            ("~=4.5.2", "4.5.2", "4.5.1"),
            ("==3.11", "3.11.0", "3.11.1"),
            ("!=3.11.*", "3.12.0", "3.11.4"),
            ("==3.*", "3.0.1", "4.0.0"),
            ("==3.11.4.*", "3.11.4", "3.11.5"),
            (">3.11", "3.11.1", "3.11.0"),
            ("<=3.11", "3.11.0", "3.11.1"),
            (">=3.8, <4, !=3.9.1", "3.9.2", "3.9.1"),
            (" >= 3.8 ", "3.8.0", "3.7.9"),
            ("===3.11.4", "3.11.4", "3.11.5"),
            ("==3.13.0rc1", "3.13.0", "3.13.1"),
            ("<3.13.0rc1", "3.12.9", "3.13.0"),
        ] {
            assert!(inside(Language::Python, set, good), "{set} {good}");
            assert!(!inside(Language::Python, set, bad), "{set} {bad}");
        }
        for bad in ["~=4", ">=3.8.*", "1!3.8", "^3.11", "latest", ">=", "==3.11,banana", "3.8 - 3.10"] {
            assert!(Constraint::parse(Language::Python, bad).is_err(), "{bad}");
        }
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
            (">20.1", "20.2.0", "20.1.9"),
            ("<=20.1", "20.1.9", "20.2.0"),
            ("<20", "19.9.9", "20.0.0"),
            ("^18.x", "18.0.0", "19.0.0"),
            ("^18.2.1", "18.3.0", "18.2.0"),
            (">=18.x", "18.0.0", "17.9.9"),
            ("~18", "18.9.0", "19.0.0"),
            ("~> 20.1", "20.1.0", "20.2.0"),
            ("18.2 - 20", "18.2.0", "18.1.9"),
            ("18 - 20.1", "20.1.9", "20.2.0"),
            ("x - 20", "1.0.0", "21.0.0"),
            ("v18.20.4", "18.20.4", "18.20.3"),
            ("==18", "18.1.0", "19.0.0"),
            ("=18.x", "18.1.0", "19.0.0"),
            ("~=18.1", "18.1.5", "18.2.0"),
            (">=18.2.1-rc.1", "18.2.1", "18.2.0"),
            ("^0.2.3", "0.2.4", "0.3.0"),
            ("^0", "0.9.0", "1.0.0"),
            ("1.x.3", "1.2.4", "2.0.0"),
        ] {
            assert!(inside(Language::Nodejs, range, good), "{range} {good}");
            assert!(!inside(Language::Nodejs, range, bad), "{range} {bad}");
        }
        for any in ["*", "x", ">=*", "^x", "~*", "18 ||", "* - *"] {
            assert!(inside(Language::Nodejs, any, "1.2.3"), "{any}");
        }
        for none in ["<*", ">x", ">=20 <18"] {
            assert!(!inside(Language::Nodejs, none, "1.2.3"), "{none}");
        }
        for bad in [
            "banana",
            "18 -",
            "- 20",
            "18-20",
            ">=18<21",
            "1.2.3.4",
            "1.x.banana",
            ">=",
            "^",
            "18 - 20 - 22",
            "18..1",
            "18.2.1-",
        ] {
            assert!(Constraint::parse(Language::Nodejs, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_parse_is_quoted_with_a_suggestion() {
        let error = Constraint::parse(Language::Python, "3.11").unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("==3.11.*"));
        for (text, meant) in [
            ("3", "==3.*"),
            ("3.11.x", "==3.11.*"),
            ("3.11.*", "==3.11.*"),
            ("=3.11.4", "==3.11.4"),
            ("^3.9", ">=3.9,<4"),
            ("~3.9", "==3.9.*"),
            ("~3.9.2", "~=3.9.2"),
        ] {
            let error = Constraint::parse(Language::Python, text).unwrap_err();
            assert_eq!(error.suggestion.as_deref(), Some(meant), "{text}");
            assert!(Constraint::parse(Language::Python, meant).is_ok(), "{meant}");
        }
        assert!(Constraint::parse(Language::Python, &">=3,".repeat(1000)).is_err());
    }
}
