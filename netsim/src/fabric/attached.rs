//! A machine behind a node that is no pod, a virtual machine for instance: the same on every fabric.
//!
//! It hangs on the node as a routed pod does.

use std::net::IpAddr;

use super::routed;
use crate::{
    link::{ETH0, Link},
    netns::Netns,
    rtnl::{Change, Route},
};

/// The changes of the node's namespace. `node` is the node's addresses.
pub(crate) fn admit<'a>(
    node: &[IpAddr],
    link: Link,
    machine: &'a Netns,
    addresses: &[IpAddr],
) -> Vec<Change<'a>> {
    routed::admit(node, link, machine, addresses, None)
}

/// The changes of the machine's own namespace, after those of the node.
pub(crate) fn settle<'a>(link: Link, addresses: &[IpAddr]) -> Vec<Change<'a>> {
    routed::settle(link, addresses, |gateway| Route::default_via(gateway, ETH0))
}
