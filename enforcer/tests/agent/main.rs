//! The agent of one node around a dataplane that only remembers.

#[path = "../world/mod.rs"]
mod world;

mod connections;
mod drift;
mod incremental;
mod memory;
mod node;
mod thread;

use enforcer::{
    cluster::Event,
    policy::{Direction, Selector},
};

/// Everything in `x` is isolated and nobody is let in.
fn deny() -> Event {
    world::policy("x/deny", Direction::Ingress, Selector::EVERYTHING, vec![])
}
