//! The executors, through their trait: one suite that each of them passes; and what only a host can do wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod conformance;
mod faults;
mod host;
mod running;

use std::sync::Arc;

use async_trait::async_trait;
use wharf::executor::{BundleReader, Candidates, Executor, MemoryExecutor};
use wharf::plan::samples::{document, wanted};
use wharf::plan::{ContentSpec, Role, WantedItem};

use conformance::{Files, Harness};
use host::Host;

struct InMemory(MemoryExecutor);

impl InMemory {
    fn item(item: &WantedItem) -> Arc<WantedItem> {
        let content = item.content.as_deref().unwrap().clone();
        Arc::new(WantedItem { content: Some(Arc::new(ContentSpec { packages: None, ..content })), ..item.clone() })
    }
}

#[async_trait]
impl Harness for InMemory {
    async fn open(&self) -> Arc<dyn Executor> {
        Arc::new(self.0.clone())
    }

    fn app(&self, name: &str, seed: u32) -> Arc<WantedItem> {
        Self::item(&wanted(name, seed))
    }

    fn broken(&self, name: &str, reason: &str) -> Arc<WantedItem> {
        let item = Self::item(&wanted(name, 1));
        self.0.fail(&item.name, Role::Run, reason);
        item
    }

    fn document(&self, name: &str, seed: u32) -> Arc<WantedItem> {
        Self::item(&document(name, seed, None))
    }

    fn packaged(&self, name: &str) -> Arc<WantedItem> {
        wanted(name, 1)
    }

    fn files(&self) -> Arc<dyn BundleReader> {
        Files::reader(&[("app.py", "pass\n")])
    }

    async fn go_on(&self) {
        if let Some(due) = self.0.next_event() {
            self.0.advance(due);
        }
    }
}

#[tokio::test]
async fn memory_does_what_every_executor_does() {
    conformance::run(|| InMemory(MemoryExecutor::new(Candidates::FromGit))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn this_host_does_what_every_executor_does() {
    conformance::run(Host::new).await;
}
