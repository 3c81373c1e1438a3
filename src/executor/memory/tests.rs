//! The world in memory does what a real one would, and its watch notices what must not happen.

use super::*;
use crate::executor::BundleFile;
use crate::model::{BlobId, Digest};
use crate::plan::samples::{
    build_job, bundle, document, name, package_key, render_job, run_job, service, static_site, time, wanted,
    wanted_processes,
};
use crate::plan::{Phase, Slot, Target, WantedItem};

struct TwoFiles(Vec<BundleFile>);

impl TwoFiles {
    fn reader() -> Arc<dyn BundleReader> {
        let file = |path: &str, number: u8| BundleFile {
            path: path.into(),
            executable: false,
            contents: BlobId::from_bytes([number; 20]),
        };
        Arc::new(Self(vec![file("app.py", 1), file("data/x.csv", 2)]))
    }
}

impl BundleReader for TwoFiles {
    fn files(&self) -> &[BundleFile] {
        &self.0
    }

    fn read(&self, contents: &BlobId) -> Result<Vec<u8>, String> {
        Ok(contents.as_bytes()[..3].to_vec())
    }
}

fn world() -> MemoryExecutor {
    MemoryExecutor::new(Candidates::FromGit)
}

/// Writes the bundle and builds the packages of an item; the build ends at second 30.
async fn prepare(executor: &MemoryExecutor, item: &WantedItem) {
    executor.write_bundle(&bundle(item), TwoFiles::reader()).await.unwrap();
    executor.start(&build_job(item, 0), time(0)).await.unwrap();
    executor.advance(time(30));
}

fn laws(executor: &MemoryExecutor) -> Vec<Law> {
    executor.violations().into_iter().map(|violation| violation.law).collect()
}

async fn phase(executor: &MemoryExecutor, job: &JobSpec) -> Phase {
    let view = executor.view().await.unwrap();
    view.items[&job.slug].jobs[&job.name].phase.clone()
}

#[tokio::test]
async fn an_item_comes_up_in_order_and_breaks_no_law() {
    let executor = world();
    let item = wanted("app", 1);
    let mut events = executor.events();
    executor.write_bundle(&bundle(&item), TwoFiles::reader()).await.unwrap();
    assert!(events.has_changed().unwrap());
    events.mark_unchanged();
    let files = executor.bundle_files(&item.slug, &item.bundle).unwrap();
    assert_eq!(files.keys().map(AsRef::as_ref).collect::<Vec<&str>>(), ["app.py", "data/x.csv"]);

    executor.start(&build_job(&item, 0), time(0)).await.unwrap();
    assert_eq!(executor.next_event(), Some(time(30)));
    assert_eq!(executor.advance(time(29)), 0);
    assert!(executor.view().await.unwrap().package_environments.is_empty());
    executor.advance(time(30));
    assert!(executor.view().await.unwrap().package_environments.contains(&package_key(&item)));

    let run = run_job(&item, 0, 0);
    executor.start(&run, time(30)).await.unwrap();
    executor.start(&run, time(31)).await.unwrap();
    assert!(phase(&executor, &run).await.is_active());
    executor.advance(time(100));
    assert_eq!(phase(&executor, &run).await, Phase::Ready);
    let view = executor.view().await.unwrap();
    assert_eq!(view.items[&item.slug].jobs[&run.name].ready, Some(time(32)), "as of when it was due");
    executor.publish(&service(&item)).await.unwrap();
    executor.publish(&service(&item)).await.unwrap();
    let view = executor.view().await.unwrap();
    assert_eq!(view.items[&item.slug].service.as_ref().unwrap().digest, service(&item).digest());
    assert_eq!(executor.starts().len(), 2);
    assert_eq!(executor.violations(), []);
    assert!(events.has_changed().unwrap());
}

#[tokio::test]
async fn failures_are_scripted_and_crashes_happen_when_told() {
    let executor = world();
    let item = wanted("app", 1);
    executor.write_bundle(&bundle(&item), TwoFiles::reader()).await.unwrap();
    executor.fail(&item.name, Role::Build, "no such package: fastapi");
    executor.start(&build_job(&item, 0), time(0)).await.unwrap();
    executor.advance(time(30));
    let view = executor.view().await.unwrap();
    let failed = &view.builds[&package_key(&item)][0];
    assert!(matches!(&failed.phase, Phase::Failed { reason, counts: true, .. } if reason.contains("fastapi")));
    assert!(view.package_environments.is_empty());
    let piece = executor.log(failed, LogRequest { offset: 5, limit: 1000 }).await.unwrap();
    assert!(piece.ended && piece.text.ends_with("no such package: fastapi\n"), "{piece:?}");

    executor.mend(&item.name, Role::Build);
    executor.start(&build_job(&item, 1), time(60)).await.unwrap();
    executor.advance(time(90));
    let run = run_job(&item, 0, 0);
    executor.start(&run, time(90)).await.unwrap();
    executor.advance(time(92));
    assert!(executor.crash_process(&run.name, time(95)));
    assert!(!executor.crash_process(&run.name, time(96)));
    assert!(matches!(phase(&executor, &run).await, Phase::Failed { counts: true, .. }));
    let again = run_job(&item, 0, 1);
    executor.start(&again, time(97)).await.unwrap();
    assert_eq!(executor.reboot(time(98)), 1);
    assert_eq!(executor.advance(time(1000)), 0, "what ended does not come to its end again");
    assert!(matches!(phase(&executor, &again).await, Phase::Failed { counts: false, .. }));
    let view = executor.view().await.unwrap();
    let jobs = &view.items[&item.slug].jobs;
    assert_eq!(jobs[&run.name].address, jobs[&again.name].address, "the port is sticky");
    assert_eq!(executor.violations(), []);
}

#[tokio::test]
async fn nothing_may_run_twice() {
    let executor = world();
    let item = wanted_processes("app", 1, 2);
    executor.write_bundle(&bundle(&item), TwoFiles::reader()).await.unwrap();
    executor.start(&build_job(&item, 0), time(0)).await.unwrap();
    executor.start(&build_job(&item, 1), time(1)).await.unwrap();
    assert_eq!(laws(&executor), [Law::OneBuildAtOnce]);

    let executor = world();
    prepare(&executor, &item).await;
    executor.start(&run_job(&item, 0, 0), time(30)).await.unwrap();
    executor.start(&run_job(&item, 1, 0), time(30)).await.unwrap();
    assert_eq!(laws(&executor), []);
    executor.start(&run_job(&item, 0, 1), time(31)).await.unwrap();
    assert_eq!(laws(&executor), [Law::OneJobAtOnce]);
}

#[tokio::test]
async fn what_ended_is_not_started_again() {
    let executor = world();
    let item = document("report", 1, None);
    prepare(&executor, &item).await;
    let render = render_job(&item, Slot::Once, 0);
    executor.start(&render, time(30)).await.unwrap();
    executor.advance(time(40));
    assert_eq!(executor.view().await.unwrap().items[&item.slug].results, [(item.revision.clone(), Slot::Once)]);
    executor.start(&render, time(41)).await.unwrap();
    assert_eq!(laws(&executor), [Law::EndsOnce]);
    // not even when the job is gone
    executor.collect(&Garbage::Job(render.name.clone())).await.unwrap();
    executor.start(&render, time(42)).await.unwrap();
    assert_eq!(laws(&executor), [Law::EndsOnce, Law::EndsOnce]);

    // a process that was stopped, and a build whose result was taken away, may come back
    let executor = world();
    let item = wanted("app", 1);
    prepare(&executor, &item).await;
    let run = run_job(&item, 0, 0);
    executor.start(&run, time(30)).await.unwrap();
    let uid = executor.view().await.unwrap().items[&item.slug].jobs[&run.name].uid.clone();
    let wrong = executor.stop(&run.name, &Uid("other".to_owned())).await;
    assert!(matches!(wrong, Err(ExecutorError::Moved { .. })));
    executor.stop(&run.name, &uid).await.unwrap();
    executor.stop(&run.name, &uid).await.unwrap();
    assert_eq!(phase(&executor, &run).await, Phase::Stopping);
    assert_eq!(executor.next_event(), Some(time(31)), "a second after the latest time it was told of");
    executor.advance(time(31));
    executor.start(&run, time(40)).await.unwrap();
    assert!(executor.crash_process(&run.name, time(41)));
    assert!(executor.lose(&Garbage::PackageEnvironment(package_key(&item))));
    executor.collect(&Garbage::Job(build_job(&item, 0).name)).await.unwrap();
    executor.start(&build_job(&item, 0), time(50)).await.unwrap();
    assert_eq!(executor.violations(), []);
}

#[tokio::test]
async fn nothing_starts_or_answers_before_what_it_needs() {
    let executor = world();
    let item = wanted("app", 1);
    let run = run_job(&item, 0, 0);
    executor.start(&run, time(0)).await.unwrap();
    executor.publish(&service(&item)).await.unwrap();
    let site = static_site("site", 1);
    let target = Target::Bundle { id: site.bundle.clone(), index: None };
    executor.publish(&ServiceSpec { target, ..service(&site) }).await.unwrap();
    executor.advance(time(10));
    assert_eq!(laws(&executor), [Law::WholeFirst, Law::ReadyFirst, Law::WholeFirst]);
    assert!(matches!(phase(&executor, &run).await, Phase::Failed { .. }), "a real job would not find its files");
}

#[tokio::test]
async fn what_is_used_is_not_collected() {
    let executor = world();
    let item = wanted("app", 1);
    prepare(&executor, &item).await;
    executor.collect(&Garbage::Job(build_job(&item, 0).name)).await.unwrap();
    executor.start(&run_job(&item, 0, 0), time(30)).await.unwrap();
    assert_eq!(laws(&executor), []);
    executor.collect(&Garbage::Bundle(item.slug.clone(), item.bundle.clone())).await.unwrap();
    executor.collect(&Garbage::PackageEnvironment(package_key(&item))).await.unwrap();
    executor.collect(&Garbage::Job(run_job(&item, 0, 0).name)).await.unwrap();
    assert_eq!(laws(&executor), [Law::KeepWhatIsUsed; 3]);
}

#[tokio::test]
async fn faults_come_before_and_after_doing() {
    let executor = world();
    let item = wanted("app", 1);
    prepare(&executor, &item).await;
    let run = run_job(&item, 0, 0);
    executor.inject(FaultHook::new(|call| if call == "start" { Fault::Error } else { Fault::None }));
    assert!(executor.start(&run, time(30)).await.is_err());
    assert!(executor.view().await.unwrap().items[&item.slug].jobs.is_empty());
    executor.inject(FaultHook::new(|call| if call == "start" { Fault::ErrorAfterDoing } else { Fault::None }));
    assert!(executor.start(&run, time(30)).await.is_err());
    executor.inject(FaultHook::default());
    // the next pass starts it once more, and it is there
    executor.start(&run, time(31)).await.unwrap();
    assert_eq!(executor.starts().len(), 2, "the build and one run");
    assert_eq!(executor.violations(), []);
}

#[tokio::test]
async fn it_goes_down_and_outlives_its_holders() {
    let executor = world();
    let item = wanted("app", 1);
    prepare(&executor, &item).await;
    executor.start(&run_job(&item, 0, 0), time(30)).await.unwrap();
    executor.advance(time(40));
    executor.publish(&service(&item)).await.unwrap();
    assert!(executor.edit_service(&item.slug, |service| service.digest = Digest::of("edited")));
    let survivor = executor.clone();
    drop(executor);
    assert_eq!(survivor.jobs().len(), 2);
    assert_eq!(survivor.down().await.unwrap(), 1);
    let view = survivor.view().await.unwrap();
    assert!(survivor.jobs().is_empty() && view.builds.is_empty());
    assert!(view.items[&name("app").slug()].service.is_none());
    assert!(view.package_environments.contains(&package_key(&item)));
}
