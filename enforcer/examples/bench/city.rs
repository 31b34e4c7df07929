//! A made-up cluster of any size, as clusters are: many namespaces of many teams, pods of ten kinds
//! in each, policies that let in the neighbours, the same kind of pods of a team's other
//! namespaces, and now and then a range of addresses.
//!
//! | | |
//! |---|---|
//! | namespaces | one for every hundred pods, ten at least; ten teams |
//! | one more | with 1,000 pods (half of all where there are fewer than 2,000), to be relabelled |
//! | policies | spread evenly; each isolates one kind of pods in one namespace |
//! | the node | 110 of the pods, of as many namespaces as there are |

use enforcer::cluster::Event;
use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod},
    networking::v1::NetworkPolicy,
};

use crate::object::{self, Told as _, block, from, pods, pods_where, port, to};

/// The node that is enforced.
pub(crate) const NODE: &str = "n1";
/// Where all other pods are.
pub(crate) const ELSEWHERE: &str = "elsewhere";
/// The namespace with many pods.
const BIG: &str = "big";
/// Kinds of pods, and teams.
const KINDS: usize = 10;

/// How large a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct City {
    pub(crate) pods: usize,
    pub(crate) policies: usize,
    /// How many of the pods are on the node.
    pub(crate) local: usize,
}

impl City {
    /// How many pods a namespace's relabelling is about.
    pub(crate) fn relabelled(self) -> usize {
        (self.pods / 2).min(1_000)
    }

    fn namespaces(self) -> usize {
        (self.pods / 100).clamp(KINDS, 1_000)
    }

    fn regular(self) -> usize {
        self.pods - self.relabelled()
    }

    /// Everything there is, in the order in which an agent may hear of it.
    pub(crate) fn events(self) -> impl Iterator<Item = Event> {
        let namespaces = (0..self.namespaces()).map(|number| namespace(number).told());
        let pods = (0..self.regular()).map(move |number| self.pod(number).told());
        let others = (0..self.relabelled()).map(|number| big_pod(number).told());
        let policies = (0..self.policies).map(move |number| self.policy(number).told());
        [node().told(), big("t9").told()]
            .into_iter()
            .chain(namespaces)
            .chain(pods)
            .chain(others)
            .chain(policies)
    }

    /// A pod. Numbers beyond those that there are make more of them.
    pub(crate) fn pod(self, number: usize) -> Pod {
        let (namespace, kind) = self.place(number);
        let (node, address) = if number < self.local {
            (NODE, local_address(number))
        } else {
            (ELSEWHERE, object::address(11, number))
        };
        let labels = [("app", kind.as_str()), ("version", "1")];
        object::pod(&namespace, &format!("pod-{number}"), node, address, &labels)
    }

    /// The namespace and the kind of the pod or policy of a number: the first are of different
    /// namespaces.
    fn place(self, number: usize) -> (String, String) {
        let namespace = number % self.namespaces();
        let kind = number / self.namespaces() % KINDS;
        (format!("ns-{namespace}"), format!("a{kind}"))
    }

    fn policy(self, number: usize) -> NetworkPolicy {
        let (namespace, kind) = self.place(number);
        let team = format!("t{}", number % KINDS);
        let kind_number = number / self.namespaces() % KINDS;
        let neighbours = format!("a{}", (kind_number + 1) % KINDS);
        let own_port = 8_000 + u16::try_from(number % 100).expect("less than a hundred");
        let ports = vec![port("TCP", 80), port("TCP", own_port)];
        let mut peers = vec![
            pods(&[("app", &neighbours)]),
            pods_where(&[("team", &team)], &[("app", &kind)]),
        ];
        if number % 10 == 5 {
            let third = number / 10 % 250;
            let (range, hole) = (
                format!("172.20.{third}.0/24"),
                format!("172.20.{third}.8/29"),
            );
            peers.push(block(&range, &[&hole]));
        }
        let egress = if number % 4 == 3 {
            vec![to(vec![pods(&[("app", &neighbours)])], ports.clone())]
        } else {
            Vec::new()
        };
        object::policy(
            &namespace,
            &format!("policy-{number}"),
            &[("app", &kind)],
            vec![from(peers, ports)],
            egress,
        )
    }
}

/// Address of a pod on the node.
fn local_address(number: usize) -> std::net::IpAddr {
    // .0 is the network, .1 the gateway.
    object::address(10, (250 << 16) + 256 + 2 + number)
}

fn node() -> Node {
    object::node(NODE, object::address(172, 1), "10.250.1.0/24")
}

fn namespace(number: usize) -> Namespace {
    let team = format!("t{}", number % KINDS);
    object::namespace(&format!("ns-{number}"), &[("team", &team)])
}

/// The namespace with many pods, of a team.
pub(crate) fn big(team: &str) -> Namespace {
    object::namespace(BIG, &[("team", team)])
}

fn big_pod(number: usize) -> Pod {
    let kind = format!("a{}", number % KINDS);
    let (name, address) = (format!("pod-{number}"), object::address(12, number));
    object::pod(BIG, &name, ELSEWHERE, address, &[("app", &kind)])
}

/// A pod on another node that the first policy lets in, or that it does not.
pub(crate) fn visitor(number: usize, is_let_in: bool) -> Pod {
    let kind = if is_let_in { "a0" } else { "none" };
    let (name, address) = (format!("visitor-{number}"), object::address(13, number));
    object::pod("ns-0", &name, ELSEWHERE, address, &[("app", kind)])
}

/// A pod on the node that the first policy isolates.
pub(crate) fn newcomer() -> Pod {
    let address = local_address(200);
    object::pod("ns-0", "newcomer", NODE, address, &[("app", "a0")])
}

/// One more policy for the pods of the first, with one port.
pub(crate) fn addition(number: u16) -> NetworkPolicy {
    let peers = vec![pods(&[("app", "a5")])];
    let rules = vec![from(peers, vec![port("TCP", number)])];
    object::policy("ns-0", "addition", &[("app", "a0")], rules, Vec::new())
}

#[cfg(test)]
mod tests {
    use enforcer::{compile::compile, options::Options, policy::Direction};
    use rstest::rstest;

    use super::{City, NODE};

    #[rstest]
    #[case(100, 10)]
    #[case(1_000, 1_000)]
    fn a_city_has_what_it_says(#[case] pods: usize, #[case] policies: usize) {
        let city = City {
            pods,
            policies,
            local: 50,
        };
        let mut cluster = enforcer::cluster::Cluster::default();
        for event in city.events() {
            cluster.handle(event);
        }
        assert_eq!(cluster.pods().count(), pods);
        assert_eq!(
            cluster.addresses().count(),
            pods,
            "nobody shares an address"
        );
        assert_eq!(cluster.pods_on(NODE).count(), 50);
        let plan = compile(&cluster, NODE, Options::default());
        assert!(!plan.subjects(Direction::Ingress).is_empty());
    }
}
