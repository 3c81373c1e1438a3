//! What people read when nothing fits.

use wharf::model::{Demands, Diagnostic, Environment, ExplicitRequest, Language, Matching, Place, Policy, Strategy};
use wharf::select::{Availability, Candidate, choose, explain};

use crate::world::{candidate, candidates, demands, environment, place};

/// A diagnostic in the layout of the specification.
fn drawn(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
    let mut text = format!("{place}{} [{}]", diagnostic.message, diagnostic.code);
    text += &diagnostic.detail.as_ref().map(|detail| format!("\n  {detail}")).unwrap_or_default();
    text += &diagnostic.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
    text += &diagnostic.related.as_ref().map(|(place, note)| format!("\n  {place}: {note}")).unwrap_or_default();
    text
}

fn text_by(demands: &Demands, candidates: &[Candidate<'_>], policy: &Policy) -> String {
    let problem = choose(demands, candidates, policy).unwrap_err();
    drawn(&explain::diagnostic(&problem, demands, &Place::file("content/penguins-api/manifest.json")))
}

fn text(demands: &Demands, environments: &[Environment]) -> String {
    text_by(demands, &candidates(environments), &Policy::default())
}

fn three_pythons() -> Vec<Environment> {
    vec![
        environment("registry.example/a", "python 3.10.14 3.11.9"),
        environment("registry.example/b", "python 3.12.3; quarto 1.4.550"),
        environment("registry.example/c", "r 4.4.1"),
    ]
}

fn asking_for(image: &str, asked: &[&str]) -> Demands {
    let mut demands = demands(asked).with_setting(Some(ExplicitRequest::Image(image.parse().unwrap())));
    demands.explicit_place = Some(place(9, 14));
    demands
}

#[test]
fn a_version_that_no_environment_has() {
    insta::assert_snapshot!(text(&demands(&["python 3.9.5"]), &three_pythons()), @r"
    content/penguins-api/manifest.json:6:16: no environment has Python 3.9.5 [E0201]
      asked for: 3.9.5 (major-minor)   available: 3.10.14, 3.11.9, 3.12.3
      help: add an environment with Python 3.9.x, or set environment.python.requires
    ");
    let exact = Policy { matching: [(Language::Python, Strategy::Exact)].into(), ..Policy::default() };
    insta::assert_snapshot!(text_by(&demands(&["python 3.12.1"]), &candidates(&three_pythons()), &exact), @r"
    content/penguins-api/manifest.json:6:16: no environment has Python 3.12.1 [E0201]
      asked for: 3.12.1 (exact)   available: 3.10.14, 3.11.9, 3.12.3
      help: add an environment with Python 3.12.1, or set environment.python.requires
    ");
}

#[test]
fn a_constraint_that_no_environment_satisfies() {
    insta::assert_snapshot!(text(&demands(&["python >=3.13,<4"]), &three_pythons()), @r"
    content/penguins-api/manifest.json:6:16: no environment has Python inside >=3.13,<4 [E0201]
      asked for: >=3.13,<4   available: 3.10.14, 3.11.9, 3.12.3
      help: add an environment with Python inside >=3.13,<4, or change environment.python.requires
    ");
}

#[test]
fn a_language_that_no_environment_has() {
    insta::assert_snapshot!(text(&demands(&["nodejs 20.11"]), &three_pythons()), @r"
    content/penguins-api/manifest.json:6:16: no environment has Node.js [E0201]
      asked for: 20.11 (nearest)   available: none
      help: add an environment with Node.js 20.11.x, or set environment.nodejs.requires
    ");
    insta::assert_snapshot!(text(&demands(&["tensorflow"]), &three_pythons()), @r"
    content/penguins-api/manifest.json:6:16: no environment has TensorFlow [E0201]
      asked for: any version   available: none
      help: add an environment with TensorFlow's model server
    ");
}

#[test]
fn languages_that_no_environment_has_together() {
    insta::assert_snapshot!(text(&demands(&["r 4.4", "python 3.12"]), &three_pythons()), @r"
    content/penguins-api/manifest.json:6:16: no environment has R and Python together [E0201]
      asked for: R 4.4 (nearest) and Python 3.12 (major-minor)
      help: add an environment that has them all, or ask for versions that one environment has
    ");
}

#[test]
fn very_many_versions_are_cut() {
    let versions: Vec<String> = (0..40).map(|patch| format!("3.11.{patch}")).collect();
    let environments = [environment("registry.example/a", &format!("python {}", versions.join(" ")))];
    insta::assert_snapshot!(text(&demands(&["python 3.9"]), &environments), @r"
    content/penguins-api/manifest.json:6:16: no environment has Python 3.9 [E0201]
      asked for: 3.9 (major-minor)   available: 28 older, 3.11.28, 3.11.29, 3.11.30, 3.11.31, 3.11.32, 3.11.33, 3.11.34, 3.11.35, 3.11.36, 3.11.37, 3.11.38, 3.11.39
      help: add an environment with Python 3.9.x, or set environment.python.requires
    ");
}

#[test]
fn a_requested_environment_that_does_not_suit() {
    insta::assert_snapshot!(text(&asking_for("registry.example/gone", &["python 3.12"]), &three_pythons()), @r"
    content/penguins-api/manifest.json:9:14: the environment asked for does not exist: registry.example/gone [E0202]
      help: correct the name, add an environment of that name, or ask for none to have one chosen
    ");
    insta::assert_snapshot!(text(&asking_for("registry.example/a", &["python 3.12"]), &three_pythons()), @r"
    content/penguins-api/manifest.json:6:16: the environment asked for, registry.example/a, does not have Python 3.12 [E0203]
      asked for: 3.12 (major-minor)   available: 3.10.14, 3.11.9
      help: add Python 3.12 to it, ask for another environment, or for none to have one chosen
      content/penguins-api/manifest.json:9:14: the environment is asked for here
    ");
}

#[test]
fn a_requested_environment_that_nobody_can_use() {
    let mut off = environment("registry.example/a", "python 3.12.3");
    let demands = asking_for("registry.example/a", &["python 3.12"]);
    insta::assert_snapshot!(text_by(&demands, &[candidate(&off, Availability::ImageNotAllowed)], &Policy::default()), @r"
    content/penguins-api/manifest.json:9:14: the environment asked for, registry.example/a, has an image that the policy does not allow [E0203]
      help: allow the image in the policy, or ask for another environment
    ");
    insta::assert_snapshot!(text_by(&demands, &[candidate(&off, Availability::NotRunnable)], &Policy::default()), @r"
    content/penguins-api/manifest.json:9:14: the environment asked for, registry.example/a, cannot be run here [E0203]
      help: ask for another environment, or for none to have one chosen
    ");
    off.matching = Matching::None;
    insta::assert_snapshot!(text(&demands, &[off]), @r"
    content/penguins-api/manifest.json:9:14: the environment asked for, registry.example/a, is switched off (matching: none) [E0203]
      help: set its matching to exact, or ask for another environment
    ");
}

#[test]
fn no_environment_takes_part() {
    insta::assert_snapshot!(text(&demands(&["python 3.12"]), &[]), @r"
    content/penguins-api/manifest.json: there are no environments [E0204]
      help: add an environment: one YAML file below environments/
    ");
    let mut environments = three_pythons();
    environments[0].matching = Matching::Exact;
    environments[1].matching = Matching::Exact;
    environments[2].matching = Matching::None;
    insta::assert_snapshot!(text(&demands(&["python 3.12"]), &environments), @r"
    content/penguins-api/manifest.json: no environment takes part in the selection [E0204]
      left out: 1 switched off (matching: none) and 2 only for items that ask for them (matching: exact)
      help: add an environment with matching: any, or name one in environment.image of the manifest
    ");
}
