//! Random worlds, judged three ways: `portcullis fuzz`.
//!
//! | module | what is in it |
//! |---|---|
//! | [`run`], `worker` | many cases on many threads: start here |
//! | [`dice`], [`generate`] | worlds, policies and edits from a seed; pure |
//! | [`world`], [`edit`], [`story`] | a cluster as plain data, what can happen to it, and both together |
//! | [`cells`] | which connections of a world to ask about |
//! | [`plan`] | oracle, compiled Plan and explanation |
//! | [`kernel`] | these and real packets |
//! | [`edits`], [`listing`] | an enforcer after many commits, and one that starts anew, down to the kernel's table |
//! | [`feature`] | what the policies make use of, and whether it matters |
//! | [`shrink`], [`scenario`] | from a failure to a small scenario file that replays it |
//!
//! A case is known by seed and number: what it is depends on nothing else, neither on the machine
//! nor on the number of threads. What must never happen: that a judge is asked in a way in which it
//! could copy another's answer.

pub mod cells;
pub mod dice;
pub mod edit;
pub mod edits;
pub mod feature;
pub mod generate;
pub mod kernel;
pub mod listing;
mod objects;
pub mod plan;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod story;
mod worker;
pub mod world;

#[cfg(test)]
mod tests;

pub use self::worker::PlanCase;
