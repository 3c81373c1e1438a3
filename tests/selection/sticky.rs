//! What stays where it is, case by case; the laws behind are in `laws.rs`.

use wharf::model::{Demands, Environment, ExplicitRequest, Matching, Policy, Redirect, RedirectLevel, Selection};
use wharf::select::{Again, Availability, Match, NoFit, Recorded, Rule, choose, choose_again, demands_digest};

use crate::world::{candidate, candidates, demands, environment, policy};

const OLD: &str = "registry.example/old";
const NEW: &str = "registry.example/new";

fn recorded(demands: &Demands, environments: &[Environment]) -> Recorded {
    let chosen = choose(demands, &candidates(environments), &policy()).unwrap().unwrap();
    Recorded { selected: chosen.selected, demands: demands_digest(demands) }
}

fn again(demands: &Demands, environments: &[Environment], recorded: &Recorded) -> Again {
    choose_again(demands, &candidates(environments), &policy(), Some(recorded)).unwrap()
}

/// Environment and version of Python, and where it could move.
fn outcome(again: &Again) -> (String, Option<String>) {
    let one = |selected: &wharf::model::Selected| {
        let versions: Vec<String> = selected.installations.values().map(|one| one.version.to_string()).collect();
        format!("{} {}", selected.environment, versions.join(" "))
    };
    (one(&again.chosen.as_ref().unwrap().selected), again.could_move.as_ref().map(one))
}

#[test]
fn a_better_environment_moves_nothing() {
    let demands = demands(&["python 3.11.4"]);
    let old = environment(OLD, "python 3.11.9");
    let record = recorded(&demands, std::slice::from_ref(&old));
    let world = [old, environment(NEW, "python 3.11.4")];
    let again = again(&demands, &world, &record);
    assert_eq!(outcome(&again), (format!("{OLD} 3.11.9"), Some(format!("{NEW} 3.11.4"))));
    assert!(again.stayed);
    assert_eq!(again.chosen.unwrap().rule, Rule::Recorded);

    let follow = Policy { selection: Selection::Follow, ..policy() };
    let followed = choose_again(&demands, &candidates(&world), &follow, Some(&record)).unwrap();
    assert_eq!(outcome(&followed), (format!("{NEW} 3.11.4"), None));
    assert!(!followed.stayed);
}

#[test]
fn a_better_interpreter_in_the_same_environment_moves_nothing() {
    let demands = demands(&["python 3.11.4"]);
    let record = recorded(&demands, &[environment(OLD, "python 3.11.9")]);
    let again = again(&demands, &[environment(OLD, "python 3.11.9 3.11.4")], &record);
    assert_eq!(outcome(&again), (format!("{OLD} 3.11.9"), Some(format!("{OLD} 3.11.4"))));
}

#[test]
fn changed_demands_move_and_moved_lines_do_not() {
    let before = demands(&["python 3.11.4"]);
    let world = [environment(OLD, "python 3.11.9"), environment(NEW, "python 3.11.10")];
    let record = recorded(&before, &world);
    let changed = demands(&["python 3.11.10"]);
    assert_eq!(outcome(&again(&changed, &world, &record)), (format!("{NEW} 3.11.10"), None));

    let mut further_down = before.clone();
    further_down.languages.values_mut().for_each(|demand| demand.place = None);
    assert_eq!(demands_digest(&before), demands_digest(&further_down));
    let asked = before.with_setting(Some(ExplicitRequest::Image(OLD.parse().unwrap())));
    assert_ne!(demands_digest(&asked), record.demands);
}

#[test]
fn what_no_longer_takes_part_or_satisfies_is_left() {
    let demands = demands(&["python 3.11.4"]);
    let old = environment(OLD, "python 3.11.4");
    let new = environment(NEW, "python 3.11.9");
    let record = recorded(&demands, &[old.clone(), new.clone()]);
    let moved = (format!("{NEW} 3.11.9"), None);

    assert_eq!(outcome(&again(&demands, std::slice::from_ref(&new), &record)), moved);
    for matching in [Matching::None, Matching::Exact] {
        let off = Environment { matching, ..old.clone() };
        assert_eq!(outcome(&again(&demands, &[off, new.clone()], &record)), moved, "{matching:?}");
    }
    let emptied = environment(OLD, "python 3.12.1");
    assert_eq!(outcome(&again(&demands, &[emptied, new.clone()], &record)), moved);
    for availability in [Availability::NotRunnable, Availability::ImageNotAllowed] {
        let world = [candidate(&old, availability), candidate(&new, Availability::Runnable)];
        let again = choose_again(&demands, &world, &policy(), Some(&record)).unwrap();
        assert_eq!(outcome(&again), moved, "{availability:?}");
    }
    assert!(matches!(choose_again(&demands, &[], &policy(), Some(&record)), Err(NoFit::NoEnvironments { .. })));
}

#[test]
fn an_interpreter_that_is_gone_is_replaced_where_it_was() {
    let demands = demands(&["python 3.11.4"]);
    let record = recorded(&demands, &[environment(OLD, "python 3.11.4")]);
    let world = [environment(OLD, "python 3.11.6"), environment(NEW, "python 3.11.4")];
    let again = again(&demands, &world, &record);
    assert_eq!(outcome(&again), (format!("{OLD} 3.11.6"), Some(format!("{NEW} 3.11.4"))));
}

#[test]
fn a_redirect_keeps_what_runs_there_and_says_so() {
    let demands = demands(&["python 3.11.4"]);
    let mut old = environment(OLD, "python 3.11.4");
    let new = environment(NEW, "python 3.11.9");
    let record = recorded(&demands, &[old.clone(), new.clone()]);
    let message = Some("please move".to_owned());
    old.redirect = Some(Redirect { to: new.name.clone(), message: message.clone(), level: RedirectLevel::Warning });
    let world = [old, new];
    let kept = again(&demands, &world, &record);
    assert_eq!(outcome(&kept), (format!("{OLD} 3.11.4"), Some(format!("{NEW} 3.11.9"))));
    assert_eq!(kept.chosen.unwrap().redirect.and_then(|redirect| redirect.message), message);

    let asking = demands.with_setting(Some(ExplicitRequest::Image(OLD.parse().unwrap())));
    let chosen = choose(&asking, &candidates(&world), &policy()).unwrap().unwrap();
    assert_eq!((chosen.rule, chosen.redirect.is_some()), (Rule::Explicit, true));
}

#[test]
fn the_rule_that_decided_is_named() {
    let a = environment("registry.example/a", "python 3.11.4");
    let b = environment("registry.example/b", "python 3.11.4");
    let with_r = environment("registry.example/0", "python 3.11.4; r 4.4.1");
    let later = environment("registry.example/1", "python 3.11.9");
    let rule = |world: &[Environment]| {
        let chosen = choose(&demands(&["python 3.11.4"]), &candidates(world), &policy()).unwrap().unwrap();
        (chosen.selected.environment.to_string(), chosen.rule)
    };
    let name = || "registry.example/a".to_owned();
    let python = wharf::model::Language::Python;
    assert_eq!(rule(std::slice::from_ref(&a)), (name(), Rule::OnlyFit));
    assert_eq!(rule(&[later, a.clone()]), (name(), Rule::Closer(python)));
    assert_eq!(rule(&[with_r, a.clone()]), (name(), Rule::FewerOthers));
    assert_eq!(rule(&[b, a]), (name(), Rule::Name));
}

#[test]
fn how_each_language_matches_is_named() {
    let world = [environment("registry.example/a", "python 3.11.4; r 4.4.1; quarto 1.4.550; nodejs 20.1.0")];
    let matched = |asked: &[&str]| {
        let chosen = choose(&demands(asked), &candidates(&world), &policy()).unwrap().unwrap();
        chosen.matches.into_values().collect::<Vec<_>>()
    };
    assert_eq!(
        matched(&["r 4.1.3", "python 3.11.2", "quarto", "nodejs ^20"]),
        [Match::Nearest, Match::SameSeries, Match::Newest, Match::Constraint]
    );
    assert_eq!(matched(&["r 4.4.1", "python 3"]), [Match::Equal, Match::Equal]);
}

#[test]
fn static_items_have_nothing_to_keep() {
    let demands = Demands::without_environment();
    let record = recorded(&self::demands(&["python"]), &[environment(OLD, "python 3.11.4")]);
    let again = choose_again(&demands, &[], &policy(), Some(&record)).unwrap();
    assert_eq!(again, Again { chosen: None, could_move: None, stayed: false });
}
