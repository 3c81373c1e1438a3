//! The command line as people and scripts use it: the real program, its output, its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod instance;
mod reading;
mod running;
mod support;
mod words;
