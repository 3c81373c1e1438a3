//! What people read of a plan, in the situations that matter: one scene a test, its text kept as a snapshot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it is")]

#[path = "../plan_laws/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wharf::model::{Digest, ItemName, Policy};
use wharf::plan::{
    Change, Detail, Goal, ItemGoal, Observed, Options, Phase, Plan, PlanDocument, Role, Wanted, WantedItem, learn,
    lines, markdown, plan, samples,
};
use world::World;

/// What a commit wants, and who asks.
#[derive(Default)]
struct Commit {
    items: BTreeMap<ItemName, ItemGoal>,
    policy: Policy,
    options: Options,
}

impl Commit {
    fn of(forms: impl IntoIterator<Item = Arc<WantedItem>>) -> Self {
        let goal = |form: Arc<WantedItem>| {
            let origin = samples::origin(&format!("content/{}/manifest.json", form.name), 1);
            let wanted = Wanted::new(form.clone(), origin);
            (form.name.clone(), ItemGoal::Wanted(Arc::new(wanted)))
        };
        Self { items: forms.into_iter().map(goal).collect(), ..Self::default() }
    }

    fn plan(&self, world: &World, seconds: i64) -> Plan {
        let (environments, broken, notes) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let goal = Goal {
            environments: &environments,
            broken_environments: &broken,
            environments_complete: true,
            items: &self.items,
            notes: &notes,
            policy: &self.policy,
            options: self.options,
        };
        plan(&goal, world.observed(), samples::time(seconds))
    }

    /// Applies everything, as if every job went well at once.
    fn apply(&self, world: &mut World) {
        for operation in self.plan(world, 0).changes() {
            world.take(operation);
        }
    }
}

fn text(plan: &Plan) -> String {
    lines(plan, Detail::Short).into_iter().map(|line| line.text + "\n").collect()
}

/// A world where the first revision of an application runs.
fn running() -> World {
    let mut world = World::default();
    Commit::of([samples::wanted("tides", 1)]).apply(&mut world);
    world
}

/// Lets the newest job of a role end badly.
fn fail(world: &mut World, role: Role, seconds: i64) {
    let jobs = world.executor.items.values_mut().flat_map(|item| item.jobs.values_mut());
    let builds = world.executor.builds.values_mut().flatten();
    let job = jobs.chain(builds).filter(|job| job.role == role).last().unwrap();
    job.phase = Phase::Failed {
        reason: "exit code 1".to_owned(),
        tail: vec!["ERROR: No matching distribution found for flaskk".to_owned()],
        counts: true,
    };
    job.ready = None;
    job.ended = Some(samples::time(seconds));
    let observed = Observed { registry: &world.registry, executor: &world.executor };
    for lesson in learn(observed, samples::time(seconds)) {
        world.registry.memory.take(&lesson);
    }
}

#[test]
fn a_first_commit() {
    let commit = Commit::of([
        samples::wanted_processes("tides", 1, 2),
        samples::document("report", 1, Some("0 6 * * *")),
        samples::static_site("flags", 1),
    ]);
    insta::assert_snapshot!(text(&commit.plan(&World::default(), 0)));
}

#[test]
fn a_new_revision_is_ready_before_the_old_one_ends() {
    insta::assert_snapshot!(text(&Commit::of([samples::wanted("tides", 2)]).plan(&running(), 1)));
}

#[test]
fn nothing_is_left_to_do() {
    let plan = Commit::of([samples::wanted("tides", 1)]).plan(&running(), 1);
    assert!(plan.is_settled());
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn a_failed_build_is_tried_again_and_the_old_revision_stays() {
    let mut world = running();
    let commit = Commit::of([samples::wanted("tides", 2)]);
    let planned = commit.plan(&world, 1);
    for operation in planned.changes().filter(|operation| operation.due) {
        world.take(operation);
    }
    let key = samples::package_key(&samples::wanted("tides", 2));
    world.executor.package_environments.remove(&key);
    world.executor.builds.values_mut().for_each(|jobs| jobs.retain(|job| job.item == samples::name("tides")));
    fail(&mut world, Role::Build, 10);
    let waiting = commit.plan(&world, 11);
    assert!(waiting.changes().all(|operation| operation.action != wharf::plan::Action::Delete), "the old one stays");
    insta::assert_snapshot!(text(&waiting));
    assert_eq!(waiting.next_wake, Some(samples::time(70)), "one minute after the failure");
    let again = commit.plan(&world, 70);
    assert_eq!(again.cost.builds, 1);
}

#[test]
fn a_process_that_ends_again_and_again_is_given_up() {
    let mut world = running();
    let commit = Commit::of([samples::wanted("tides", 1)]);
    let mut now = 0;
    for _ in 0..7 {
        fail(&mut world, Role::Run, now);
        now += 4000;
        let plan = commit.plan(&world, now);
        for operation in plan.changes().filter(|operation| operation.due) {
            world.take(operation);
        }
    }
    insta::assert_snapshot!(text(&commit.plan(&world, now)));
}

#[test]
fn many_deletions_wait_for_an_approval() {
    let mut world = World::default();
    let items = |count| (0..count).map(|number| samples::static_site(&format!("site-{number:02}"), number));
    Commit::of(items(30)).apply(&mut world);
    let commit = Commit::of(items(2).chain([samples::static_site("new", 40)]));
    let plan = commit.plan(&world, 1);
    assert_eq!(plan.cost.deletes, 0);
    assert!(plan.changes().all(|operation| operation.item == Some(samples::name("new"))), "everything else goes on");
    insta::assert_snapshot!(text(&plan));
    let blocked = plan.blocked.first().unwrap();
    world.registry.memory.take(&Change::Approve(blocked.things.iter().cloned().collect()));
    assert_eq!(commit.plan(&world, 1).cost.deletes, 28);
}

#[test]
fn a_renamed_item_is_no_deletion() {
    let mut world = running();
    let old = samples::wanted("tides", 1);
    let mut renamed = (*samples::wanted("harbour/tides", 1)).clone();
    renamed.tree = old.tree;
    let commit = Commit::of([Arc::new(renamed)]);
    let plan = commit.plan(&world, 1);
    insta::assert_snapshot!(text(&plan));
    for operation in plan.changes() {
        world.take(operation);
    }
    assert!(commit.plan(&world, 1).is_empty());
}

#[test]
fn what_cannot_be_read_keeps_its_last_good_state() {
    let world = running();
    let mut commit = Commit::default();
    let reason = "content/tides/manifest.json:3:1: expected a value, found <".to_owned();
    let help = Some("take the conflict markers out".to_owned());
    commit.items.insert(samples::name("tides"), ItemGoal::Keep { reason, help });
    let plan = commit.plan(&world, 1);
    assert!(plan.is_empty());
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn a_suspended_item_is_left_alone() {
    let mut world = running();
    world.registry.memory.take(&Change::Suspended(samples::name("tides"), true));
    let plan = Commit::of([samples::wanted("tides", 2)]).plan(&world, 1);
    assert!(plan.is_empty());
    insta::assert_snapshot!(text(&plan));
    assert!(Commit::default().plan(&world, 1).is_empty(), "it is not deleted either");
}

#[test]
fn an_edit_by_hand_is_drift() {
    let mut world = running();
    let record = world.registry.contents.get_mut(&samples::name("tides")).unwrap();
    Arc::make_mut(&mut record.form).suspend = true;
    record.stored = Digest::of_value(&record.form);
    let mut commit = Commit::of([samples::wanted("tides", 1)]);
    insta::assert_snapshot!(text(&commit.plan(&world, 1)));
    commit.policy.detect_only = true;
    assert!(commit.plan(&world, 1).is_empty());
}

#[test]
fn a_document_is_rendered_when_it_is_due_and_a_missed_time_once() {
    let mut world = World::default();
    let mut commit = Commit::of([samples::document("report", 1, Some("0 6 * * *"))]);
    commit.options.fire_schedules = true;
    commit.apply(&mut world);
    assert!(commit.plan(&world, 3600).is_empty());
    let days = 5 * 86_400;
    let late = commit.plan(&world, days);
    assert_eq!(late.cost.renders, 1, "the latest missed time only");
    insta::assert_snapshot!(text(&late));
    for operation in late.changes() {
        world.take(operation);
    }
    let after = commit.plan(&world, days);
    assert!(after.is_empty());
    assert_eq!(after.next_wake.map(|time| time > samples::time(days)), Some(true));
}

#[test]
fn a_comment_cannot_be_broken_out_of() {
    let mut world = running();
    let mut form = (*samples::wanted("tides", 2)).clone();
    form.presentation.title = Some("<script>alert(1)</script> @everyone | x".to_owned());
    let commit = Commit::of([Arc::new(form)]);
    let mut broken = Commit::default();
    let reason = "<img src=x onerror=alert(1)> | [link](http://example.com) @everyone \u{1b}[31m".to_owned();
    broken.items.insert(samples::name("tides"), ItemGoal::Keep { reason, help: None });
    let text = markdown(&commit.plan(&world, 1)) + &markdown(&broken.plan(&world, 1));
    assert!(
        !text.contains("<script>") && !text.contains("<img") && !text.contains('\u{1b}') && !text.contains("@everyone")
    );
    insta::with_settings!({ filters => [(r"plan `[0-9a-f]{12}`", "plan `ID`")] }, {
        insta::assert_snapshot!(text);
    });
    commit.apply(&mut world);
}

#[test]
fn the_json_form_keeps_to_its_schema() {
    let commit = Commit::of([samples::wanted_processes("tides", 2, 2), samples::document("report", 1, None)]);
    let plan = commit.plan(&running(), 1);
    let document = serde_json::to_value(PlanDocument::from(&plan)).unwrap();
    let schema = serde_json::to_value(schemars::schema_for!(PlanDocument<'static>)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(document["version"], 1);
}

#[test]
fn a_renamed_item_stays_until_its_heir_answers() {
    let mut world = running();
    let old = samples::wanted("tides", 1);
    let mut renamed = (*samples::wanted("harbour/tides", 1)).clone();
    renamed.tree = old.tree;
    let commit = Commit::of([Arc::new(renamed)]);
    // A pass at a time: the record of the heir is written before it can answer.
    for _ in 0..10 {
        let plan = commit.plan(&world, 1);
        assert!(plan.blocked.is_empty());
        let answers = world.executor.items.values().filter(|item| item.service.is_some()).count();
        assert!(answers >= 1, "one of the two answers at any time");
        let Some(operation) = plan.changes().find(|operation| {
            operation.due || operation.after.iter().all(|wait| !matches!(wait, wharf::plan::Wait::Done { .. }))
        }) else {
            break;
        };
        world.take(operation);
    }
    assert!(commit.plan(&world, 1).is_empty());
    assert!(!world.registry.contents.contains_key(&samples::name("tides")));
}

#[test]
fn an_application_that_becomes_a_page_ends_its_processes() {
    let mut world = running();
    let commit = Commit::of([samples::static_site("tides", 1)]);
    insta::assert_snapshot!(text(&commit.plan(&world, 1)));
    commit.apply(&mut world);
    assert!(commit.plan(&world, 1).is_empty());
    assert!(world.executor.items.values().all(|item| item.jobs.is_empty()));
}

#[test]
fn what_is_charged_for_keeps_running_under_a_total_limit() {
    let mut world = World::default();
    let two = |name: &str| samples::wanted_processes(name, 1, 2);
    Commit::of([two("b"), two("c")]).apply(&mut world);
    let mut commit = Commit::of([samples::wanted_processes("a", 1, 3), two("b"), two("c")]);
    commit.policy.total.processes = Some(5);
    let plan = commit.plan(&world, 1);
    assert_eq!(plan.cost.starts, 0, "the newcomer does not fit");
    assert_eq!(plan.stalled.len(), 1);
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn a_render_that_never_ends_is_not_joined_by_another() {
    let mut world = World::default();
    let mut commit = Commit::of([samples::document("report", 1, Some("* * * * *"))]);
    commit.options.fire_schedules = true;
    commit.apply(&mut world);
    let due = commit.plan(&world, 3600);
    for operation in due.changes().filter(|operation| operation.due) {
        world.take(operation);
    }
    let item = world.executor.items.values_mut().next().unwrap();
    let job = item.jobs.values_mut().last().unwrap();
    job.phase = Phase::Starting { progress: None };
    item.results.pop();
    let later = commit.plan(&world, 7200);
    assert_eq!((later.cost.renders, later.in_flight.len()), (0, 1));
}
