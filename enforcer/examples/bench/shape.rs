//! The shapes of clusters that others have published times for.
//!
//! The first two are of Antrea's `networkpolicy` benchmarks, the third of Kubernetes' perf-tests.

use std::{fmt, net::IpAddr};

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod},
    networking::v1::NetworkPolicy,
};

use crate::{
    city::{ELSEWHERE, NODE},
    object::{self, from, pods, policy, port},
};

/// Pods on the node.
pub(crate) const LOCAL: usize = 110;

/// A published shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// 25,000 namespaces, each with 4 pods and 3 policies.
    SmallNamespaces,
    /// One namespace with 10,000 pods and 10,000 policies that each select everything.
    OneNamespace,
    /// 100 namespaces, each with 1,000 pods and 101 policies.
    LargeNamespaces,
    /// 10,000 pods with a policy each.
    PolicyPerPod,
}

/// How many of each there are.
struct Size {
    namespaces: usize,
    /// In each namespace.
    pods: usize,
    policies: usize,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [
        Self::SmallNamespaces,
        Self::OneNamespace,
        Self::LargeNamespaces,
        Self::PolicyPerPod,
    ];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SmallNamespaces => "small-namespaces",
            Self::OneNamespace => "one-namespace",
            Self::LargeNamespaces => "large-namespaces",
            Self::PolicyPerPod => "policy-per-pod",
        }
    }

    /// The best that was published: seconds and megabytes (Antrea, all of the cluster).
    pub(crate) fn published(self) -> Option<(f64, f64)> {
        match self {
            Self::SmallNamespaces => Some((5.84, 1_526.0)),
            Self::OneNamespace => Some((10.66, 1_157.0)),
            Self::LargeNamespaces | Self::PolicyPerPod => None,
        }
    }

    fn size(self) -> Size {
        let (namespaces, pods, policies) = match self {
            Self::SmallNamespaces => (25_000, 4, 3),
            Self::OneNamespace | Self::PolicyPerPod => (1, 10_000, 10_000),
            Self::LargeNamespaces => (100, 1_000, 101),
        };
        Size {
            namespaces,
            pods,
            policies,
        }
    }

    pub(crate) fn node() -> Node {
        object::node(NODE, object::address(172, 1), "10.0.1.0/24")
    }

    pub(crate) fn namespaces(self) -> impl Iterator<Item = Namespace> {
        (0..self.size().namespaces).map(|number| object::namespace(&name(number), &[]))
    }

    pub(crate) fn pods(self) -> impl Iterator<Item = Pod> {
        let size = self.size();
        let every = size.namespaces * size.pods / LOCAL;
        (0..size.namespaces * size.pods).map(move |number| {
            let (node, address): (_, IpAddr) = if number % every == 0 && number / every < LOCAL {
                (NODE, object::address(10, 256 + 2 + number / every))
            } else {
                (ELSEWHERE, object::address(11, number))
            };
            let within = number % size.pods;
            let (key, value) = self.label(within);
            let (namespace, pod) = (name(number / size.pods), format!("pod-{within}"));
            object::pod(&namespace, &pod, node, address, &[(&key, &value)])
        })
    }

    pub(crate) fn policies(self) -> impl Iterator<Item = NetworkPolicy> {
        let size = self.size();
        (0..size.namespaces * size.policies).map(move |number| {
            let within = number % size.policies;
            self.policy(&name(number / size.policies), within, &size)
        })
    }

    /// What tells a pod of a namespace from others.
    fn label(self, pod: usize) -> (String, String) {
        match self {
            Self::SmallNamespaces => kind(pod % 3),
            Self::OneNamespace => kind(0),
            Self::LargeNamespaces => ("group".into(), format!("g{}", pod % 100)),
            Self::PolicyPerPod => ("name".into(), format!("pod-{pod}")),
        }
    }

    fn policy(self, namespace: &str, number: usize, size: &Size) -> NetworkPolicy {
        let (subject, peer) = match self {
            Self::SmallNamespaces | Self::OneNamespace => {
                let kind = self.label(number);
                (kind.clone(), kind)
            }
            Self::LargeNamespaces => (self.label(number), self.label(number + 1)),
            Self::PolicyPerPod => {
                let next = (number + 1) % size.pods;
                (self.label(number), self.label(next))
            }
        };
        let name = format!("policy-{number}");
        if self == Self::LargeNamespaces && number == 100 {
            // What no other lets in is denied.
            return policy(namespace, &name, &[], Vec::new(), Vec::new());
        }
        let peers = vec![pods(&[(&peer.0, &peer.1)])];
        let rules = vec![from(peers, vec![port("TCP", 80)])];
        let subject = [(subject.0.as_str(), subject.1.as_str())];
        policy(namespace, &name, &subject, rules, Vec::new())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size {
            namespaces,
            pods,
            policies,
        } = self.size();
        write!(f, "{namespaces} x ({pods} pods, {policies} policies)")?;
        f.write_str(match self {
            Self::OneNamespace => ", each for all",
            Self::PolicyPerPod => ", each for one",
            Self::SmallNamespaces | Self::LargeNamespaces => "",
        })
    }
}

fn name(namespace: usize) -> String {
    format!("ns-{namespace}")
}

fn kind(number: usize) -> (String, String) {
    let number = number + 1;
    (format!("app-{number}"), format!("scale-{number}"))
}
