//! What needs the connection itself: a full disk, a locked file, a write that nobody awaits to its end.

use super::*;
use crate::plan::samples::{instance, name, origin, time, wanted};

async fn open(directory: &Path) -> SqliteRegistry {
    SqliteRegistry::open(directory, instance("ours")).await.unwrap()
}

async fn create(registry: &SqliteRegistry, item: &str) -> Result<Uid, RegistryError> {
    let record = NewRecord::Content(wanted(item, 1));
    registry.write(record, origin("manifest.json", 1), Expected::Absent, time(1)).await
}

async fn pragma(registry: &SqliteRegistry, statement: &'static str) {
    sqlx::query(statement).execute(&mut registry.inner.lock().await.connection).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_says_so_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    create(&registry, "first").await.unwrap();
    pragma(&registry, "PRAGMA max_page_count = 1").await;
    let mut written = 1;
    let error = loop {
        match create(&registry, &format!("item/{written}")).await {
            Ok(_) => written += 1,
            Err(error) => break error.to_string(),
        }
    };
    insta::assert_snapshot!(
        error.replace(&*directory.path().to_string_lossy(), "DIRECTORY"),
        @"writing a record in DIRECTORY/wharf.db failed: database or disk is full; free some space on that file system and try again; nothing that was committed is lost"
    );
    assert_eq!(registry.view().await.unwrap().contents.len(), written);
    pragma(&registry, "PRAGMA max_page_count = 1000000").await;
    create(&registry, &format!("item/{written}")).await.unwrap();
    assert_eq!(open(directory.path()).await.view().await.unwrap().contents.len(), written + 1);
}

#[tokio::test]
async fn a_locked_and_a_read_only_database_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    pragma(&registry, "PRAGMA query_only = ON").await;
    let error = create(&registry, "app").await.unwrap_err().to_string();
    assert!(error.contains("mounted read-only"), "{error}");
    pragma(&registry, "PRAGMA query_only = OFF").await;

    let other = open(directory.path()).await;
    let mut other = other.inner.lock().await;
    let held = other.connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    pragma(&registry, "PRAGMA busy_timeout = 1").await;
    let error = create(&registry, "app").await.unwrap_err().to_string();
    assert!(error.contains("another program has kept it locked"), "{error}");
    // reading goes on meanwhile
    assert!(registry.view().await.unwrap().contents.is_empty());
    held.rollback().await.unwrap();
    create(&registry, "app").await.unwrap();
}

#[tokio::test]
async fn a_write_that_is_not_awaited_to_its_end_leaves_cache_and_file_equal() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    let mut given_up = 0;
    for patience in 0..60 {
        let item = format!("item/{patience}");
        let wait = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            written = create(&registry, &item) => drop(written.unwrap()),
            () = wait => given_up += 1,
        }
        let suspend = [Change::Suspended(name(&item), true)];
        registry.remember(&suspend, time(1)).await.unwrap();
        let seen = registry.view().await.unwrap();
        let stored = open(directory.path()).await.view().await.unwrap();
        assert_eq!(seen.contents, stored.contents, "after {patience}");
        assert_eq!(seen.memory, stored.memory);
    }
    assert!(given_up > 0);
}

#[tokio::test]
async fn a_write_copies_no_view_that_nobody_holds() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    create(&registry, "first").await.unwrap();
    let before = Arc::as_ptr(&registry.view().await.unwrap());
    create(&registry, "second").await.unwrap();
    assert_eq!(Arc::as_ptr(&registry.view().await.unwrap()), before);
}
