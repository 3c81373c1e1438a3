//! The session, for real: the program itself, a Python from this machine, packages from the index, HTTP over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on stops there and says where")]

mod appmodes;
mod build;
mod forward;
mod harness;
mod run;
