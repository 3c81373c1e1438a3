//! What differs from the commit, and what is done about it: one pure function. Doing it is `apply`'s work.

mod budget;
mod chain;
mod document;
mod environments;
mod goal;
mod item;
mod job;
mod learn;
mod leaving;
mod markdown;
mod memory;
mod names;
mod observed;
mod operation;
mod planning;
mod reason;
mod rendering;
mod resolve;
mod retention;
#[doc(hidden)]
pub mod samples;
mod steps;
mod text;
mod wanted;
mod words;

pub use budget::approval_id;
pub use document::{OperationDocument, PLAN_VERSION, PlanDocument};
pub use environments::redirect_text;
pub use goal::{Goal, ItemGoal, Options, WantedEnvironment};
pub use learn::learn;
pub use markdown::markdown;
pub use planning::{Settled, plan, plan_again};
pub use resolve::{Site, bundle_id, resolve};
pub use text::{Detail, Line, Tone, escape, lines};
pub use words::{cost_line, count, nothing_to_do};

pub use job::{BundleSpec, ContentSpec, JobEnvironment, JobSpec, PackageSpec, Resources, ServiceSpec, Target};
pub use memory::{Approved, Change, MAX_RETRIES, Memory, Outcome, SourceIdentity, Step, backoff};
pub use names::{BundleId, JobName, NotAName, PackageKey, PlanId, Revision, Role, Slot};
pub use observed::{
    ExecutorView, Observed, ObservedItem, ObservedJob, ObservedService, Origin, Ownership, Phase, Record, RegistryView,
    StoredKind, Uid, Unreadable,
};
pub use operation::{
    Action, BackingOff, Blocked, Cost, InFlight, Note, Operation, Payload, Plan, Precondition, Stalled, Subject, Wait,
};
pub use wanted::{Presentation, Timetable, Wanted, WantedItem};
