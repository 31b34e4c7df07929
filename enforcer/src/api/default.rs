//! What the API server fills in.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};

use super::lower::{EGRESS, INGRESS, TCP};

/// Fills in what the API server fills in: the policy types (semantics 8–11) and the protocol of
/// every port entry, also where the rest of the entry is empty (semantics 88, 89).
pub fn default_network_policy(policy: &mut NetworkPolicy) {
    let spec = policy.spec.get_or_insert_default();
    if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
        let mut types = vec![INGRESS.to_owned()];
        // An empty list of egress rules does not count (semantics 10).
        if spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) {
            types.push(EGRESS.to_owned());
        }
        spec.policy_types = Some(types);
    }
    for rule in spec.ingress.iter_mut().flatten() {
        rule.ports.iter_mut().flatten().for_each(default_port);
    }
    for rule in spec.egress.iter_mut().flatten() {
        rule.ports.iter_mut().flatten().for_each(default_port);
    }
}

fn default_port(port: &mut NetworkPolicyPort) {
    port.protocol.get_or_insert_with(|| TCP.to_owned());
}
