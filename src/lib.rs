//! Wharf: what a Git commit says becomes what runs. No logic lives here; the rooms are listed in the order a commit walks them.
//!
//! ```text
//! source ──> desired ──> select ──> plan ──> apply ──> (registry, executor)
//!   git        bytes      which      what       do        what is, and
//! objects     to types   image     differs     it        what was done
//!                                     ▲                    │
//!                                     └───── observed ─────┘
//! ```
//!
//! `model`, `desired`, `select` and `plan` are pure: no clock, file, network, environment variable or randomness.
//! `ARCHITECTURE.md` says who may import whom, `tests/purity.rs` keeps it so.

#[cfg(feature = "controller")]
pub mod model;

#[cfg(feature = "controller")]
pub mod desired;
#[cfg(feature = "controller")]
pub mod select;

#[cfg(feature = "controller")]
pub mod plan;

#[cfg(feature = "controller")]
pub mod executor;
#[cfg(feature = "controller")]
#[doc(hidden)]
pub mod fault;
#[cfg(feature = "controller")]
pub mod registry;

#[cfg(feature = "controller")]
pub mod apply;
#[cfg(feature = "controller")]
pub mod clock;
#[cfg(feature = "controller")]
pub mod reconcile;

#[cfg(feature = "controller")]
pub mod cli;
#[cfg(feature = "controller")]
pub mod config;
#[cfg(feature = "controller")]
pub mod serve;
pub mod session;
#[cfg(feature = "controller")]
pub mod source;
#[cfg(feature = "controller")]
pub mod telemetry;
