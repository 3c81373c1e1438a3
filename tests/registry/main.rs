//! The registries, through their trait: one suite that each of them passes, and what only SQLite can do wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod conformance;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use wharf::model::ItemName;
use wharf::plan::samples;
use wharf::registry::sqlite::DATABASE_FILE;
use wharf::registry::{MemoryRegistry, Registry, SqliteRegistry};

use conformance::Harness;

struct InMemory(MemoryRegistry);

#[async_trait]
impl Harness for InMemory {
    async fn open(&self, instance: &str) -> Arc<dyn Registry> {
        Arc::new(self.0.for_instance(samples::instance(instance)))
    }

    async fn edit_title(&self, item: &ItemName, title: &str) {
        assert!(self.0.edit_content(item, |form| form.presentation.title = Some(title.to_owned())));
    }
}

struct OnDisk(TempDir);

#[async_trait]
impl Harness for OnDisk {
    async fn open(&self, instance: &str) -> Arc<dyn Registry> {
        Arc::new(SqliteRegistry::open(self.0.path(), samples::instance(instance)).await.unwrap())
    }

    async fn edit_title(&self, item: &ItemName, title: &str) {
        let mut client = client(self.0.path()).await;
        let edited = sqlx::query(
            "UPDATE records SET form = json_set(form, '$.presentation.title', ?1) WHERE kind = 'content' AND name = ?2",
        )
        .bind(title)
        .bind(item.as_str())
        .execute(&mut client)
        .await
        .unwrap();
        assert_eq!(edited.rows_affected(), 1);
    }
}

/// The database client of a person.
async fn client(state_directory: &std::path::Path) -> SqliteConnection {
    let path = state_directory.join(DATABASE_FILE);
    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_in_memory_conforms() {
    conformance::run(|| Box::new(InMemory(MemoryRegistry::new(samples::instance("ours"))))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_registry_conforms() {
    conformance::run(|| Box::new(OnDisk(tempfile::tempdir().unwrap()))).await;
}
