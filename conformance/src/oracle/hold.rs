//! Addresses of pods that are still to come.

use super::{
    Connection, World,
    place::{gives_out, owner},
    trace::Trace,
};

/// Whether a node lets a connection wait because one end has an address that the node gives to pods
/// and that no pod is known to have: from its first packet on, a new pod must be isolated
/// by the policies that were there before it (217). Until a node knows the pod it cannot tell which
/// those are, and so nothing passes; an enforcer may also choose to let everything pass (218).
pub(super) fn holds(world: &World, connection: &Connection, node: &str, trace: &mut Trace) -> bool {
    let mut nodes = world.nodes.iter();
    let Some(own) = nodes.find(|one| one.metadata.name.as_deref() == Some(node)) else {
        return false;
    };
    let is_unknown = |address| gives_out(own, address) && owner(&world.pods, address).is_none();
    let ends = [connection.source, connection.destination];
    let Some(held) = ends.into_iter().find(|address| is_unknown(*address)) else {
        return false;
    };
    let reason = format!("{held} is in the pod range of {node}, which knows no pod that has it");
    trace.say(&[217, 218], reason);
    true
}
