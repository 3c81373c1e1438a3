//! What the benchmarks share: a made-up config repository of any size. Nothing is measured here.

pub mod daemon;
pub mod environments;
pub mod generate;
pub mod items;
pub mod random;
