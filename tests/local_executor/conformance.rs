//! What every executor does, as one suite over the trait. How one is opened, and what its items are made of, comes from its harness.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wharf::executor::{BundleFile, BundleReader, Executor, ExecutorError, Garbage, LogRequest};
use wharf::model::{BlobId, Digest};
use wharf::plan::samples::{build_job, bundle, package_key, render_job, run_job, service, time};
use wharf::plan::{ExecutorView, JobSpec, ObservedJob, Phase, Role, ServiceSpec, Slot, Target, Uid, WantedItem};

/// How long anything may take; a virtual environment on a busy machine takes the longest.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// One world. Every check gets a new, empty one.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens it (again). What was opened before is dropped by then.
    async fn open(&self) -> Arc<dyn Executor>;
    /// An interactive item without packages that comes up.
    fn app(&self, name: &str, seed: u32) -> Arc<WantedItem>;
    /// An interactive item whose process fails, with `reason` in its log.
    fn broken(&self, name: &str, reason: &str) -> Arc<WantedItem>;
    /// A document without packages.
    fn document(&self, name: &str, seed: u32) -> Arc<WantedItem>;
    /// An interactive item with packages.
    fn packaged(&self, name: &str) -> Arc<WantedItem>;
    /// The files of all of them.
    fn files(&self) -> Arc<dyn BundleReader>;
    /// Lets what is due happen, where it does not by itself.
    async fn go_on(&self);
}

/// Files by their contents.
pub struct Files(Vec<BundleFile>, Vec<Vec<u8>>);

impl Files {
    /// Files with these paths and texts.
    pub fn reader(files: &[(&str, &str)]) -> Arc<dyn BundleReader> {
        let entries = files.iter().map(|(path, text)| BundleFile {
            path: (*path).into(),
            executable: false,
            contents: blob(text.as_bytes()),
        });
        Arc::new(Self(entries.collect(), files.iter().map(|(_, text)| text.as_bytes().to_vec()).collect()))
    }
}

fn blob(bytes: &[u8]) -> BlobId {
    let mut id = [0; 20];
    id.copy_from_slice(&Digest::of(bytes).as_bytes()[..20]);
    BlobId::from_bytes(id)
}

impl BundleReader for Files {
    fn files(&self) -> &[BundleFile] {
        &self.0
    }

    fn read(&self, contents: &BlobId) -> Result<Vec<u8>, String> {
        let found = self.1.iter().find(|bytes| blob(bytes) == *contents);
        found.cloned().ok_or_else(|| format!("no file of content {contents}"))
    }
}

/// Runs every check; the name of the one that fails is the last one printed.
pub async fn run<H: Harness>(new: impl Fn() -> H) {
    macro_rules! checks {
        ($($check:ident),+ $(,)?) => { $(
            println!("{}", stringify!($check));
            let harness = new();
            $check(&harness).await;
            harness.open().await.down().await.unwrap();
        )+ };
    }
    checks!(
        an_empty_world_holds_nothing,
        a_bundle_is_written_once_and_stays,
        starting_twice_is_starting_once,
        stopping_twice_is_fine_and_frees_the_name,
        a_job_of_another_identity_is_not_stopped,
        a_failure_says_why,
        a_render_leaves_a_result,
        a_build_leaves_a_package_environment,
        an_address_stays_the_same_thing,
        an_executor_opened_again_sees_the_same,
        garbage_goes_and_nothing_else,
        down_ends_everything,
    );
}

/// Waits until the view is as it should be.
pub async fn wait_for<T>(
    harness: &dyn Harness,
    executor: &dyn Executor,
    what: &str,
    look: impl Fn(&ExecutorView) -> Option<T>,
) -> T {
    let mut events = executor.events();
    let waiting = async {
        loop {
            harness.go_on().await;
            if let Some(found) = look(executor.view().await.unwrap().as_ref()) {
                return found;
            }
            events.changed().await.unwrap();
        }
    };
    if let Ok(found) = tokio::time::timeout(DEADLINE, waiting).await {
        return found;
    }
    panic!("waited in vain for {what}; the view is {:#?}", executor.view().await.unwrap());
}

/// A job as it is seen.
pub fn seen(view: &ExecutorView, job: &JobSpec) -> Option<ObservedJob> {
    let item = || view.items.get(&job.slug)?.jobs.get(&job.name);
    let build = || view.builds.values().flatten().find(|build| build.name == job.name);
    item().or_else(build).cloned()
}

/// Waits until a job is no longer on its way; panics if it failed.
pub async fn wait_for_good(harness: &dyn Harness, executor: &dyn Executor, job: &JobSpec) -> ObservedJob {
    let done = |view: &ExecutorView| {
        let found = seen(view, job)?;
        match &found.phase {
            Phase::Ready | Phase::Succeeded => Some(found),
            Phase::Failed { reason, tail, .. } => panic!("{} failed: {reason}\n{}", job.name, tail.join("\n")),
            _ => None,
        }
    };
    wait_for(harness, executor, job.name.as_str(), done).await
}

/// Waits until a job has failed.
pub async fn wait_for_failure(harness: &dyn Harness, executor: &dyn Executor, job: &JobSpec) -> ObservedJob {
    let failed = |view: &ExecutorView| seen(view, job).filter(|found| matches!(found.phase, Phase::Failed { .. }));
    wait_for(harness, executor, &format!("{} to fail", job.name), failed).await
}

/// Waits until a stopped job is gone; until then it is stopping and nothing else.
pub async fn wait_until_gone(harness: &dyn Harness, executor: &dyn Executor, job: &JobSpec) {
    let gone = |view: &ExecutorView| match seen(view, job) {
        None => Some(()),
        Some(left) => {
            assert_eq!(left.phase, Phase::Stopping, "{left:#?}");
            None
        }
    };
    wait_for(harness, executor, &format!("{} to be gone", job.name), gone).await;
}

/// Writes an item's files and starts its first process.
pub async fn bring_up(harness: &dyn Harness, executor: &dyn Executor, item: &WantedItem) -> JobSpec {
    executor.write_bundle(&bundle(item), harness.files()).await.unwrap();
    let job = run_job(item, 0, 0);
    executor.start(&job, time(0)).await.unwrap();
    wait_for_good(harness, executor, &job).await;
    job
}

async fn whole_log(executor: &dyn Executor, job: &ObservedJob) -> String {
    let mut text = String::new();
    let mut offset = 0;
    loop {
        let piece = executor.log(job, LogRequest { offset, limit: 100 }).await.unwrap();
        text.push_str(&piece.text);
        if piece.ended {
            return text;
        }
        assert!(piece.next_offset > offset, "an ended job's log goes on and on");
        offset = piece.next_offset;
    }
}

async fn an_empty_world_holds_nothing(harness: &dyn Harness) {
    let executor = harness.open().await;
    let view = executor.view().await.unwrap();
    assert!(view.items.is_empty() && view.builds.is_empty() && view.package_environments.is_empty());
    assert_eq!(executor.down().await.unwrap(), 0);
    let app = harness.app("hello", 1);
    executor.stop(&run_job(&app, 0, 0).name, &Uid("none".to_owned())).await.unwrap();
    executor.unpublish(&app.name, &app.slug).await.unwrap();
    executor.collect(&Garbage::Bundle(app.slug.clone(), app.bundle.clone())).await.unwrap();
}

async fn a_bundle_is_written_once_and_stays(harness: &dyn Harness) {
    let executor = harness.open().await;
    let (first, second) = (harness.app("hello", 1), harness.app("hello", 2));
    let events = executor.events();
    executor.write_bundle(&bundle(&first), harness.files()).await.unwrap();
    assert!(events.has_changed().unwrap());
    executor.write_bundle(&bundle(&first), harness.files()).await.unwrap();
    executor.write_bundle(&bundle(&second), harness.files()).await.unwrap();
    let view = executor.view().await.unwrap();
    assert_eq!(view.items[&first.slug].bundles, [first.bundle.clone(), second.bundle.clone()]);
    drop(executor);
    let executor = harness.open().await;
    assert_eq!(executor.view().await.unwrap().items, view.items);
}

async fn starting_twice_is_starting_once(harness: &dyn Harness) {
    let executor = harness.open().await;
    let app = harness.app("hello", 1);
    executor.write_bundle(&bundle(&app), harness.files()).await.unwrap();
    let job = run_job(&app, 0, 0);
    executor.start(&job, time(0)).await.unwrap();
    let early = seen(&executor.view().await.unwrap(), &job).unwrap();
    executor.start(&job, time(5)).await.unwrap();
    let ready = wait_for_good(harness, executor.as_ref(), &job).await;
    executor.start(&job, time(9)).await.unwrap();
    let late = seen(&executor.view().await.unwrap(), &job).unwrap();
    assert_eq!((&early.uid, early.started), (&late.uid, time(0)));
    assert_eq!(ready, late);
    assert!(ready.address.is_some() && ready.pid.is_some() && ready.ready.is_some());
}

async fn stopping_twice_is_fine_and_frees_the_name(harness: &dyn Harness) {
    let executor = harness.open().await;
    let app = harness.app("hello", 1);
    let job = bring_up(harness, executor.as_ref(), &app).await;
    let first = seen(&executor.view().await.unwrap(), &job).unwrap();
    executor.stop(&job.name, &first.uid).await.unwrap();
    let left = seen(&executor.view().await.unwrap(), &job);
    assert!(left.is_none_or(|left| left.phase == Phase::Stopping), "stopping from the first moment, until it is gone");
    executor.stop(&job.name, &first.uid).await.unwrap();
    wait_until_gone(harness, executor.as_ref(), &job).await;
    executor.stop(&job.name, &first.uid).await.unwrap();
    // Going back to a former commit wants the same job, by the same name, again.
    executor.start(&job, time(60)).await.unwrap();
    let second = wait_for_good(harness, executor.as_ref(), &job).await;
    assert_ne!(first.uid, second.uid);
}

async fn a_job_of_another_identity_is_not_stopped(harness: &dyn Harness) {
    let executor = harness.open().await;
    let app = harness.app("hello", 1);
    let job = bring_up(harness, executor.as_ref(), &app).await;
    let refused = executor.stop(&job.name, &Uid("another".to_owned())).await;
    assert!(matches!(refused, Err(ExecutorError::Moved { .. })), "{refused:?}");
    assert_eq!(seen(&executor.view().await.unwrap(), &job).unwrap().phase, Phase::Ready);
}

async fn a_failure_says_why(harness: &dyn Harness) {
    let executor = harness.open().await;
    let app = harness.broken("broken", "the oven is cold");
    executor.write_bundle(&bundle(&app), harness.files()).await.unwrap();
    let job = run_job(&app, 0, 0);
    executor.start(&job, time(0)).await.unwrap();
    let failed = wait_for_failure(harness, executor.as_ref(), &job).await;
    let Phase::Failed { tail, counts, .. } = &failed.phase else { unreachable!() };
    assert!(*counts && failed.ended.is_some(), "{failed:?}");
    assert!(tail.iter().any(|line| line.contains("the oven is cold")), "{tail:?}");
    assert!(whole_log(executor.as_ref(), &failed).await.contains("the oven is cold"));
    executor.start(&job, time(1)).await.unwrap();
    assert_eq!(seen(&executor.view().await.unwrap(), &job).unwrap(), failed, "a job that failed is not run again");
}

async fn a_render_leaves_a_result(harness: &dyn Harness) {
    let executor = harness.open().await;
    let document = harness.document("report", 1);
    executor.write_bundle(&bundle(&document), harness.files()).await.unwrap();
    let slots = [Slot::Once, Slot::Due(time(3600))];
    for slot in slots {
        let job = render_job(&document, slot, 0);
        executor.start(&job, time(0)).await.unwrap();
        assert_eq!(wait_for_good(harness, executor.as_ref(), &job).await.phase, Phase::Succeeded);
    }
    let expected = slots.map(|slot| (document.revision.clone(), slot));
    let shown =
        |view: &ExecutorView| view.items.get(&document.slug).filter(|item| item.results == expected).map(|_| ());
    wait_for(harness, executor.as_ref(), "both results", shown).await;
    let target = Target::Result { revision: document.revision.clone(), slot: slots[1] };
    executor.publish(&ServiceSpec { target: target.clone(), ..service(&document) }).await.unwrap();
    let view = executor.view().await.unwrap();
    assert_eq!(view.items[&document.slug].service.as_ref().unwrap().target, target);
    drop(executor);
    let executor = harness.open().await;
    assert_eq!(executor.view().await.unwrap().items[&document.slug].results, expected);
}

async fn a_build_leaves_a_package_environment(harness: &dyn Harness) {
    let executor = harness.open().await;
    let app = harness.packaged("packaged");
    executor.write_bundle(&bundle(&app), harness.files()).await.unwrap();
    let job = build_job(&app, 0);
    executor.start(&job, time(0)).await.unwrap();
    assert_eq!(wait_for_good(harness, executor.as_ref(), &job).await.phase, Phase::Succeeded);
    let key = package_key(&app);
    let whole = |view: &ExecutorView| view.package_environments.contains(&key).then_some(());
    wait_for(harness, executor.as_ref(), "the package environment", whole).await;
    let run = run_job(&app, 0, 0);
    executor.start(&run, time(60)).await.unwrap();
    wait_for_good(harness, executor.as_ref(), &run).await;
    drop(executor);
    let executor = harness.open().await;
    let view = executor.view().await.unwrap();
    assert!(view.package_environments.contains(&key));
    assert_eq!(view.builds[&key].len(), 1);
}

async fn an_address_stays_the_same_thing(harness: &dyn Harness) {
    let executor = harness.open().await;
    let (old, new) = (harness.app("hello", 1), harness.app("hello", 2));
    bring_up(harness, executor.as_ref(), &old).await;
    executor.publish(&service(&old)).await.unwrap();
    let address = |view: &ExecutorView| view.items[&old.slug].service.clone();
    let first = address(executor.view().await.unwrap().as_ref()).unwrap();
    assert_eq!((&first.revision, first.digest), (&old.revision, service(&old).digest()));
    executor.publish(&service(&old)).await.unwrap();
    assert_eq!(address(executor.view().await.unwrap().as_ref()), Some(first.clone()));
    bring_up(harness, executor.as_ref(), &new).await;
    executor.publish(&service(&new)).await.unwrap();
    let second = address(executor.view().await.unwrap().as_ref()).unwrap();
    assert_eq!((&second.uid, &second.url, &second.revision), (&first.uid, &first.url, &new.revision));
    drop(executor);
    let executor = harness.open().await;
    assert_eq!(address(executor.view().await.unwrap().as_ref()), Some(second));
    executor.unpublish(&old.name, &old.slug).await.unwrap();
    executor.unpublish(&old.name, &old.slug).await.unwrap();
    assert_eq!(address(executor.view().await.unwrap().as_ref()), None);
}

async fn an_executor_opened_again_sees_the_same(harness: &dyn Harness) {
    let executor = harness.open().await;
    let (app, broken) = (harness.app("hello", 1), harness.broken("broken", "no flour"));
    bring_up(harness, executor.as_ref(), &app).await;
    executor.write_bundle(&bundle(&broken), harness.files()).await.unwrap();
    executor.start(&run_job(&broken, 0, 3), time(7)).await.unwrap();
    wait_for_failure(harness, executor.as_ref(), &run_job(&broken, 0, 3)).await;
    let before = executor.view().await.unwrap();
    assert!(Arc::ptr_eq(&before, &executor.view().await.unwrap()), "a view at rest is made anew");
    drop(executor);
    let executor = harness.open().await;
    assert_eq!(executor.view().await.unwrap().items, before.items);
}

async fn garbage_goes_and_nothing_else(harness: &dyn Harness) {
    let executor = harness.open().await;
    let (old, new, broken) = (harness.app("hello", 1), harness.app("hello", 2), harness.broken("broken", "no salt"));
    executor.write_bundle(&bundle(&old), harness.files()).await.unwrap();
    bring_up(harness, executor.as_ref(), &new).await;
    executor.write_bundle(&bundle(&broken), harness.files()).await.unwrap();
    let failed = run_job(&broken, 0, 0);
    executor.start(&failed, time(0)).await.unwrap();
    wait_for_failure(harness, executor.as_ref(), &failed).await;
    for garbage in [
        Garbage::Job(failed.name.clone()),
        Garbage::Bundle(broken.slug.clone(), broken.bundle.clone()),
        Garbage::Bundle(old.slug.clone(), old.bundle.clone()),
        Garbage::Result(old.slug.clone(), old.revision.clone(), Slot::Once),
        Garbage::PackageEnvironment(package_key(&harness.packaged("packaged"))),
    ] {
        executor.collect(&garbage).await.unwrap();
        executor.collect(&garbage).await.unwrap();
    }
    let view = executor.view().await.unwrap();
    assert_eq!(view.items.keys().collect::<Vec<_>>(), [&new.slug]);
    assert_eq!(view.items[&new.slug].bundles, std::slice::from_ref(&new.bundle));
    drop(executor);
    let executor = harness.open().await;
    assert_eq!(executor.view().await.unwrap().items, view.items);
}

async fn down_ends_everything(harness: &dyn Harness) {
    let executor = harness.open().await;
    for name in ["one", "two"] {
        bring_up(harness, executor.as_ref(), &harness.app(name, 1)).await;
    }
    assert!(executor.down().await.unwrap() >= 2);
    assert_eq!(executor.down().await.unwrap(), 0);
    let view = executor.view().await.unwrap();
    let mut jobs = view.items.values().flat_map(|item| item.jobs.values());
    assert!(!jobs.any(|job| job.role == Role::Run && job.phase.is_active()), "{view:#?}");
}
