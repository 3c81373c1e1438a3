//! What every registry does, as one suite over the trait. How one is opened, and edited by hand, comes from its harness.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use wharf::model::{Digest, ItemName, canonical_json};
use wharf::plan::samples::{self, environment, failure, name, origin, run_job, run_step, time, wanted};
use wharf::plan::{Approved, Change, Memory, Ownership, Record, RegistryView, SourceIdentity, Uid, WantedItem};
use wharf::registry::{
    Expected, HistoryEntry, NewRecord, OperationResult, RecordName, Registry, RegistryError, Verification,
};

/// One storage. Every check gets a new, empty one.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens it (again) for an instance.
    async fn open(&self, instance: &str) -> Arc<dyn Registry>;
    /// Changes the title in an item's record behind the registry's back.
    async fn edit_title(&self, item: &ItemName, title: &str);
}

/// Runs every check; the name of the one that fails is the last one printed.
pub async fn run(new: impl Fn() -> Box<dyn Harness>) {
    macro_rules! checks {
        ($($check:ident),+ $(,)?) => { $(
            println!("{}", stringify!($check));
            $check(new().as_ref()).await;
        )+ };
    }
    checks!(
        an_empty_registry_holds_nothing,
        what_is_written_is_seen_and_stays,
        creating_twice_is_refused,
        updating_needs_what_was_seen,
        deleting_needs_what_was_seen,
        kinds_do_not_share_names,
        an_edit_by_hand_shows_and_can_be_written_over,
        records_of_another_instance_are_foreign,
        every_change_of_memory_stays,
        memory_equals_its_model,
        a_view_does_not_change_and_is_shared_at_rest,
        history_is_chained_and_stays,
        eight_tasks_agree,
    );
}

async fn put(
    registry: &dyn Registry,
    form: &Arc<WantedItem>,
    seed: u32,
    expected: Expected,
) -> Result<Uid, RegistryError> {
    let origin = origin(&format!("content/{}/manifest.json", form.name), seed);
    registry.write(NewRecord::Content(Arc::clone(form)), origin, expected, time(i64::from(seed))).await
}

fn present<T>(record: &Record<T>) -> Expected {
    Expected::Present { uid: record.uid.clone(), stored: record.stored }
}

#[track_caller]
fn assert_moved<T: std::fmt::Debug>(result: Result<T, RegistryError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, RegistryError::Moved { .. }), "{error}");
}

#[track_caller]
fn content<'a>(view: &'a RegistryView, item: &str) -> &'a Record<WantedItem> {
    view.contents.get(item).unwrap_or_else(|| panic!("no record of {item}"))
}

async fn an_empty_registry_holds_nothing(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let view = registry.view().await.unwrap();
    assert!(view.environments.is_empty() && view.contents.is_empty() && view.unreadable.is_empty());
    assert_eq!(view.memory, Memory::default());
    assert_eq!(registry.history(10).await.unwrap(), []);
    assert_eq!(registry.verify().await.unwrap(), Verification::default());
}

async fn what_is_written_is_seen_and_stays(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let mut form = (*wanted("reports/Über 'uns' \"日本\"", 1)).clone();
    form.presentation.title = Some("'; DROP TABLE records; -- \u{1f4c8}\n\0".to_owned());
    let form = Arc::new(form);
    let uid = put(registry.as_ref(), &form, 1, Expected::Absent).await.unwrap();
    let image = environment("ghcr.io/example/python:3.12", 1);
    let whence = origin("environments/python.yaml", 1);
    let record = NewRecord::Environment(Arc::clone(&image));
    let image_uid = registry.write(record, whence.clone(), Expected::Absent, time(1)).await.unwrap();
    assert_ne!(uid, image_uid);

    let first = registry.view().await.unwrap();
    let again = harness.open("ours").await.view().await.unwrap();
    for view in [first, again] {
        let stored = &view.contents[&form.name];
        assert_eq!((&stored.uid, stored.version, stored.ownership), (&uid, 1, Ownership::Ours));
        assert_eq!((stored.applied, stored.stored), (Digest::of_value(&form), Digest::of_value(&form)));
        assert_eq!(stored.origin.path, format!("content/{}/manifest.json", form.name));
        assert_eq!(stored.form, form);
        let stored = &view.environments[&image.name];
        assert_eq!((&stored.uid, stored.version, &stored.origin), (&image_uid, 1, &whence));
        assert_eq!(stored.form, image);
    }
}

async fn creating_twice_is_refused(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    put(registry.as_ref(), &wanted("app", 1), 1, Expected::Absent).await.unwrap();
    let error = put(registry.as_ref(), &wanted("app", 2), 2, Expected::Absent).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("content app") && message.contains("expected none"), "{message}");
    assert_eq!(content(&registry.view().await.unwrap(), "app").form, wanted("app", 1));
}

async fn updating_needs_what_was_seen(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let absent = Expected::Present { uid: Uid("0".to_owned()), stored: Digest::of("") };
    assert_moved(put(registry.as_ref(), &wanted("app", 1), 1, absent).await);

    let uid = put(registry.as_ref(), &wanted("app", 1), 1, Expected::Absent).await.unwrap();
    let first = registry.view().await.unwrap();
    let expected = present(content(&first, "app"));
    assert_eq!(put(registry.as_ref(), &wanted("app", 2), 2, expected.clone()).await.unwrap(), uid);
    // what was expected then is no longer there
    assert_moved(put(registry.as_ref(), &wanted("app", 3), 3, expected).await);
    let other = Expected::Present { uid: Uid("0".to_owned()), stored: Digest::of_value(&wanted("app", 2)) };
    assert_moved(put(registry.as_ref(), &wanted("app", 3), 3, other).await);

    for registry in [Arc::clone(&registry), harness.open("ours").await] {
        let view = registry.view().await.unwrap();
        let stored = content(&view, "app");
        assert_eq!((stored.version, &stored.uid, &stored.form), (2, &uid, &wanted("app", 2)));
        assert_eq!(stored.origin, origin("content/app/manifest.json", 2));
    }
}

async fn deleting_needs_what_was_seen(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let app = RecordName::Content(name("app"));
    registry.delete(app.clone(), Expected::Absent).await.unwrap();
    let uid = put(registry.as_ref(), &wanted("app", 1), 1, Expected::Absent).await.unwrap();
    assert_moved(registry.delete(app.clone(), Expected::Absent).await);
    let stale = Expected::Present { uid: uid.clone(), stored: Digest::of("stale") };
    assert_moved(registry.delete(app.clone(), stale).await);
    let expected = present(content(&registry.view().await.unwrap(), "app"));
    registry.delete(app.clone(), expected.clone()).await.unwrap();
    assert!(registry.view().await.unwrap().contents.is_empty());
    assert!(harness.open("ours").await.view().await.unwrap().contents.is_empty());
    assert_moved(registry.delete(app, expected).await);

    // the same thing made again, at the same time even, is another record
    let second = put(registry.as_ref(), &wanted("app", 1), 1, Expected::Absent).await.unwrap();
    assert_ne!(uid, second);
    assert_eq!(content(&registry.view().await.unwrap(), "app").version, 1);
}

async fn kinds_do_not_share_names(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let image = environment("team/app", 1);
    let written = registry
        .write(NewRecord::Environment(Arc::clone(&image)), origin("e.yaml", 1), Expected::Absent, time(1))
        .await
        .unwrap();
    let uid = put(registry.as_ref(), &wanted("team/app", 1), 1, Expected::Absent).await.unwrap();
    assert_ne!(written, uid);
    let expected = present(content(&registry.view().await.unwrap(), "team/app"));
    registry.delete(RecordName::Content(name("team/app")), expected).await.unwrap();
    let view = registry.view().await.unwrap();
    assert_eq!((view.environments.len(), view.contents.len()), (1, 0));
}

async fn an_edit_by_hand_shows_and_can_be_written_over(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    put(registry.as_ref(), &wanted("app", 1), 1, Expected::Absent).await.unwrap();
    put(registry.as_ref(), &wanted("other", 1), 1, Expected::Absent).await.unwrap();
    let before = registry.view().await.unwrap();
    harness.edit_title(&name("app"), "edited").await;

    assert_moved(put(registry.as_ref(), &wanted("app", 1), 2, present(content(&before, "app"))).await);
    let view = registry.view().await.unwrap();
    let drifted = content(&view, "app");
    assert_eq!(drifted.form.presentation.title.as_deref(), Some("edited"));
    assert_eq!(drifted.applied, Digest::of_value(&wanted("app", 1)));
    assert_ne!(drifted.stored, drifted.applied);
    assert_eq!(content(&view, "other"), content(&before, "other"));

    put(registry.as_ref(), &wanted("app", 1), 2, present(drifted)).await.unwrap();
    let view = registry.view().await.unwrap();
    let mended = content(&view, "app");
    assert_eq!((mended.stored, &mended.form), (mended.applied, &wanted("app", 1)));
}

async fn records_of_another_instance_are_foreign(harness: &dyn Harness) {
    let ours = harness.open("ours").await;
    let theirs = harness.open("theirs").await;
    let uid = put(theirs.as_ref(), &wanted("app", 1), 1, Expected::Absent).await.unwrap();
    let view = ours.view().await.unwrap();
    let foreign = content(&view, "app");
    assert_eq!((foreign.ownership, &foreign.uid), (Ownership::Foreign, &uid));
    assert_eq!(content(&theirs.view().await.unwrap(), "app").ownership, Ownership::Ours);

    assert_moved(put(ours.as_ref(), &wanted("app", 2), 2, Expected::Absent).await);
    assert_moved(ours.delete(RecordName::Content(name("app")), present(foreign)).await);

    // adopting is writing over it, knowing what it is
    assert_eq!(put(ours.as_ref(), &wanted("app", 2), 2, present(foreign)).await.unwrap(), uid);
    assert_eq!(content(&ours.view().await.unwrap(), "app").ownership, Ownership::Ours);
    let view = theirs.view().await.unwrap();
    assert_eq!(content(&view, "app").ownership, Ownership::Foreign);
    assert_moved(theirs.delete(RecordName::Content(name("app")), present(content(&view, "app"))).await);
}

fn approved(count: u32) -> BTreeSet<Approved> {
    let one = |number| Approved { kind: "item".into(), name: format!("app{number}"), uid: format!("u{number}") };
    (0..count).map(one).collect()
}

/// One change of each kind, of an item and a number.
fn changes(item: &str, number: u32) -> Vec<Change> {
    let form = wanted(item, number);
    let job = run_job(&form, 0, number);
    vec![
        Change::Outcome(run_step(&form, 0), failure(&job, number + 1, time(i64::from(number)))),
        Change::Revisions(name(item), vec![Arc::clone(&form), wanted(item, number + 1)]),
        Change::Suspended(name(item), number.is_multiple_of(2)),
        Change::AllSuspended(number.is_multiple_of(3)),
        Change::Approve(approved(number % 4)),
        Change::Reselect(name(item), number.is_multiple_of(2)),
        Change::Source(SourceIdentity {
            repository: "https://git.example/team/config".to_owned(),
            path: String::new(),
            reference: format!("release-{number}"),
        }),
        Change::Commit(samples::commit(number)),
        Change::Forget(run_step(&wanted(item, number.saturating_sub(2)), 0)),
        Change::Revisions(name(&format!("{item}/former")), Vec::new()),
    ]
}

async fn every_change_of_memory_stays(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let mut model = Memory::default();
    let batch: Vec<Change> =
        changes("app", 6).into_iter().filter(|change| !matches!(change, Change::Forget(_))).collect();
    for change in &batch {
        model.take(change);
    }
    // twice: after an error nobody knows whether the first time was done
    for _ in 0..2 {
        registry.remember(&batch, time(1)).await.unwrap();
        assert_eq!(registry.view().await.unwrap().memory, model);
        assert_eq!(harness.open("ours").await.view().await.unwrap().memory, model);
    }
    let undo = [
        Change::Forget(run_step(&wanted("app", 6), 0)),
        Change::Revisions(name("app"), Vec::new()),
        Change::Suspended(name("app"), false),
        Change::AllSuspended(false),
        Change::Reselect(name("app"), false),
    ];
    registry.remember(&undo, time(2)).await.unwrap();
    registry.remember(&[], time(2)).await.unwrap();
    for registry in [registry, harness.open("ours").await] {
        let memory = &registry.view().await.unwrap().memory;
        assert!(memory.outcomes.is_empty() && memory.revisions.is_empty() && memory.suspended.is_empty());
        assert!(memory.reselect.is_empty() && !memory.all_suspended);
        assert_eq!(memory.approvals, model.approvals);
        assert_eq!((&memory.source, memory.commit), (&model.source, model.commit));
    }
}

async fn memory_equals_its_model(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let mut model = Memory::default();
    let mut seed = 12345_u32;
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    for pass in 0..30 {
        let mut batch = Vec::new();
        for _ in 0..next(6) {
            let item = ["app", "reports/a", "reports/b"][next(3) as usize];
            let all = changes(item, next(8));
            batch.push(all[next(10) as usize].clone());
        }
        for change in &batch {
            model.take(change);
        }
        registry.remember(&batch, time(pass)).await.unwrap();
        if pass % 7 == 0 {
            assert_eq!(registry.view().await.unwrap().memory, model, "pass {pass}");
        }
    }
    assert!(!model.outcomes.is_empty() && !model.revisions.is_empty(), "the sequence is too tame");
    assert_eq!(registry.view().await.unwrap().memory, model);
    assert_eq!(harness.open("ours").await.view().await.unwrap().memory, model);
}

async fn a_view_does_not_change_and_is_shared_at_rest(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    put(registry.as_ref(), &wanted("app", 1), 1, Expected::Absent).await.unwrap();
    let before = registry.view().await.unwrap();
    assert!(Arc::ptr_eq(&before, &registry.view().await.unwrap()));
    put(registry.as_ref(), &wanted("app", 2), 2, present(content(&before, "app"))).await.unwrap();
    put(registry.as_ref(), &wanted("other", 1), 1, Expected::Absent).await.unwrap();
    registry.remember(&[Change::AllSuspended(true)], time(2)).await.unwrap();
    assert_eq!(before.contents.len(), 1);
    assert_eq!(content(&before, "app").form, wanted("app", 1));
    assert!(!before.memory.all_suspended);
    let after = registry.view().await.unwrap();
    assert_eq!((after.contents.len(), after.memory.all_suspended), (2, true));
}

fn entry(number: u32) -> HistoryEntry {
    HistoryEntry {
        time: time(i64::from(number)),
        commit: Some(samples::commit(number)),
        plan: Digest::of(number.to_string()).to_string(),
        actor: "apply by root".to_owned(),
        results: vec![OperationResult {
            operation: "create content app".to_owned(),
            item: Some(name("app")),
            reason: "it is new".to_owned(),
            error: (number == 2).then(|| "the disk is full".to_owned()),
            milliseconds: 12,
        }],
    }
}

async fn history_is_chained_and_stays(harness: &dyn Harness) {
    let registry = harness.open("ours").await;
    let mut heads = Vec::new();
    for number in [1, 2, 2] {
        heads.push(registry.record(entry(number)).await.unwrap());
    }
    let registry = harness.open("ours").await;
    heads.push(registry.record(entry(3)).await.unwrap());

    let mut previous = String::new();
    for (head, number) in heads.iter().zip([1, 2, 2, 3]) {
        assert_eq!(*head, Digest::of(format!("{previous}{}", canonical_json(&entry(number)))));
        previous = head.to_string();
    }
    let newest = registry.history(3).await.unwrap();
    assert_eq!(newest.iter().map(|recorded| recorded.number).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!((&newest[0].entry, newest[0].chain), (&entry(3), heads[3]));
    assert_eq!(newest[1].entry, newest[2].entry);
    let all = registry.history(u32::MAX).await.unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(registry.history(0).await.unwrap(), []);
    let verified = Verification { entries: 4, head: Some(heads[3]), broken: None };
    assert_eq!(registry.verify().await.unwrap(), verified);
}

async fn eight_tasks_agree(harness: &dyn Harness) {
    const ROUNDS: u32 = 5;
    let registry = harness.open("ours").await;
    put(registry.as_ref(), &wanted("shared", 0), 0, Expected::Absent).await.unwrap();
    let task = |number: u32| {
        let registry = Arc::clone(&registry);
        async move {
            let first = put(registry.as_ref(), &wanted("contended", number), number, Expected::Absent).await.is_ok();
            for round in 0..ROUNDS {
                let own = wanted(&format!("own/{number}/{round}"), 0);
                put(registry.as_ref(), &own, 0, Expected::Absent).await.unwrap();
                registry.remember(&[Change::Suspended(own.name.clone(), true)], time(0)).await.unwrap();
                registry.record(entry(number)).await.unwrap();
                // compare and set: whoever lost the race looks again
                loop {
                    let expected = present(content(&registry.view().await.unwrap(), "shared"));
                    let seed = number * ROUNDS + round + 1;
                    match put(registry.as_ref(), &wanted("shared", seed), seed, expected).await {
                        Ok(_) => break,
                        Err(RegistryError::Moved { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            u32::from(first)
        }
    };
    let tasks: Vec<_> = (0..8).map(|number| tokio::spawn(task(number))).collect();
    let mut firsts = 0;
    for task in tasks {
        firsts += task.await.unwrap();
    }
    assert_eq!(firsts, 1, "one of eight may create a record");
    for registry in [registry, harness.open("ours").await] {
        let view = registry.view().await.unwrap();
        assert_eq!(view.contents.len(), 2 + 8 * ROUNDS as usize);
        assert_eq!(content(&view, "shared").version, 1 + 8 * i64::from(ROUNDS));
        assert_eq!(view.memory.suspended.len(), 8 * ROUNDS as usize);
        let uids: BTreeSet<&Uid> = view.contents.values().map(|record| &record.uid).collect();
        assert_eq!(uids.len(), view.contents.len());
        let verified = registry.verify().await.unwrap();
        assert_eq!((verified.entries, verified.broken), (8 * u64::from(ROUNDS), None));
    }
}
