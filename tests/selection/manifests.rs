//! From manifests to demands: what demands a language, what means nothing, and what is refused.

use serde_json::{Value, json};
use wharf::desired::demands::demands;
use wharf::model::{Appmode, Demands, Diagnostic, ExplicitRequest, Language, Place};

fn read(appmode: &str, manifest: &Value) -> Result<Demands, Vec<Diagnostic>> {
    let appmode: Appmode = appmode.parse().unwrap();
    // The file's name tells which path was asked for.
    demands(appmode, manifest, &|keys| Some(Place::file(keys.join("."))))
}

/// The demands in one line: `python 3.11 at python.version`.
fn line(appmode: &str, manifest: &Value) -> String {
    let demands = read(appmode, manifest).unwrap();
    let languages = demands.languages.iter().map(|(language, demand)| {
        let version = demand.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let requires = demand.requires.as_ref().map(|constraint| format!(" {constraint}")).unwrap_or_default();
        format!("{}{version}{requires} at {}", language.key(), demand.place.as_ref().unwrap())
    });
    languages.collect::<Vec<_>>().join("; ")
}

/// The problems as they are read, one a line.
fn problems(appmode: &str, manifest: &Value) -> String {
    let problems = read(appmode, manifest).unwrap_err().into_iter().map(|problem| {
        format!(
            "{} [{}]\n  at {}\n  help: {}",
            problem.message,
            problem.code,
            problem.place.unwrap(),
            problem.help.unwrap()
        )
    });
    problems.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_demands_a_language() {
    for (appmode, manifest, expected) in [
        ("shiny", json!({"platform": "4.3.1"}), "r 4.3.1 at platform"),
        ("rmd-static", json!({}), "r at metadata.appmode"),
        (
            "python-api",
            json!({"platform": "4.3.1", "python": {"version": "3.11.4"}}),
            "python 3.11.4 at python.version",
        ),
        ("python-api", json!({"platform": "4.3.1", "packages": {}}), "python at metadata.appmode"),
        ("api", json!({"python": {"version": ""}}), "r at metadata.appmode; python at python"),
        ("python-api", json!({"packages": {"shiny": {}}}), "r at metadata.appmode; python at metadata.appmode"),
        (
            "quarto-static",
            json!({"quarto": {"version": "1.4.550", "engines": ["knitr"]}, "platform": "4.4"}),
            "r 4.4 at platform; quarto 1.4.550 at quarto.version",
        ),
        ("quarto-static", json!({"quarto": {"engines": ["jupyter"]}}), "quarto at quarto"),
        ("jupyter-voila", json!({"quarto": {}, "python": null}), "python at metadata.appmode"),
        ("nodejs-api", json!({"node": {"version": "20"}}), "nodejs 20 at node.version"),
        ("nodejs", json!({"node": {"version": "20"}, "nodejs": {"version": " "}}), "nodejs 20 at node.version"),
        ("python-api", json!({"nodejs": {"version": "20"}}), "python at metadata.appmode"),
        (
            "python-dash",
            json!({"environment": {"node": {"requires": "^18"}, "nodejs": {"requires": ""}}}),
            "python at metadata.appmode; nodejs ^18 at environment.node.requires",
        ),
        (
            "python-dash",
            json!({"python": {"version": "3.11"}, "environment": {"python": {"requires": ">=3.8"}}}),
            "python 3.11 >=3.8 at environment.python.requires",
        ),
        ("tensorflow-saved-model", json!({"python": {"version": "3.11"}}), "tensorflow at metadata.appmode"),
        ("static", json!({"python": {"version": "3.11"}, "platform": "4.1.3"}), ""),
    ] {
        assert_eq!(line(appmode, &manifest), expected, "{appmode} {manifest}");
    }
}

#[test]
fn static_items_consider_no_environment() {
    let manifest = json!({"environment": {"image": "registry.example/a", "python": {"requires": "banana"}}});
    assert_eq!(read("static", &manifest).unwrap(), Demands::without_environment());
}

#[test]
fn absent_in_every_way() {
    for absent in [json!(null), json!(""), json!(" \t\n"), json!({}), json!([])] {
        let manifest = json!({
            "platform": absent, "packages": absent, "python": absent, "quarto": absent, "nodejs": absent,
            "environment": {"image": absent, "identifier": absent, "r": absent, "python": {"requires": absent}},
        });
        assert_eq!(line("python-api", &manifest), "python at metadata.appmode", "{absent}");
        assert_eq!(read("python-api", &manifest).unwrap().explicit, None);
    }
}

#[test]
fn the_manifest_overrides_the_setting_and_a_guid_the_image() {
    let guid = "25438b83-ea6d-4839-ae8e-53c52ac5f9ce";
    let image = |name: &str| Some(ExplicitRequest::Image(name.parse().unwrap()));
    let both = json!({"environment": {"identifier": guid, "image": "registry.example/a"}});
    let setting = image("registry.example/setting");
    let explicit = |manifest: &Value| read("api", manifest).unwrap().with_setting(setting.clone()).explicit;
    assert_eq!(explicit(&both), Some(ExplicitRequest::Guid(guid.parse().unwrap())));
    assert_eq!(explicit(&json!({"environment": {"image": " registry.example/a "}})), image("registry.example/a"));
    assert_eq!(explicit(&json!({"environment": {"image": ""}})), setting);
    assert_eq!(read("api", &both).unwrap().without_explicit(), read("api", &json!({})).unwrap());
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let refused = [
        ("python-api", json!({"python": {"version": 3.1}})),
        ("python-api", json!({"python": {"version": "latest"}})),
        ("python-api", json!({"python": "3.11"})),
        ("api", json!({"environment": {"image": "not an image", "r": {"requires": "4.3"}}})),
        ("api", json!({"environment": {"identifier": "7", "r": {"requires": ["4"]}}})),
        ("nodejs", json!({"environment": {"nodejs": {"requires": "18-20"}}})),
        ("nodejs", json!({"environment": {"node": {"requires": "lts"}}})),
        ("python-api", json!({"environment": {"python": {"requires": ">=3.8, banana"}}})),
        ("python-api", json!({"environment": {"python": {"requires": "^3.11"}}})),
        ("python-api", json!({"environment": {"python": {"requires": ">=3.8.*"}}})),
    ];
    let texts = refused.iter().map(|(appmode, manifest)| format!("{manifest}\n{}\n", problems(appmode, manifest)));
    insta::assert_snapshot!(texts.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_bad_text_that_no_language_needs_is_left_alone() {
    let manifest = json!({"platform": "R version 4.3", "nodejs": {"version": "lts"}});
    assert_eq!(read("python-api", &manifest).unwrap().languages.into_keys().collect::<Vec<_>>(), [Language::Python]);
    assert!(read("shiny", &manifest).is_err());
}
