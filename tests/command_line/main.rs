//! The command line as people and scripts use it: the real program, its output, its exit codes.

mod instance;
mod reading;
mod running;
mod support;
mod words;
