//! What the API server refuses in a NetworkPolicy (semantics 229–246).
//!
//! What an object had before may stay in it when it is changed, even if it is refused in a new one:
//! [`Tolerated`] says what that is (semantics 244, 245).

use std::collections::BTreeSet;

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    address::Range,
    error::FieldError,
    lower::{EGRESS, INGRESS, SCTP, TCP, UDP},
    metadata::{validate_metadata, validate_metadata_update},
    name,
    selector::{LabelValues, validate_selector},
};
use crate::yaml::FieldPath;

/// Every reason for which the API server refuses to create the policy, in its order and words;
/// none if it accepts it. Address ranges are validated strictly, as by default since Kubernetes
/// 1.36 (semantics 245). Expects defaults to be filled in.
pub fn validate_network_policy(policy: &NetworkPolicy) -> Vec<FieldError> {
    let mut errors = validate_metadata(&policy.metadata, true, name::dns_1123_subdomain);
    errors.extend(validate_spec(policy, &Tolerated::default()));
    errors
}

/// Every reason for which the API server refuses to replace the policy `old` by `new`, in its order
/// and words; none if it accepts that. The name, the namespace and the uid stay. What `old` has may
/// stay too: ranges in any notation (semantics 245), and, if its own podSelector would be refused
/// now, values of expressions that no label can have (semantics 244). Expects defaults, and the uid
/// of a manifest without one, to be filled in.
pub fn validate_network_policy_update(old: &NetworkPolicy, new: &NetworkPolicy) -> Vec<FieldError> {
    let mut errors = validate_metadata_update(&old.metadata, &new.metadata);
    errors.extend(validate_spec(new, &Tolerated::of(old)));
    errors
}

/// What would be refused in a new object and is tolerated in a changed one.
#[derive(Default)]
struct Tolerated<'a> {
    label_values: LabelValues,
    /// Ranges as they are written.
    ranges: BTreeSet<&'a str>,
}

impl<'a> Tolerated<'a> {
    /// What the object had before. Only its podSelector decides on label values, for all selectors.
    fn of(old: &'a NetworkPolicy) -> Self {
        let Some(spec) = &old.spec else {
            return Self::default();
        };
        let has_bad_subject = spec.pod_selector.as_ref().is_some_and(|selector| {
            !validate_selector(selector, &FieldPath::root(), LabelValues::Good).is_empty()
        });
        let from = spec.ingress.iter().flatten().flat_map(|rule| &rule.from);
        let to = spec.egress.iter().flatten().flat_map(|rule| &rule.to);
        let blocks = from
            .chain(to)
            .flatten()
            .filter_map(|peer| peer.ip_block.as_ref());
        let ranges = blocks
            .flat_map(|block| {
                [&block.cidr]
                    .into_iter()
                    .chain(block.except.iter().flatten())
            })
            .map(String::as_str);
        Self {
            label_values: if has_bad_subject {
                LabelValues::Any
            } else {
                LabelValues::Good
            },
            ranges: ranges.collect(),
        }
    }
}

fn validate_spec(policy: &NetworkPolicy, tolerated: &Tolerated<'_>) -> Vec<FieldError> {
    let path = FieldPath::root().key("spec");
    let Some(spec) = &policy.spec else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    if let Some(selector) = &spec.pod_selector {
        let path = path.key("podSelector");
        errors.extend(validate_selector(selector, &path, tolerated.label_values));
    }
    for (index, rule) in spec.ingress.iter().flatten().enumerate() {
        let path = path.key("ingress").index(index);
        errors.extend(validate_ports(rule.ports.as_deref(), &path.key("ports")));
        errors.extend(validate_peers(
            rule.from.as_deref(),
            &path.key("from"),
            tolerated,
        ));
    }
    for (index, rule) in spec.egress.iter().flatten().enumerate() {
        let path = path.key("egress").index(index);
        errors.extend(validate_ports(rule.ports.as_deref(), &path.key("ports")));
        errors.extend(validate_peers(
            rule.to.as_deref(),
            &path.key("to"),
            tolerated,
        ));
    }
    errors.extend(validate_types(
        spec.policy_types.as_deref().unwrap_or_default(),
        &path.key("policyTypes"),
    ));
    errors
}

fn validate_types(types: &[String], path: &FieldPath) -> Vec<FieldError> {
    const SUPPORTED: [&str; 2] = [INGRESS, EGRESS];
    if types.len() > SUPPORTED.len() {
        return vec![FieldError::invalid(
            path.clone(),
            types.to_vec(),
            "may not specify more than two policyTypes",
        )];
    }
    types
        .iter()
        .enumerate()
        .filter(|(_, value)| !SUPPORTED.contains(&value.as_str()))
        .map(|(index, value)| FieldError::not_supported(path.index(index), value, &SUPPORTED))
        .collect()
}

fn validate_ports(ports: Option<&[NetworkPolicyPort]>, path: &FieldPath) -> Vec<FieldError> {
    ports
        .unwrap_or_default()
        .iter()
        .enumerate()
        .flat_map(|(index, port)| validate_port(port, &path.index(index)))
        .collect()
}

/// Validates one port entry (semantics 230–236).
pub(super) fn validate_port(port: &NetworkPolicyPort, path: &FieldPath) -> Vec<FieldError> {
    const SUPPORTED: [&str; 3] = [TCP, UDP, SCTP];
    let mut errors = Vec::new();
    if let Some(protocol) = port.protocol.as_deref()
        && !SUPPORTED.contains(&protocol)
    {
        let path = path.key("protocol");
        errors.push(FieldError::not_supported(path, protocol, &SUPPORTED));
    }
    let end_port_error =
        |end_port: i32, detail: &str| FieldError::invalid(path.key("endPort"), end_port, detail);
    match (&port.port, port.end_port) {
        (Some(IntOrString::Int(first)), end_port) => {
            for reason in name::port_number(*first) {
                errors.push(FieldError::invalid(path.key("port"), *first, reason));
            }
            if let Some(last) = end_port {
                if last < *first {
                    let detail = "must be greater than or equal to `port`";
                    errors.push(end_port_error(last, detail));
                }
                for reason in name::port_number(last) {
                    errors.push(end_port_error(last, &reason));
                }
            }
        }
        (Some(IntOrString::String(port_name)), end_port) => {
            if let Some(last) = end_port {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(end_port_error(last, detail));
            }
            for reason in name::port_name(port_name) {
                let path = path.key("port");
                errors.push(FieldError::invalid(path, port_name.as_str(), reason));
            }
        }
        (None, Some(last)) => {
            let detail = "may not be specified when `port` is not specified";
            errors.push(end_port_error(last, detail));
        }
        (None, None) => {}
    }
    errors
}

fn validate_peers(
    peers: Option<&[NetworkPolicyPeer]>,
    path: &FieldPath,
    tolerated: &Tolerated<'_>,
) -> Vec<FieldError> {
    peers
        .unwrap_or_default()
        .iter()
        .enumerate()
        .flat_map(|(index, peer)| validate_peer(peer, &path.index(index), tolerated))
        .collect()
}

/// Validates one peer (semantics 237–241).
fn validate_peer(
    peer: &NetworkPolicyPeer,
    path: &FieldPath,
    tolerated: &Tolerated<'_>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (selector, field) in [
        (&peer.pod_selector, "podSelector"),
        (&peer.namespace_selector, "namespaceSelector"),
    ] {
        if let Some(selector) = selector {
            let path = path.key(field);
            errors.extend(validate_selector(selector, &path, tolerated.label_values));
        }
    }
    if let Some(block) = &peer.ip_block {
        errors.extend(validate_block(block, &path.key("ipBlock"), tolerated));
    }
    errors.extend(validate_peer_kind(peer, path));
    errors
}

/// Validates which fields stand together in a peer.
pub(super) fn validate_peer_kind(peer: &NetworkPolicyPeer, path: &FieldPath) -> Option<FieldError> {
    let has_selector = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    match (peer.ip_block.is_some(), has_selector) {
        (false, false) => Some(FieldError::required(path.clone(), "must specify a peer")),
        (true, true) => Some(FieldError::forbidden(
            path.clone(),
            "may not specify both ipBlock and another peer",
        )),
        (true, false) | (false, true) => None,
    }
}

fn validate_block(block: &IPBlock, path: &FieldPath, tolerated: &Tolerated<'_>) -> Vec<FieldError> {
    if block.cidr.is_empty() {
        return vec![FieldError::required(path.key("cidr"), "")];
    }
    let mut errors: Vec<_> = validate_range(&block.cidr, &path.key("cidr"), tolerated)
        .into_iter()
        .collect();
    let Some(range) = Range::parse(&block.cidr) else {
        return errors;
    };
    for (index, except) in block.except.iter().flatten().enumerate() {
        let path = path.key("except").index(index);
        errors.extend(validate_range(except, &path, tolerated));
        if let Some(hole) = Range::parse(except)
            && !range.is_wider_than(hole)
        {
            errors.push(FieldError::invalid(
                path,
                except.as_str(),
                "must be a strict subset of `cidr`",
            ));
        }
    }
    errors
}

/// Validates an address range strictly, unless it was there before (semantics 245).
fn validate_range(text: &str, path: &FieldPath, tolerated: &Tolerated<'_>) -> Option<FieldError> {
    if tolerated.ranges.contains(text) {
        return None;
    }
    let detail = match Range::parse(text) {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some(range) => range.strictness(text)?,
    };
    Some(FieldError::invalid(path.clone(), text, detail))
}
