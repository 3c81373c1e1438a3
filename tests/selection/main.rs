//! The choice of environments from outside: the vectors of the specification, its laws, and the texts people read.

#![allow(clippy::unwrap_used, reason = "a helper of a test may stop it, as the test itself may")]

mod laws;
mod manifests;
mod sticky;
mod texts;
mod vectors;
mod world;
