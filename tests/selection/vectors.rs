//! The 300 vectors of the specification: manifest, environments, policy and setting in, choice and reasons out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use wharf::desired::demands::demands;
use wharf::model::{
    Appmode, Environment, ExplicitRequest, ImageRef, Installation, Language, Matching, Policy, Redirect, RedirectLevel,
    Strategy,
};
use wharf::select::{Reason, choose, reasons};

use crate::world;

#[derive(Deserialize)]
struct Vector {
    id: String,
    policy: BTreeMap<Language, Strategy>,
    setting: Option<String>,
    environments: Vec<Entry>,
    manifest: Value,
    expect: Expected,
}

#[derive(Deserialize)]
struct Entry {
    name: ImageRef,
    #[serde(default)]
    matching: Matching,
    redirect: Option<EntryRedirect>,
    r: Option<Installed>,
    python: Option<Installed>,
    quarto: Option<Installed>,
    nodejs: Option<Installed>,
    tensorflow: Option<Installed>,
}

#[derive(Deserialize)]
struct EntryRedirect {
    to: ImageRef,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Installed {
    installations: Vec<Installation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    environment: Option<ImageRef>,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    installations: BTreeMap<Language, Installation>,
    #[serde(default)]
    rejected: BTreeMap<ImageRef, Reason>,
}

impl Entry {
    fn environment(self) -> Environment {
        let installed = [
            (Language::R, self.r),
            (Language::Python, self.python),
            (Language::Quarto, self.quarto),
            (Language::Nodejs, self.nodejs),
            (Language::Tensorflow, self.tensorflow),
        ];
        let installed = installed.into_iter().filter_map(|(language, some)| Some((language, some?.installations)));
        let redirect = self.redirect.map(|redirect| Redirect {
            to: redirect.to,
            message: redirect.message,
            level: RedirectLevel::Info,
        });
        let empty = world::environment(self.name.as_str(), "");
        Environment { matching: self.matching, installations: installed.collect(), redirect, ..empty }
    }
}

/// What differs from the expectation, if anything does.
fn check(vector: Vector) -> Option<String> {
    let id = vector.id;
    let appmode: Appmode = vector.manifest["metadata"]["appmode"].as_str().unwrap().parse().unwrap();
    let setting = vector.setting.map(|name| ExplicitRequest::Image(name.parse().unwrap()));
    let demands = demands(appmode, &vector.manifest, &|_| None).unwrap().with_setting(setting);
    let policy = Policy { matching: vector.policy, ..Policy::default() };
    let environments: Vec<Environment> = vector.environments.into_iter().map(Entry::environment).collect();
    let candidates = world::candidates(&environments);

    let result = choose(&demands, &candidates, &policy);
    let chosen = result.as_ref().ok().and_then(Option::as_ref).map(|chosen| &chosen.selected);
    let rejected = reasons(&demands, &candidates, &policy, chosen.map(|chosen| &chosen.environment));
    let installations: Option<BTreeMap<_, _>> = chosen.map(|chosen| {
        let installed = chosen.installations.iter();
        let plain = |one: &wharf::model::SelectedInstallation| Installation {
            version: one.version.clone(),
            path: one.path.clone(),
        };
        installed.map(|(language, one)| (*language, plain(one))).collect()
    });
    let expected = vector.expect;
    let same = chosen.map(|chosen| &chosen.environment) == expected.environment.as_ref()
        && result.is_err() == expected.error
        && installations.unwrap_or_default() == expected.installations
        && rejected == expected.rejected;
    (!same).then(|| format!("{id}: found {result:?} and {rejected:?}"))
}

#[test]
fn all_vectors_pass() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert_eq!(vectors.len(), 300);
    let wrong: Vec<String> = vectors.into_iter().filter_map(check).collect();
    assert!(wrong.is_empty(), "{} of 300 differ:\n{}", wrong.len(), wrong.join("\n"));
}
