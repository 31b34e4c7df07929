//! One entry of `from` or `to`.

use std::net::IpAddr;

use k8s_openapi::{
    api::{core::v1::Pod, networking::v1::NetworkPolicyPeer},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::{
    World, block,
    place::{Place, name_of, namespace_of},
    selector::{Labels, selects},
    trace::{Match, Trace},
};

/// The label every namespace has (56).
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Whether a peer covers the other end. An `ipBlock` is held against the address (64, 81), whoever
/// has it (65, 80); selectors are held against pods and nobody else (47, 63, 126, 167). A peer
/// with no field (237) or with an `ipBlock` beside selectors (238) cannot be read (227).
pub(super) fn covers(
    world: &World,
    peer: &NetworkPolicyPeer,
    policy_namespace: &str,
    other: &Place<'_>,
    address: IpAddr,
    trace: &mut Trace,
) -> Match {
    let namespaces = peer.namespace_selector.as_ref();
    let pods = peer.pod_selector.as_ref();
    match (&peer.ip_block, namespaces, pods) {
        (None, None, None) => {
            trace.used(&[227, 237]);
            Match::Unreadable("the peer has no field".to_owned())
        }
        (Some(block), None, None) => block_covers(block, other, address, trace),
        (Some(_), _, _) => {
            trace.used(&[227, 238]);
            Match::Unreadable("the peer has an ipBlock beside selectors".to_owned())
        }
        (None, namespaces, pods) => match other {
            Place::Pod(pod) => pod_covers(world, namespaces, pods, policy_namespace, pod, trace),
            Place::Node(_) => {
                trace.used(&[47, 63, 167]);
                Match::No(format!(
                    "{other} is not a pod, only an ipBlock can match it"
                ))
            }
            Place::Outside(_) => {
                trace.used(&[47, 126]);
                Match::No(format!(
                    "{other} is not a pod's address, only an ipBlock can match it"
                ))
            }
        },
    }
}

/// An address of a pod (65), of a node (80, 169) or of somebody outside (126): all the same.
fn block_covers(
    block: &k8s_openapi::api::networking::v1::IPBlock,
    other: &Place<'_>,
    address: IpAddr,
    trace: &mut Trace,
) -> Match {
    trace.used(match other {
        Place::Pod(_) => &[65],
        Place::Node(_) => &[80, 166],
        Place::Outside(_) => &[126],
    });
    block::contains(block, address, trace)
}

/// Both selectors must match (48): the namespace's labels and the pod's, each on its own object
/// (54). Without a namespaceSelector only the policy's namespace is meant (44, 53); without a
/// podSelector all pods are (46, 53). A selector that cannot be read is so for every pod (227).
fn pod_covers(
    world: &World,
    namespaces: Option<&LabelSelector>,
    pods: Option<&LabelSelector>,
    policy_namespace: &str,
    pod: &Pod,
    trace: &mut Trace,
) -> Match {
    let in_namespace = in_namespace(world, namespaces, policy_namespace, pod, trace);
    let by_labels = match pods {
        Some(pods) => {
            let none = Labels::new();
            let whose = format!("{}/{}", namespace_of(pod), name_of(pod));
            let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
            selects(pods, &whose, labels, trace)
        }
        None => Match::Yes,
    };
    trace.used(match (namespaces, pods) {
        (Some(_), Some(_)) => &[48],
        (Some(_), None) => &[46],
        _ => &[44],
    });
    match (in_namespace, by_labels) {
        (Match::Unreadable(why), _) | (_, Match::Unreadable(why)) => Match::Unreadable(why),
        (Match::No(why), _) | (_, Match::No(why)) => Match::No(why),
        (Match::Yes, Match::Yes) => Match::Yes,
    }
}

/// Whether the pod lies in a namespace that is meant (44, 46).
fn in_namespace(
    world: &World,
    selector: Option<&LabelSelector>,
    policy_namespace: &str,
    pod: &Pod,
    trace: &mut Trace,
) -> Match {
    let namespace = namespace_of(pod);
    let Some(selector) = selector else {
        return if namespace == policy_namespace {
            Match::Yes
        } else {
            Match::No(format!(
                "{namespace}/{} is in namespace {namespace}, a peer without namespaceSelector \
                 means {policy_namespace}",
                name_of(pod)
            ))
        };
    };
    let whose = format!("namespace {namespace}");
    match labels_of(world, namespace) {
        Some(labels) => selects(selector, &whose, &labels, trace),
        None => Match::No(format!("{whose} is unknown, so its labels match nothing")),
    }
}

/// A namespace's labels, with its name as the API server adds it (56).
fn labels_of(world: &World, name: &str) -> Option<Labels> {
    let named = |namespace: &&k8s_openapi::api::core::v1::Namespace| {
        namespace.metadata.name.as_deref() == Some(name)
    };
    let namespace = world.namespaces.iter().find(named)?;
    let mut labels = namespace.metadata.labels.clone().unwrap_or_default();
    labels.insert(NAMESPACE_NAME.to_owned(), name.to_owned());
    Some(labels)
}
