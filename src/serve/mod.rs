//! The room `serve`: what the daemon answers to others, over its own sockets. What is answered is decided elsewhere.

pub mod content;
pub mod control;
