//! Laws that hold for every world: one answer whatever the order, a reason for everyone else, and what stays stays.

use proptest::prelude::*;
use serde_json::Value;
use wharf::desired::demands::demands as demands_of;
use wharf::model::{
    Appmode, Constraint, Demand, Demands, Environment, ExplicitRequest, Installation, Language, Matching, Policy,
    Redirect, RedirectLevel, RequestedVersion, Selection, Strategy as Closeness, Version,
};
use wharf::select::{
    Availability, Candidate, NoFit, Reason, Recorded, choose, choose_again, demands_digest, explain, reasons,
};

use crate::world;

/// An environment, and whether it can be run.
type Owned = (Environment, Availability);

/// Few versions, so that equal ones are common.
const VERSIONS: [&str; 9] =
    ["3.11.2", "3.11.4", "3.11.4rc1", "3.11.4 Patched", "3.11.9", "3.12.0", "3.12.0rc2", "4.0.1", "2.7.18"];
const REQUESTS: [&str; 6] = ["3", "3.11", "3.11.4", "3.11.3", "3.12.0", "3.9.7+"];
/// Both grammars read these.
const CONSTRAINTS: [&str; 5] = [">=3.11,<4", "<3.12", ">3.11.4", "<=3.11.9", ">=3.12"];

fn any_installations() -> impl Strategy<Value = Vec<Installation>> {
    let one = (prop::sample::select(&VERSIONS[..]), prop::sample::select(&["/a", "/b", "/c"][..]));
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let installation =
            |(version, path): (&str, &str)| Installation { version: version.parse().unwrap(), path: path.to_owned() };
        all.into_iter().map(installation).collect()
    })
}

fn any_environment() -> impl Strategy<Value = Owned> {
    let languages = prop::collection::btree_map(prop::sample::select(&Language::ALL[..3]), any_installations(), 0..4);
    let matching = prop_oneof![6 => Just(Matching::Any), 1 => Just(Matching::Exact), 1 => Just(Matching::None)];
    let availability = prop_oneof![
        8 => Just(Availability::Runnable), 1 => Just(Availability::NotRunnable), 1 => Just(Availability::ImageNotAllowed)
    ];
    (languages, matching, availability, prop::bool::weighted(0.1)).prop_map(
        |(installations, matching, availability, redirected)| {
            let to = world::environment("registry.example/successor", "").name;
            let redirect = redirected.then_some(Redirect { to, message: None, level: RedirectLevel::Info });
            let empty = world::environment("registry.example/unnamed", "");
            (Environment { installations, matching, redirect, ..empty }, availability)
        },
    )
}

/// Up to eight environments with names of their own.
fn any_world() -> impl Strategy<Value = Vec<Owned>> {
    prop::collection::vec(any_environment(), 0..8).prop_map(|mut all| {
        for (number, (environment, _)) in all.iter_mut().enumerate() {
            environment.name = format!("registry.example/e{number}").parse().unwrap();
        }
        all
    })
}

fn any_demand(language: Language) -> impl Strategy<Value = Demand> {
    let version = prop::option::of(prop::sample::select(&REQUESTS[..]));
    let requires = prop::option::weighted(0.3, prop::sample::select(&CONSTRAINTS[..]));
    (version, requires).prop_map(move |(version, requires)| Demand {
        version: version.map(|text| text.parse().unwrap()),
        requires: requires.map(|text| Constraint::parse(language, text).unwrap()),
        place: None,
    })
}

fn any_demands() -> impl Strategy<Value = Demands> {
    let explicit = prop::option::weighted(0.25, (0..9_u8, any::<bool>()));
    let languages = Language::ALL.map(|language| {
        let weight = if language <= Language::Quarto { 0.4 } else { 0.02 };
        prop::option::weighted(weight, any_demand(language))
    });
    (languages, explicit).prop_map(|(languages, explicit)| {
        let explicit = explicit.map(|(number, by_guid)| {
            let name = format!("registry.example/e{number}");
            if by_guid {
                ExplicitRequest::Guid(world::guid(&name))
            } else {
                ExplicitRequest::Image(name.parse().unwrap())
            }
        });
        let languages = Language::ALL.into_iter().zip(languages).filter_map(|(name, demand)| Some((name, demand?)));
        Demands { languages: languages.collect(), explicit, ..Demands::default() }
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let strategy = prop::sample::select(&Closeness::ALL[..]);
    prop::collection::btree_map(prop::sample::select(&Language::ALL[..]), strategy, 0..4)
        .prop_map(|matching| Policy { matching, ..Policy::default() })
}

fn candidates(world: &[Owned]) -> Vec<Candidate<'_>> {
    world.iter().map(|(environment, availability)| world::candidate(environment, *availability)).collect()
}

/// The same world with environments and installations in another order.
fn shuffled(world: Vec<Owned>) -> impl Strategy<Value = Vec<Owned>> {
    let turned = world.into_iter().map(|(mut environment, availability)| {
        environment.installations.values_mut().for_each(|installations| installations.reverse());
        (environment, availability)
    });
    Just(turned.collect::<Vec<_>>()).prop_shuffle()
}

fn record(demands: &Demands, world: &[Owned], policy: &Policy) -> Option<Recorded> {
    let chosen = choose(demands, &candidates(world), policy).ok()??;
    Some(Recorded { selected: chosen.selected, demands: demands_digest(demands) })
}

proptest! {
    // Laws about a choice need one: worlds without are put aside, and more are drawn until there are enough.
    #![proptest_config(ProptestConfig {
        cases: 1000, max_global_rejects: 20_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn order_never_matters(
        demands in any_demands(),
        policy in any_policy(),
        (world, other) in any_world().prop_flat_map(|world| (Just(world.clone()), shuffled(world))),
    ) {
        let (one, other) = (candidates(&world), candidates(&other));
        let chosen = choose(&demands, &one, &policy);
        prop_assert_eq!(&chosen, &choose(&demands, &other, &policy));
        let name = chosen.ok().flatten().map(|chosen| chosen.selected.environment);
        prop_assert_eq!(
            reasons(&demands, &one, &policy, name.as_ref()),
            reasons(&demands, &other, &policy, name.as_ref())
        );
    }

    #[test]
    fn everyone_gets_an_answer_and_every_loser_one_reason(
        demands in any_demands(), policy in any_policy(), world in any_world(),
    ) {
        let all = candidates(&world);
        let result = choose(&demands, &all, &policy);
        let name = result.as_ref().ok().and_then(Option::as_ref).map(|chosen| &chosen.selected.environment);
        let why = reasons(&demands, &all, &policy, name);
        for (environment, _) in &world {
            prop_assert_eq!(why.contains_key(&environment.name), Some(&environment.name) != name);
        }
        match &result {
            Ok(chosen) => {
                let chosen = chosen.as_ref().unwrap();
                prop_assert!(world.iter().any(|(environment, _)| environment.name == chosen.selected.environment));
                prop_assert!(chosen.selected.installations.keys().eq(demands.languages.keys()));
                prop_assert!(chosen.matches.keys().eq(demands.languages.keys()));
            }
            Err(problem) => {
                prop_assert!(!why.values().any(|reason| *reason == Reason::LessClose));
                let said = explain::diagnostic(problem, &demands, &world::place(1, 1));
                prop_assert!(said.is_error() && !said.message.is_empty() && said.help.is_some());
                if let NoFit::RequestedUnusable { reason, .. } = problem {
                    prop_assert!(
                        matches!(reason, Reason::Disabled | Reason::NotRunnable | Reason::ImageNotAllowed)
                    );
                }
            }
        }
    }

    #[test]
    fn a_loser_can_be_taken_away(
        demands in any_demands(), policy in any_policy(), world in any_world(), which in any::<prop::sample::Index>(),
    ) {
        let selected = record(&demands, &world, &policy).map(|recorded| recorded.selected);
        prop_assume!(selected.is_some() && world.len() > 1);
        let mut fewer = world.clone();
        let removed = fewer.remove(which.index(world.len()));
        prop_assume!(selected.as_ref().map(|selected| &selected.environment) != Some(&removed.0.name));
        prop_assert_eq!(record(&demands, &fewer, &policy).map(|recorded| recorded.selected), selected);
    }

    #[test]
    fn new_environments_move_nothing(
        demands in any_demands(), policy in any_policy(), mut world in any_world(), (mut new, available) in any_environment(),
    ) {
        let recorded = record(&demands, &world, &policy);
        prop_assume!(recorded.is_some());
        new.name = "registry.example/0-new".parse().unwrap();
        world.push((new, available));
        let again = choose_again(&demands, &candidates(&world), &policy, recorded.as_ref()).unwrap();
        prop_assert!(again.stayed);
        prop_assert_eq!(Some(again.chosen.unwrap().selected), recorded.map(|recorded| recorded.selected));
    }

    #[test]
    fn any_other_world_keeps_or_chooses_afresh(
        (demands, changed) in (any_demands(), any_demands()),
        policy in any_policy(),
        (before, now) in (any_world(), any_world()),
        change in prop::bool::weighted(0.3),
    ) {
        let recorded = record(&demands, &before, &policy);
        let demands = if change { changed } else { demands };
        let now = candidates(&now);
        let fresh = choose(&demands, &now, &policy);
        let again = choose_again(&demands, &now, &policy, recorded.as_ref());
        let unchanged = recorded.as_ref().is_some_and(|recorded| recorded.demands == demands_digest(&demands));
        match &again {
            Ok(again) if again.stayed => {
                prop_assert!(unchanged);
                let kept = &again.chosen.as_ref().unwrap().selected;
                prop_assert_eq!(&kept.environment, &recorded.as_ref().unwrap().selected.environment);
                let fresh = fresh.as_ref().ok().and_then(Option::as_ref).map(|chosen| &chosen.selected);
                prop_assert_eq!(again.could_move.as_ref(), fresh.filter(|fresh| *fresh != kept));
            }
            Ok(again) => {
                prop_assert_eq!(&again.could_move, &None);
                prop_assert_eq!(Ok(&again.chosen), fresh.as_ref());
            }
            Err(problem) => prop_assert_eq!(Err(problem), fresh.as_ref()),
        }
        let follow = Policy { selection: Selection::Follow, ..policy };
        let followed = choose_again(&demands, &now, &follow, recorded.as_ref());
        prop_assert_eq!(followed.map(|again| again.chosen), fresh);
    }

    #[test]
    fn a_recorded_environment_that_is_gone_is_forgotten(
        demands in any_demands(), policy in any_policy(), world in any_world(),
    ) {
        let recorded = record(&demands, &world, &policy);
        prop_assume!(recorded.is_some());
        let gone = &recorded.as_ref().unwrap().selected.environment;
        let rest: Vec<Owned> = world.iter().filter(|(environment, _)| environment.name != *gone).cloned().collect();
        let again = choose_again(&demands, &candidates(&rest), &policy, recorded.as_ref());
        prop_assert_eq!(again.map(|again| again.chosen), choose(&demands, &candidates(&rest), &policy));
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "(?s).{0,40}", near in "[v^~<>=!|x*., 0-9a-c-]{0,24}") {
        for text in [text, near] {
            for language in Language::ALL {
                if let Ok(constraint) = Constraint::parse(language, &text) {
                    constraint.contains(&"3.11.4".parse().unwrap());
                }
            }
            if let Ok(version) = text.parse::<Version>() {
                prop_assert_eq!(version.to_string().parse::<Version>(), Ok(version));
            }
            if let Ok(version) = text.parse::<RequestedVersion>() {
                prop_assert!((1..=3).contains(&version.numbers().len()));
            }
        }
    }

    #[test]
    fn no_manifest_makes_the_reader_panic(
        appmode in prop::sample::select(Appmode::ALL), blocks in prop::collection::vec(any_json(), 7),
    ) {
        let names = ["platform", "python", "quarto", "nodejs", "node", "packages", "environment"];
        let manifest = names.into_iter().zip(blocks).map(|(name, block)| (name.to_owned(), block)).collect();
        let read = demands_of(appmode, &Value::Object(manifest), &|_| None);
        prop_assert!(read.is_ok() || read.is_err_and(|problems| !problems.is_empty()));
    }
}

/// JSON that is nearly a block of a manifest.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&["", " ", "3.11", "latest", ">=3.8", "^18", "registry.example/a", "knitr"][..])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(
        &["version", "requires", "engines", "image", "identifier", "r", "python", "quarto", "nodejs", "node"][..],
    );
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}
