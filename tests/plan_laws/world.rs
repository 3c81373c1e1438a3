//! A world in which every operation succeeds at once: what a plan would lead to. Faults belong to the simulation.

use wharf::model::{Digest, Slug};
use wharf::plan::{
    Action, ExecutorView, JobSpec, Observed, ObservedItem, ObservedJob, ObservedService, Operation, Origin, Ownership,
    Payload, Phase, Record, RegistryView, Role, ServiceSpec, Subject, Uid, learn, samples,
};

/// Records and jobs after some operations.
#[derive(Default, Clone)]
pub struct World {
    pub registry: RegistryView,
    pub executor: ExecutorView,
    made: u32,
}

impl World {
    pub fn observed(&self) -> Observed<'_> {
        Observed { registry: &self.registry, executor: &self.executor }
    }

    /// Does one operation, and learns from what it led to.
    pub fn take(&mut self, operation: &Operation) {
        match (&operation.payload, operation.action) {
            (Payload::Environment { form, origin }, action) if action != Action::Delete => {
                let record = self.record(form.clone(), Digest::of_value(form), origin);
                self.registry.environments.insert(form.name.clone(), record);
            }
            (Payload::Content { form, origin }, action) if action != Action::Delete => {
                let record = self.record(form.clone(), Digest::of_value(form), origin);
                self.registry.contents.insert(form.name.clone(), record);
            }
            (Payload::Bundle(spec), Action::Create) => self.item(&spec.slug).bundles.push(spec.id.clone()),
            (Payload::Bundle(spec), _) => self.item(&spec.slug).bundles.retain(|id| *id != spec.id),
            (Payload::Job(spec), _) => self.start(spec),
            (Payload::Service(spec), _) => self.publish(spec),
            (Payload::Result { slug, revision, slot }, _) => {
                self.item(slug).results.retain(|(r, s)| r != revision || s != slot);
            }
            (_, _) => self.remove(operation),
        }
        let lessons = learn(self.observed(), samples::time(0));
        for lesson in &lessons {
            self.registry.memory.take(lesson);
        }
        assert!(learn(self.observed(), samples::time(0)).is_empty(), "learning twice teaches nothing new");
    }

    fn record<T>(&mut self, form: std::sync::Arc<T>, digest: Digest, origin: &Origin) -> Record<T> {
        self.made += 1;
        Record {
            uid: Uid(format!("u{}", self.made)),
            version: 1,
            ownership: Ownership::Ours,
            applied: digest,
            stored: digest,
            origin: origin.clone(),
            form,
        }
    }

    fn item(&mut self, slug: &Slug) -> &mut ObservedItem {
        self.executor.items.entry(slug.clone()).or_default()
    }

    fn start(&mut self, spec: &JobSpec) {
        let phase = match spec.role {
            Role::Run => Phase::Ready,
            Role::Build | Role::Render => Phase::Succeeded,
        };
        let job = ObservedJob {
            name: spec.name.clone(),
            uid: Uid(spec.name.to_string()),
            ownership: Ownership::Ours,
            role: spec.role,
            item: spec.item.clone(),
            revision: spec.revision.clone(),
            slot: spec.slot,
            attempt: spec.attempt,
            phase,
            started: samples::time(0),
            ready: Some(samples::time(0)),
            ended: None,
            address: None,
            pid: None,
        };
        match spec.role {
            Role::Build => {
                let key = spec.content.packages.as_ref().expect("a build has packages").key.clone();
                self.executor.package_environments.insert(key.clone());
                self.executor.builds.entry(key).or_default().push(job);
            }
            Role::Run => {
                self.item(&spec.slug).jobs.insert(spec.name.clone(), job);
            }
            Role::Render => {
                let item = self.item(&spec.slug);
                item.results.push((spec.revision.clone(), spec.slot));
                item.jobs.insert(spec.name.clone(), job);
            }
        }
    }

    fn publish(&mut self, spec: &ServiceSpec) {
        let service = ObservedService {
            uid: Uid(spec.slug.to_string()),
            ownership: Ownership::Ours,
            revision: spec.revision.clone(),
            target: spec.target.clone(),
            digest: spec.digest(),
            url: None,
        };
        self.item(&spec.slug).service = Some(service);
    }

    fn remove(&mut self, operation: &Operation) {
        match &operation.subject {
            Subject::Environment(image) => drop(self.registry.environments.remove(image)),
            Subject::Content(item) => drop(self.registry.contents.remove(item)),
            Subject::Job(name) => {
                for item in self.executor.items.values_mut() {
                    item.jobs.remove(name);
                }
            }
            Subject::Service(slug) => {
                for (of, item) in &mut self.executor.items {
                    if of.as_str() == slug {
                        item.service = None;
                    }
                }
            }
            other => panic!("nothing deletes a {}", other.kind()),
        }
    }
}
