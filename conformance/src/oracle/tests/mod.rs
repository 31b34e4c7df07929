//! The oracle against the text of the specification, written by hand from the numbered lines.
//!
//! Each case is a little world and what follows from it, and is named after its line. The cases
//! say nothing of how the oracle or the compiler work. Lines about changes over time, answers on
//! the wire and the API server's refusals are not the oracle's: scenarios cover them.

mod blocks;
mod dual_stack;
mod egress;
mod hold;
mod isolation;
mod loopback;
mod nodes;
mod peers;
mod ports;
mod protocols;
mod reasons;
mod subjects;
mod union;
mod unreadable;
mod world;

use self::world::check;
