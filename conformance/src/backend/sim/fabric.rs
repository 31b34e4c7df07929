//! Which fabrics this machine can build.

use std::path::Path;

use crate::scenario::Fabric;

/// What `br_netfilter` brings: without it a bridge hides the traffic among its ports from the
/// forward hook.
const BRIDGE_NETFILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Why this machine cannot build a fabric, and what helps; nothing if it can.
pub fn missing_for(fabric: Fabric) -> Option<&'static str> {
    let is_missing = fabric == Fabric::Bridge && !Path::new(BRIDGE_NETFILTER).exists();
    is_missing.then_some(
        "the bridge fabric needs br_netfilter, which is not loaded: \
         `sudo modprobe br_netfilter`, or `--fabric routed`",
    )
}

/// The fabric to take where nobody has chosen: bridge, and routed where bridge cannot be.
pub fn usual_fabric() -> Fabric {
    match missing_for(Fabric::Bridge) {
        None => Fabric::Bridge,
        Some(_) => Fabric::Routed,
    }
}
