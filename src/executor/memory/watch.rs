//! The watch over what a plan asks of the world: every start, and every law that was broken. It changes nothing.

use jiff::Timestamp;

use super::world::World;
use crate::executor::Garbage;
use crate::plan::{JobName, JobSpec, ObservedJob, Phase, Role, ServiceSpec, Target, Uid};

/// What must never happen, whatever fails and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// No two living jobs of one item, role, revision and slot.
    OneJobAtOnce,
    /// No two living builds of one package environment.
    OneBuildAtOnce,
    /// A job that ended is not started again under its name: a render that went well never, others not while they are
    /// there to be looked at, a build not while what it made is there.
    EndsOnce,
    /// A job or an address needs its bundle, a job its packages, an address its result.
    WholeFirst,
    /// An address is switched to processes of which at least one is ready.
    ReadyFirst,
    /// What a living job or an address uses is not taken away.
    KeepWhatIsUsed,
}

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: Law,
    /// By what, in words.
    pub what: String,
}

/// A job that was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// As it was asked for.
    pub job: JobSpec,
    /// Its identity.
    pub uid: Uid,
    /// When.
    pub at: Timestamp,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) starts: Vec<Started>,
    pub(super) violations: Vec<Violation>,
    /// Builds and renders that went well, also when their job is gone.
    pub(super) succeeded: std::collections::BTreeSet<JobName>,
}

impl World {
    fn broken(&mut self, law: Law, what: String) {
        self.watch.violations.push(Violation { law, what });
    }

    /// Looks at a start of a job that is there already; the world leaves it as it is.
    pub(super) fn watch_repeated_start(&mut self, job: &JobSpec) {
        let ended = self.observed(&job.name).filter(|found| !found.phase.is_active()).map(|found| found.phase.clone());
        if let Some(phase) = ended {
            self.broken(Law::EndsOnce, format!("{} was started again and had ended: {phase:?}", job.name));
        }
    }

    /// Looks at a start before it is done.
    pub(super) fn watch_start(&mut self, job: &JobSpec) {
        let gone_well = self.watch.succeeded.contains(&job.name);
        let needless = job.role == Role::Render || self.has_packages(job);
        if gone_well && needless {
            self.broken(Law::EndsOnce, format!("{} was started again and had succeeded", job.name));
        }
        let alive = |other: &&ObservedJob| other.phase.is_active();
        let rivals: Vec<JobName> = if job.role == Role::Build {
            let builds = job.content.packages.as_ref().and_then(|packages| self.view.builds.get(&packages.key));
            builds.into_iter().flatten().filter(alive).map(|other| other.name.clone()).collect()
        } else {
            let jobs = self.view.items.get(&job.slug).into_iter().flat_map(|item| item.jobs.values());
            let same =
                |other: &&ObservedJob| (other.role, &other.revision, other.slot) == (job.role, &job.revision, job.slot);
            jobs.filter(same).filter(alive).map(|other| other.name.clone()).collect()
        };
        let law = if job.role == Role::Build { Law::OneBuildAtOnce } else { Law::OneJobAtOnce };
        for rival in rivals {
            self.broken(law, format!("{} was started while {rival} is alive", job.name));
        }
        if let Some(missing) = self.missing(job) {
            self.broken(Law::WholeFirst, format!("{} was started without {missing}", job.name));
        }
    }

    /// Looks at an address before it is switched.
    pub(super) fn watch_publish(&mut self, service: &ServiceSpec) {
        let item = self.view.items.get(&service.slug);
        let broken = match &service.target {
            Target::Processes => {
                let answers = item.is_some_and(|item| {
                    item.jobs.values().any(|job| job.revision == service.revision && job.phase == Phase::Ready)
                });
                (!answers).then_some((Law::ReadyFirst, "any ready process"))
            }
            Target::Bundle { id, .. } => {
                let whole = item.is_some_and(|item| item.bundles.contains(id));
                (!whole).then_some((Law::WholeFirst, "its bundle"))
            }
            Target::Result { revision, slot } => {
                let whole = item.is_some_and(|item| item.results.contains(&(revision.clone(), *slot)));
                (!whole).then_some((Law::WholeFirst, "its result"))
            }
        };
        if let Some((law, missing)) = broken {
            self.broken(law, format!("{} was switched to {} without {missing}", service.item, service.revision));
        }
    }

    /// Looks at something before it is collected.
    pub(super) fn watch_collect(&mut self, garbage: &Garbage) {
        let alive = self.observed_jobs().filter(|job| job.phase.is_active());
        let spec_uses = |job: &&ObservedJob| {
            let Some(spec) = self.spec(&job.name) else { return false };
            match garbage {
                Garbage::Job(name) => job.name == *name,
                Garbage::Bundle(slug, bundle) => spec.slug == *slug && spec.content.bundle == *bundle,
                Garbage::PackageEnvironment(key) => {
                    spec.content.packages.as_ref().is_some_and(|packages| packages.key == *key)
                }
                Garbage::Result(..) => false,
            }
        };
        let mut users: Vec<String> = alive.filter(spec_uses).map(|job| job.name.to_string()).collect();
        let shown = |slug| self.view.items.get(slug).and_then(|item| item.service.as_ref()).map(|found| &found.target);
        let answers = match garbage {
            Garbage::Bundle(slug, bundle) => matches!(shown(slug), Some(Target::Bundle { id, .. }) if id == bundle),
            Garbage::Result(slug, revision, slot) => {
                matches!(shown(slug), Some(Target::Result { revision: r, slot: s }) if r == revision && s == slot)
            }
            Garbage::Job(_) | Garbage::PackageEnvironment(_) => false,
        };
        if answers {
            users.push("the item's address".to_owned());
        }
        for user in users {
            self.broken(Law::KeepWhatIsUsed, format!("{garbage:?} was collected while {user} uses it"));
        }
    }
}
