//! The connections that a node forwards, and which of them have to be cut.
//!
//! | module | what is in it | input and output |
//! |---|---|---|
//! | `entry` | one connection as conntrack knows it | data |
//! | `kernel`, `netlink` | the kernel's list of them ([`Conntrack`]), behind [`Connections`] | reads the kernel |
//! | `revoke` | [`revoked`]: the connections that a Plan denies | pure |
//!
//! A connection is cut by dropping its packets, not by forgetting it: TCP that conntrack has
//! forgotten is picked up again in mid-stream, by whichever end speaks first, and judged as if that
//! end had begun (semantics 209). So entries are only ever read here. Their ids go into the
//! [`Plan`](crate::plan::Plan) and with it into the kernel's table (see [`crate::nft`]).
//!
//! Nothing is listed after a change that only lets more pass, unless something is cut that may pass
//! again.
//!
//! A list costs the kernel about 10 ms for the 262,144 buckets that a machine of some size has, and
//! 2 ms for each 1,000 connections; judging them is a hundredth of that.
//!
//! Start at [`revoked`].

mod entry;
mod kernel;
mod netlink;
mod revoke;

use std::io;

pub(crate) use self::revoke::may_deny_more;
pub use self::{
    entry::{Entry, Tuple},
    kernel::Conntrack,
    revoke::revoked,
};

/// Knows the live connections of one node.
pub trait Connections: Send {
    /// Those that the node forwards, in no order. What it says itself or hears itself passes no
    /// `forward` hook: probes of its pods and the like (semantics 164, 165).
    ///
    /// # Errors
    /// Whatever the kernel has to say.
    fn live(&mut self) -> io::Result<Vec<Entry>>;
}

impl<C: Connections + ?Sized> Connections for Box<C> {
    fn live(&mut self) -> io::Result<Vec<Entry>> {
        (**self).live()
    }
}
