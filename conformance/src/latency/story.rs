//! The world in which changes are timed, and the changes: a scenario.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer::{api, cluster::Event};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod, PodIP, PodSpec, PodStatus},
        networking::v1::{
            NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
            NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::streams::Wanted;
use crate::{
    backend::{Backend, BackendError, sim::Sim},
    cell::{Cell, Endpoint, Family, Port, Protocol},
    scenario::{self, Change, Families, Scenario, World},
};

/// The scenario.
const SCENARIO: &str = include_str!("latency.yaml");

/// Of the pods that exist in the API alone.
const ELSEWHERE: &str = "elsewhere";
const BULK: &str = "bulk";
/// A policy of those that are only there lets the pods of one group in.
const GROUPS: usize = 50;
/// The first port that such a policy opens.
const FIRST_PORT: usize = 1_000;

/// World and changes.
pub(super) struct Story {
    scenario: Scenario,
    family: Family,
}

impl Story {
    pub(super) fn new(family: Family, families: Families) -> Self {
        let options = scenario::Options {
            families: Some(families),
        };
        let scenarios = scenario::load_text("latency.yaml", SCENARIO, &options);
        let mut scenarios = scenarios.expect("a test loads it");
        Self {
            scenario: scenarios.remove(0),
            family,
        }
    }

    pub(super) fn world(&self) -> &World {
        &self.scenario.world
    }

    /// How many pods there are when so many are asked for.
    pub(super) fn pods(&self, asked: usize) -> usize {
        asked.max(self.scenario.world.pods.len())
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.scenario.world.nodes.keys().map(String::as_str)
    }

    /// Brings the world into being, in a cluster of this size.
    pub(super) fn begin(
        &self,
        sim: &mut Sim,
        pods: usize,
        policies: usize,
    ) -> Result<(), BackendError> {
        sim.create(&self.scenario.world)?;
        self.change(sim, "begin")?;
        let more = self.pods(pods) - self.scenario.world.pods.len();
        sim.imagine(crowd(more, policies, self.family))
    }

    /// Makes the changes of a step.
    pub(super) fn change(&self, sim: &mut Sim, step: &str) -> Result<(), BackendError> {
        sim.change_all(self.changes(step))
    }

    fn changes(&self, step: &str) -> &[Change] {
        let mut steps = self.scenario.steps.iter();
        let step = steps.find(|it| it.name == step);
        &step.expect("a test looks for every step").changes
    }

    /// The connections that no change is about.
    pub(super) fn steady(&self) -> Vec<(Cell, Wanted)> {
        vec![
            (self.cell("shop/friend", "shop/vault"), Wanted::Allowed),
            (self.cell("guests/visitor", "shop/vault"), Wanted::Denied),
            (self.cell("shop/friend", "shop/server"), Wanted::Allowed),
        ]
    }

    pub(super) fn cell(&self, from: &str, to: &str) -> Cell {
        let pod = |name: &str| -> Endpoint { name.parse().expect("pods are written like this") };
        Cell {
            source: pod(from),
            destination: pod(to),
            port: Port {
                number: Some(80),
                protocol: Protocol::Tcp,
            },
            family: self.family,
        }
    }
}

/// Pods on other nodes, and policies that let them in where all the streams are that no change is
/// about.
fn crowd(pods: usize, policies: usize, family: Family) -> Vec<Event> {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(BULK.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let mut events = vec![Event::ApplyNamespace(api::namespace(&namespace))];
    events.extend((0..pods).map(|number| Event::ApplyPod(api::pod(&pod(number, family)))));
    events.extend((0..policies).map(|number| {
        let policy = policy(number);
        Event::ApplyPolicy(api::policy_ref(&policy), api::lower_network_policy(&policy))
    }));
    events
}

fn pod(number: usize, family: Family) -> Pod {
    let number_32 = u32::try_from(number).unwrap_or(u32::MAX);
    // Addresses that no simulated pod has.
    let address: IpAddr = match family {
        Family::Ipv4 => Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + number_32).into(),
        Family::Ipv6 => Ipv6Addr::new(
            0xfd00,
            0x128,
            0,
            0,
            0,
            0,
            (number_32 >> 16) as u16,
            number_32 as u16,
        )
        .into(),
    };
    let group = ("group".to_owned(), format!("g{}", number % GROUPS));
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("p{number}")),
            namespace: Some(BULK.to_owned()),
            uid: Some(format!("{BULK}-{number}")),
            labels: Some([group].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: Some(ELSEWHERE.to_owned()),
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            pod_ips: Some(vec![PodIP {
                ip: address.to_string(),
            }]),
            ..PodStatus::default()
        }),
    }
}

/// Everybody of one group, at a port of its own.
fn policy(number: usize) -> NetworkPolicy {
    let selector = |key: &str, value: String| LabelSelector {
        match_labels: Some([(key.to_owned(), value)].into()),
        ..LabelSelector::default()
    };
    let port = i32::try_from(FIRST_PORT + number % 60_000).unwrap_or(i32::MAX);
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(format!("crowd-{number}")),
            namespace: Some("shop".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector("app", "vault".to_owned())),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![NetworkPolicyPeer {
                    namespace_selector: Some(LabelSelector::default()),
                    pod_selector: Some(selector("group", format!("g{}", number % GROUPS))),
                    ..NetworkPolicyPeer::default()
                }]),
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::Int(port)),
                    protocol: Some("TCP".to_owned()),
                    ..NetworkPolicyPort::default()
                }]),
            }]),
            ..NetworkPolicySpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_that_is_timed_is_in_the_scenario() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let families = match family {
                Family::Ipv4 => Families::Ipv4,
                Family::Ipv6 => Families::Ipv6,
            };
            let story = Story::new(family, families);
            let timed = super::super::transition::KINDS
                .iter()
                .flat_map(|kind| kind.turns)
                .map(|turn| turn.step);
            for step in timed.chain(["begin", "policy created", "policy deleted"]) {
                assert!(!story.changes(step).is_empty(), "{step}");
            }
            assert_eq!(story.nodes().collect::<Vec<_>>(), ["n1", "n2"]);
        }
    }

    #[test]
    fn a_crowd_is_as_large_as_asked_for() {
        let events = crowd(300, 20, Family::Ipv6);
        let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
        assert_eq!(count(|event| matches!(event, Event::ApplyPod(_))), 300);
        assert_eq!(count(|event| matches!(event, Event::ApplyPolicy(..))), 20);
    }
}
