//! The whole corridor with the real binary: Git remotes, interpreters, processes and addresses. Each test is something
//! that people do; what the rooms do inside stands in their own tests.
#![allow(clippy::unwrap_used, reason = "a helper that fails stops its test, which is what it is for")]

#[allow(dead_code, reason = "shared with the tests of the source, which use all of it")]
#[path = "../support/git.rs"]
mod git;
#[allow(dead_code, reason = "shared with the tests of the source, which use all of it")]
#[path = "../support/http_server.rs"]
mod http_server;
#[allow(dead_code, reason = "shared with the tests of the source, which use all of it")]
#[path = "../support/ssh_server.rs"]
mod ssh_server;

mod content;
mod instance;
mod looking;

mod broken;
mod daily;
mod deletions;
mod directories;
mod following;
mod going_back;
mod hostile;
mod killed;
mod moved;
mod sample;
mod working_tree;

use looking::wait_until;
