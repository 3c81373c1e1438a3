//! Content items as people commit them: read, refused with a reason, and read again at the cost of what changed.

mod corpus;
mod counting;
mod documentation;
mod items;
mod mutation;
mod problems;
mod safety;
mod sample;
mod speed;
mod support;
