//! Small worlds for the tests: environments, demands and policies in few words. Asserts nothing.

use std::collections::BTreeMap;

use wharf::model::{
    Constraint, Demand, Demands, Environment, Guid, Installation, Instance, Language, Matching, Place, Policy, Span,
};
use wharf::select::{Availability, Candidate};

/// The GUID of an environment that was given none.
pub fn guid(name: &str) -> Guid {
    let instance: Instance = "test".parse().unwrap();
    Guid::derived(&instance, "environment", name)
}

/// An environment everybody may use, with versions by language: `"python 3.11.9 3.12.3; quarto 1.4.550"`.
pub fn environment(name: &str, installed: &str) -> Environment {
    let mut installations = BTreeMap::new();
    for group in installed.split(';').map(str::trim).filter(|group| !group.is_empty()) {
        let mut words = group.split_whitespace();
        let language = language(words.next().unwrap());
        let versions = words.map(|version| Installation {
            version: version.parse().unwrap(),
            path: format!("/opt/{}/{version}/bin/program", language.key()),
        });
        installations.insert(language, versions.collect());
    }
    Environment {
        name: name.parse().unwrap(),
        guid: None,
        title: None,
        description: None,
        matching: Matching::Any,
        supervisor: None,
        installations,
        volume_mounts: Vec::new(),
        digest: None,
        redirect: None,
    }
}

pub fn language(key: &str) -> Language {
    Language::ALL.into_iter().find(|language| language.key() == key).unwrap()
}

/// Every environment as a candidate that can be run.
pub fn candidates(environments: &[Environment]) -> Vec<Candidate<'_>> {
    let candidate = |environment| candidate(environment, Availability::Runnable);
    environments.iter().map(candidate).collect()
}

pub fn candidate(environment: &Environment, availability: Availability) -> Candidate<'_> {
    Candidate { environment, guid: guid(environment.name.as_str()), availability }
}

/// A place in a manifest.
pub fn place(line: u32, column: u32) -> Place {
    Place::at("content/penguins-api/manifest.json", Span { line, column, start: 0, end: 1 })
}

/// Demands by language: `"python 3.11"`, `"python >=3.8,<4"`, `"r"`; each stands on a line of its own, from 6.
pub fn demands(asked: &[&str]) -> Demands {
    let mut demands = Demands::default();
    for (line, text) in (6..).zip(asked) {
        let (key, wish) = text.split_once(' ').unwrap_or((text, ""));
        let language = language(key);
        let (mut version, mut requires) = (None, None);
        if wish.starts_with(|c: char| c.is_ascii_digit()) {
            version = Some(wish.parse().unwrap());
        } else if !wish.is_empty() {
            requires = Some(Constraint::parse(language, wish).unwrap());
        }
        demands.languages.insert(language, Demand { version, requires, place: Some(place(line, 16)) });
    }
    demands
}

pub fn policy() -> Policy {
    Policy::default()
}
