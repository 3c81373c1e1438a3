//! The values of secrets: where they come from, and how they stay out of the log. They live in memory only.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal, Read};

use super::error::SessionError;

/// What stands in the log in a secret's place.
pub(super) const MASK: &str = "********";
/// Shorter lines are not masked: they would be found everywhere, and the mask would give them away.
const SHORTEST: usize = 4;
/// Secrets are no larger together.
const MAX_BYTES: u64 = 4 << 20;

/// Secrets by name.
#[derive(Default)]
pub(super) struct Secrets {
    values: BTreeMap<String, String>,
    /// What is masked, the longest first, so that no rest of a longer one stays.
    masked: Vec<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Secrets {
    /// Takes the named secrets from standard input, and those that are not there from this process' own variables.
    pub fn take(names: &[String]) -> Result<Self, SessionError> {
        if names.is_empty() {
            return Ok(Self::default());
        }
        let mut given = read_input()?;
        let mut values = BTreeMap::new();
        for name in names {
            let value = given.remove(name).or_else(|| std::env::var(name).ok());
            let value = value.ok_or_else(|| SessionError::SecretMissing { name: name.clone() })?;
            values.insert(name.clone(), value);
        }
        Ok(Self::new(values))
    }

    fn new(values: BTreeMap<String, String>) -> Self {
        let mut secrets = Self { values, masked: Vec::new() };
        let values: Vec<String> = secrets.values.values().cloned().collect();
        for value in &values {
            secrets.also_mask(value);
        }
        secrets
    }

    /// Masks one more text, for instance the password of an index URL.
    pub fn also_mask(&mut self, value: &str) {
        // The log is written by lines, so a key of many lines is looked for line by line.
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST).map(str::to_owned);
        self.masked.extend(lines);
        self.masked.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.masked.dedup();
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.values.iter()
    }

    /// The line with every secret masked.
    pub fn mask(&self, line: &str) -> String {
        self.masked.iter().fold(line.to_owned(), |line, secret| {
            if line.contains(secret.as_str()) { line.replace(secret.as_str(), MASK) } else { line }
        })
    }

    /// The length of the longest secret in bytes.
    pub fn longest(&self) -> usize {
        self.masked.first().map_or(0, String::len)
    }
}

fn read_input() -> Result<BTreeMap<String, String>, SessionError> {
    let mut text = Vec::new();
    if !std::io::stdin().is_terminal() {
        // A closed standard input gives nothing, which is as good as an empty one.
        let _ = std::io::stdin().take(MAX_BYTES).read_to_end(&mut text);
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(BTreeMap::new());
    }
    // The cause would quote the input.
    serde_json::from_slice(&text).map_err(|_| SessionError::Secrets)
}

/// The password of a URL, to be masked.
pub(super) fn url_password(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':').map_or(user, |(_, password)| password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        Secrets::new(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn longer_secrets_leave_no_rest_of_themselves() {
        let secrets = secrets(&[("A", "hunter"), ("B", "hunter-two"), ("PIN", "12"), ("KEY", "BEGIN\nabcdef\nEND")]);
        assert_eq!(secrets.mask("a=hunter b=hunter-two pin=12 abcdef"), "a=******** b=******** pin=12 ********");
        assert_eq!(format!("{secrets:?}"), r#"{"A", "B", "KEY", "PIN"}"#);
    }

    #[test]
    fn passwords_of_urls_are_found() {
        assert_eq!(url_password("https://reader:s3cret@index.example/simple"), Some("s3cret"));
        assert_eq!(url_password("https://token@index.example/simple"), Some("token"));
        assert_eq!(url_password("https://index.example/@scope"), None);
    }
}
