//! What only a database in a file can suffer: edits, strangers, kills, disks. The rest is the conformance suite's.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sqlx::Connection;
use wharf::model::ItemName;
use wharf::plan::samples::{self, failure, name, origin, run_job, run_step, time, wanted};
use wharf::plan::{Change, StoredKind};
use wharf::registry::sqlite::DATABASE_FILE;
use wharf::registry::{Expected, HistoryEntry, NewRecord, RecordName, Registry, RegistryError, SqliteRegistry};

use crate::client;

async fn open(directory: &Path) -> SqliteRegistry {
    try_open(directory).await.unwrap()
}

async fn try_open(directory: &Path) -> Result<SqliteRegistry, RegistryError> {
    SqliteRegistry::open(directory, samples::instance("ours")).await
}

async fn create(registry: &SqliteRegistry, item: &str) {
    let form = NewRecord::Content(wanted(item, 1));
    registry.write(form, origin("manifest.json", 1), Expected::Absent, time(1)).await.unwrap();
}

fn entry(number: i64) -> HistoryEntry {
    HistoryEntry {
        time: time(number),
        commit: None,
        plan: number.to_string(),
        actor: "run".to_owned(),
        results: vec![],
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_its_owner_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATABASE_FILE);
    let registry = open(directory.path()).await;
    create(&registry, "app").await;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&directory.path().join("wharf.db-wal")), 0o600);
    drop(registry);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    open(directory.path()).await;
    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_reported_and_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    for item in ["broken", "bytes", "deleted", "renamed", "whole"] {
        create(&registry, item).await;
    }
    let form = wanted("whole", 1);
    let outcome = Change::Outcome(run_step(&form, 0), failure(&run_job(&form, 0, 0), 1, time(1)));
    registry.remember(&[outcome.clone(), Change::Revisions(name("whole"), vec![form])], time(1)).await.unwrap();
    let mut client = client(directory.path()).await;
    for edit in [
        "UPDATE records SET form = '{' WHERE name IN ('broken', 'deleted')",
        "UPDATE records SET form = CAST(x'ff00fe' AS TEXT) WHERE name = 'bytes'",
        "UPDATE records SET form = json_set(form, '$.name', 'else') WHERE name = 'renamed'",
        "UPDATE outcomes SET outcome = 'x'",
        "UPDATE revisions SET form = '[]'",
        "INSERT INTO marks VALUES ('suspended', '../x')",
        "INSERT INTO facts VALUES ('commit', '17')",
    ] {
        sqlx::query(edit).execute(&mut client).await.unwrap();
    }

    let registry = open(directory.path()).await;
    let view = registry.view().await.unwrap();
    assert_eq!(view.contents.keys().map(ItemName::as_str).collect::<Vec<_>>(), ["whole"]);
    let records: Vec<&str> = view
        .unreadable
        .iter()
        .filter(|found| found.kind == StoredKind::Content)
        .map(|found| found.name.as_str())
        .collect();
    assert_eq!(records, ["broken", "bytes", "deleted", "renamed"]);
    assert_eq!(view.unreadable.len(), 8, "{:#?}", view.unreadable);
    assert!(view.unreadable[3].problem.contains("its form is of \"else\""), "{}", view.unreadable[3].problem);

    // both ways of mending a record: as one that is absent, and as the one that was found
    create(&registry, "broken").await;
    let found = |index: usize| Expected::Present {
        uid: view.unreadable[index].uid.clone().unwrap(),
        stored: view.unreadable[index].stored,
    };
    let bytes = NewRecord::Content(wanted("bytes", 2));
    registry.write(bytes, origin("manifest.json", 1), found(1), time(2)).await.unwrap();
    registry.delete(RecordName::Content(name("deleted")), found(2)).await.unwrap();
    create(&registry, "renamed").await;
    let rest = [outcome, Change::Revisions(name("whole"), vec![]), Change::Commit(samples::commit(1))];
    registry.remember(&rest, time(2)).await.unwrap();
    for registry in [registry, open(directory.path()).await] {
        let view = registry.view().await.unwrap();
        assert_eq!(view.contents.len(), 4);
        assert_eq!(view.contents["broken"].version, 2);
        assert_eq!(view.memory.outcomes.len(), 1);
        // an invalid name can be mended by nobody but whoever wrote it
        let left: Vec<&str> = view.unreadable.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(left, ["marks ../x"]);
    }
}

#[tokio::test]
async fn a_write_from_outside_is_noticed_once() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    create(&registry, "app").await;
    let mut client = client(directory.path()).await;
    sqlx::query("DELETE FROM records").execute(&mut client).await.unwrap();
    let view = registry.view().await.unwrap();
    assert!(view.contents.is_empty());
    assert!(Arc::ptr_eq(&view, &registry.view().await.unwrap()));
    // a write of ours in between does not hide theirs
    sqlx::query("INSERT INTO marks VALUES ('suspended', 'app')").execute(&mut client).await.unwrap();
    create(&registry, "app").await;
    let view = registry.view().await.unwrap();
    assert_eq!((view.contents.len(), view.memory.suspended.len()), (1, 1));
}

#[tokio::test]
async fn a_changed_history_shows_where() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    for number in 1..=5 {
        registry.record(entry(number)).await.unwrap();
    }
    let mut client = client(directory.path()).await;
    sqlx::query("UPDATE history SET entry = json_set(entry, '$.actor', 'nobody') WHERE number = 4")
        .execute(&mut client)
        .await
        .unwrap();
    assert_eq!(registry.verify().await.unwrap().broken.unwrap().number, 4);
    sqlx::query("UPDATE history SET entry = 'x' WHERE number = 4").execute(&mut client).await.unwrap();
    assert_eq!(registry.history(9).await.unwrap().len(), 4);
    sqlx::query("DELETE FROM history WHERE number = 2").execute(&mut client).await.unwrap();
    assert_eq!(registry.verify().await.unwrap().broken.unwrap().number, 2);

    // the newest entry taken away shows at the next one
    sqlx::query("DELETE FROM history").execute(&mut client).await.unwrap();
    registry.record(entry(6)).await.unwrap();
    let broken = registry.verify().await.unwrap().broken.unwrap();
    assert_eq!((broken.number, broken.problem.as_str()), (1, "entry 1 is missing: the next one found is 6"));
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATABASE_FILE);
    std::fs::write(&file, "not a database, but long enough to be taken for one if nobody looked ".repeat(20)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = try_open(directory.path()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Version { .. }), "{error}");
    insta::assert_snapshot!(
        error.to_string().replace(&*file.to_string_lossy(), "FILE"),
        @"FILE holds no SQLite database, this version of wharf reads a database it made itself; move that file away, or pass another --state-dir"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);

    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    let mut stranger = client(directory.path()).await;
    sqlx::query("CREATE TABLE music (title TEXT)").execute(&mut stranger).await.unwrap();
    stranger.close().await.unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = try_open(directory.path()).await.unwrap_err().to_string();
    assert!(error.contains("a SQLite database of another program"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    create(&registry, "app").await;
    drop(registry);
    let mut client = client(directory.path()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'from the future', TRUE, x'00', 0)",
    )
    .execute(&mut client)
    .await
    .unwrap();
    let error = try_open(directory.path()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Version { .. }), "{error}");
    assert!(error.to_string().contains("schema 99"), "{error}");
    // going back to a version that knows the schema finds everything
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 99").execute(&mut client).await.unwrap();
    assert_eq!(open(directory.path()).await.view().await.unwrap().contents.len(), 1);
}

async fn look(directory: &Path) -> Result<SqliteRegistry, RegistryError> {
    SqliteRegistry::open_read_only(directory, samples::instance("ours")).await
}

#[tokio::test]
async fn whoever_only_looks_sees_what_is_written_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    assert!(look(&missing).await.unwrap().view().await.unwrap().contents.is_empty());
    assert!(!missing.exists());
    let registry = open(directory.path()).await;
    create(&registry, "first").await;
    let observer = look(directory.path()).await.unwrap();
    assert_eq!(observer.view().await.unwrap().contents.len(), 1);
    create(&registry, "second").await;
    assert_eq!(observer.view().await.unwrap().contents, registry.view().await.unwrap().contents);
    let refused =
        observer.write(NewRecord::Content(wanted("third", 1)), origin("manifest.json", 1), Expected::Absent, time(1));
    assert!(refused.await.is_err());
    assert_eq!(registry.view().await.unwrap().contents.len(), 2);
}

#[tokio::test]
async fn whoever_only_looks_changes_no_schema() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATABASE_FILE);
    std::fs::write(&file, "").unwrap();
    assert!(look(directory.path()).await.unwrap().view().await.unwrap().contents.is_empty());
    assert_eq!(std::fs::read(&file).unwrap(), b"", "a file that another process is about to fill");

    create(&open(directory.path()).await, "app").await;
    let mut client = client(directory.path()).await;
    sqlx::query("DELETE FROM _sqlx_migrations").execute(&mut client).await.unwrap();
    // The connection that was dropped above closes by itself, a moment later.
    let alone = async {
        while sqlx::query("PRAGMA journal_mode = DELETE").execute(&mut client).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), alone).await.unwrap();
    client.close().await.unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = look(directory.path()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Version { .. }), "{error}");
    insta::assert_snapshot!(
        error.to_string().replace(&*file.to_string_lossy(), "FILE"),
        @"FILE holds a schema without step 1, made by an older version of wharf, this version of wharf reads schema 1; run `wharf apply` or restart `wharf run` with this version, which bring it up to date"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_place_that_cannot_hold_a_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let error = try_open(&missing).await.unwrap_err().to_string();
    assert!(error.contains(&*missing.to_string_lossy()) && error.contains("--state-dir"), "{error}");

    std::fs::create_dir(directory.path().join(DATABASE_FILE)).unwrap();
    let error = try_open(directory.path()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Storage { .. }), "{error}");
    assert!(error.to_string().contains("wharf.db"), "{error}");
}

#[tokio::test]
async fn two_processes_may_open_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = tokio::join!(try_open(directory.path()), try_open(directory.path()));
    let (first, second) = (first.unwrap(), second.unwrap());
    create(&first, "first").await;
    create(&second, "second").await;
    assert_eq!(first.view().await.unwrap().contents, second.view().await.unwrap().contents);
}

#[tokio::test]
async fn ten_thousand_items_are_read_and_share_their_forms() {
    const ITEMS: u32 = 10_000;
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    create(&registry, "item/0").await;
    let kept: Vec<Change> = (0..ITEMS)
        .map(|number| wanted(&format!("item/{number}"), 1))
        .map(|form| Change::Revisions(form.name.clone(), vec![form]))
        .collect();
    registry.remember(&kept, time(1)).await.unwrap();
    // the records in one statement, as if they had been written one by one
    let mut client = client(directory.path()).await;
    sqlx::query(
        "INSERT OR IGNORE INTO records
         SELECT 'content', item, 'uid of ' || item, 1, 'ours', (SELECT applied FROM records), 'p',
                (SELECT blob FROM records), form, 'then' FROM revisions",
    )
    .execute(&mut client)
    .await
    .unwrap();
    let started = std::time::Instant::now();
    let view = open(directory.path()).await.view().await.unwrap();
    println!("read in {:?}", started.elapsed());
    assert_eq!(view.contents.len(), ITEMS as usize);
    assert!(view.unreadable.is_empty());
    for (item, record) in &view.contents {
        assert!(Arc::ptr_eq(&record.form, &view.memory.revisions[item][0]), "{item}");
    }
}

/// How the killed process is told where to write.
const KILLED_DIRECTORY: &str = "WHARF_TEST_KILLED_DIRECTORY";

#[tokio::test]
#[ignore = "the process that the next test starts and kills"]
async fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(KILLED_DIRECTORY) else { return };
    let registry = open(Path::new(&directory)).await;
    let already = registry.view().await.unwrap().contents.len();
    for number in already.. {
        let form = wanted(&format!("item/{number}"), 1);
        create(&registry, form.name.as_str()).await;
        registry.remember(&[Change::Suspended(form.name.clone(), true)], time(1)).await.unwrap();
        registry.record(entry(i64::try_from(number).unwrap())).await.unwrap();
        println!("committed {number}");
    }
}

#[tokio::test]
async fn what_was_committed_outlives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut committed = BTreeSet::new();
    for _ in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "sqlite::writes_until_it_is_killed"])
            .env(KILLED_DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut numbers =
            lines.filter_map(|line| line.unwrap_or_default().rsplit_once("committed ")?.1.parse::<i64>().ok()).fuse();
        let before = committed.len();
        committed.extend(numbers.by_ref().take(20));
        child.kill().unwrap();
        child.wait().unwrap();
        // what it said between our decision and its end counts too
        committed.extend(numbers);
        assert!(committed.len() >= before + 20, "the child ended by itself");

        let registry = open(directory.path()).await;
        let view = registry.view().await.unwrap();
        assert!(view.unreadable.is_empty());
        assert_eq!(registry.verify().await.unwrap().broken, None);
        let history = registry.history(u32::MAX).await.unwrap();
        let recorded: BTreeSet<&str> = history.iter().map(|recorded| recorded.entry.plan.as_str()).collect();
        for number in &committed {
            let item = name(&format!("item/{number}"));
            assert!(view.contents.contains_key(&item), "{item} is lost");
            assert!(view.memory.suspended.contains(&item), "the suspension of {item} is lost");
            assert!(recorded.contains(number.to_string().as_str()), "history entry {number} is lost");
        }
    }
}
