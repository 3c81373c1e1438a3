//! The laws of the plan (plan.md): what is applied leaves an empty plan, a prefix leaves the rest, order decides nothing.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use wharf::model::{Digest, Policy};
use wharf::plan::{
    Goal, ItemGoal, Operation, Options, Plan, Subject, Wanted, WantedEnvironment, WantedItem, plan, samples,
};
use world::World;

/// What a commit may want of one item.
#[derive(Debug, Clone)]
struct Wish {
    name: usize,
    seed: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    App(u32),
    Document,
    Site,
    Broken,
}

fn wish() -> impl Strategy<Value = Wish> {
    let kind = prop_oneof![
        4 => (1_u32..3).prop_map(Kind::App),
        2 => Just(Kind::Document),
        2 => Just(Kind::Site),
        1 => Just(Kind::Broken),
    ];
    (0_usize..6, 0_u32..4, kind).prop_map(|(name, seed, kind)| Wish { name, seed, kind })
}

/// The parts of a goal, owned.
struct Commit {
    environments: BTreeMap<wharf::model::ImageRef, WantedEnvironment>,
    items: BTreeMap<wharf::model::ItemName, ItemGoal>,
    policy: Policy,
}

fn commit(wishes: &[Wish], environments: &[u32]) -> Commit {
    let item = |wish: &Wish| {
        let name = format!("item-{}", wish.name);
        let form = match wish.kind {
            Kind::App(processes) => samples::wanted_processes(&name, wish.seed, processes),
            Kind::Document => samples::document(&name, wish.seed, None),
            Kind::Site => samples::static_site(&name, wish.seed),
            Kind::Broken => {
                let reason = "its manifest cannot be read".to_owned();
                return (samples::name(&name), ItemGoal::Keep { reason, help: None });
            }
        };
        (samples::name(&name), ItemGoal::Wanted(Arc::new(wanted(form, wish.seed))))
    };
    let environment = |seed: &u32| {
        let form = samples::environment(&format!("registry.example/env:{}", seed % 3), *seed);
        let digest = Digest::of_value(&form);
        (form.name.clone(), WantedEnvironment { digest, origin: samples::origin("environments/a.yaml", *seed), form })
    };
    Commit {
        environments: environments.iter().map(environment).collect(),
        items: wishes.iter().map(item).collect(),
        policy: Policy::default(),
    }
}

fn wanted(form: Arc<WantedItem>, seed: u32) -> Wanted {
    let origin = samples::origin(&format!("content/{}/manifest.json", form.name), seed);
    Wanted::new(form, origin)
}

fn plan_of(commit: &Commit, world: &World) -> Plan {
    let (broken, notes) = (BTreeMap::new(), BTreeSet::new());
    let goal = Goal {
        environments: &commit.environments,
        broken_environments: &broken,
        environments_complete: true,
        items: &commit.items,
        notes: &notes,
        policy: &commit.policy,
        options: Options::default(),
    };
    plan(&goal, world.observed(), samples::time(1))
}

type Outline = Vec<(wharf::plan::Action, Subject)>;

fn outline<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Outline {
    operations.into_iter().map(|operation| (operation.action, operation.subject.clone())).collect()
}

/// Applies a whole plan, and checks after every operation that the rest is what is planned next.
fn walk(commit: &Commit, world: &mut World) -> Result<(), TestCaseError> {
    let planned = plan_of(commit, world);
    let operations: Vec<Operation> = planned.changes().cloned().collect();
    for (index, operation) in operations.iter().enumerate() {
        world.take(operation);
        let rest = outline(&operations[index + 1..]);
        let next = outline(plan_of(commit, world).changes());
        prop_assert_eq!(next, rest, "after {} {}", operation.action, &operation.subject);
    }
    prop_assert!(plan_of(commit, world).is_empty());
    Ok(())
}

fn wishes() -> impl Strategy<Value = (Vec<Wish>, Vec<u32>)> {
    (prop::collection::vec(wish(), 0..6), prop::collection::vec(0_u32..9, 0..4))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// From any commit to any other: a prefix of the plan leaves the rest of it, and the whole leaves nothing.
    #[test]
    fn a_prefix_leaves_the_rest(commits in prop::collection::vec(wishes(), 1..4)) {
        let mut world = World::default();
        for (wishes, environments) in &commits {
            walk(&commit(wishes, environments), &mut world)?;
        }
    }

    /// The plan's id speaks of the operations and what they were computed from, and of nothing else.
    #[test]
    fn equal_worlds_give_equal_plans((wishes, environments) in wishes()) {
        let wanted = commit(&wishes, &environments);
        let world = World::default();
        let (one, other) = (plan_of(&wanted, &world), plan_of(&wanted, &world.clone()));
        prop_assert_eq!(&one.id, &other.id);
        prop_assert_eq!(one.operations, other.operations);
    }

    /// An item never waits for another one: leaving any out leaves the others' operations as they are.
    #[test]
    fn items_do_not_depend_on_each_other((wishes, environments) in wishes(), left_out in 0_usize..6) {
        let all = plan_of(&commit(&wishes, &environments), &World::default());
        let fewer: Vec<Wish> = wishes.iter().filter(|wish| wish.name != left_out).cloned().collect();
        let few = plan_of(&commit(&fewer, &environments), &World::default());
        let gone = samples::name(&format!("item-{left_out}"));
        let shared_build = |operation: &&Operation| operation.subject.to_string().starts_with("build-");
        let rest = all.operations.iter().filter(|operation| operation.item.as_ref() != Some(&gone) && !shared_build(operation));
        prop_assert_eq!(outline(rest), outline(few.operations.iter().filter(|operation| !shared_build(operation))));
    }
}
