//! The world of the cases, and the words in which they are written.
//!
//! Namespaces `x`, `y`, `z`, each with the label `ns` and three pods `a`, `b`, `c` with the label
//! `pod`; `a` and `c` are on node `n1`, `b` is on `n2`. `x/a` is 10.0.1.1 and fd00::1:1, `z/c` is
//! 10.0.3.3 and fd00::3:3; `n1` is 192.168.0.1 and fd00:f::1; `ext` is 203.0.113.7 and 2001:db8::7.
//! Every pod calls a port `web` (TCP 80, but 8080 on `b`), `query` (UDP 53) and `signal` (SCTP 90).
//!
//! A case is lines of:
//! - `policy y/deny: {…}`: a NetworkPolicy with this spec;
//! - `namespace w: {…}`, `pod x/d: {…}`, `node n1: {…}`: an object with these fields beside its name; it replaces
//!   one of the same name;
//! - `x/a -> y/b:80/UDP over IPv6 denied`: a connection and its verdict. TCP and IPv4 unless said
//!   otherwise; `:icmp` is an echo request. Ends are `ns/pod`, `node/n1`, `ext`, or an address.

use std::net::IpAddr;

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod},
    networking::v1::NetworkPolicy,
};
use serde::de::DeserializeOwned;

use crate::{
    cell::Protocol,
    oracle::{Connection, Judgement, World, judge},
};

/// Builds the world of a case and checks every connection that it names.
pub(super) fn check(case: &str) {
    let lines = case.lines().map(str::trim).filter(|line| !line.is_empty());
    let (objects, flows): (Vec<_>, Vec<_>) = lines.partition(|line| !line.contains("->"));
    let world = world(&objects);
    assert!(!flows.is_empty(), "the case checks nothing");
    for flow in flows {
        let (flow, verdict) = flow.rsplit_once(' ').expect(flow);
        let expected = match verdict {
            "allowed" => true,
            "denied" => false,
            other => panic!("no verdict is called {other}"),
        };
        let judgement = judge(&world, &connection(&world, flow));
        assert_eq!(judgement.allowed, expected, "{flow}: {judgement:#?}");
    }
}

/// What the oracle says about one connection in the world of a case.
pub(super) fn judged(case: &str, flow: &str) -> Judgement {
    let lines: Vec<_> = case
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let world = world(&lines);
    judge(&world, &connection(&world, flow))
}

/// The usual world with the objects that a case adds.
pub(super) fn world(objects: &[&str]) -> World {
    let mut world = usual();
    for object in objects {
        let (kind, rest) = object.split_once(' ').expect(object);
        let (name, fields) = rest.split_once(": ").expect(object);
        match kind {
            "policy" => {
                let (namespace, name) = name.split_once('/').expect(object);
                let mut policy: NetworkPolicy = yaml(&format!("{{spec: {fields}}}"));
                policy.metadata.namespace = Some(namespace.to_owned());
                policy.metadata.name = Some(name.to_owned());
                world.policies.push(policy);
            }
            "pod" => {
                let (namespace, name) = name.split_once('/').expect(object);
                let mut pod: Pod = yaml(fields);
                pod.metadata.namespace = Some(namespace.to_owned());
                pod.metadata.name = Some(name.to_owned());
                let same = |other: &Pod| {
                    (&other.metadata.namespace, &other.metadata.name)
                        == (&pod.metadata.namespace, &pod.metadata.name)
                };
                world.pods.retain(|other| !same(other));
                world.pods.push(pod);
            }
            "namespace" => {
                let mut namespace: Namespace = yaml(fields);
                namespace.metadata.name = Some(name.to_owned());
                world
                    .namespaces
                    .retain(|other| other.metadata.name != namespace.metadata.name);
                world.namespaces.push(namespace);
            }
            "node" => {
                let mut node: Node = yaml(fields);
                node.metadata.name = Some(name.to_owned());
                let same = |other: &Node| other.metadata.name == node.metadata.name;
                world.nodes.retain(|other| !same(other));
                world.nodes.push(node);
            }
            other => panic!("no object is called {other}"),
        }
    }
    world
}

fn usual() -> World {
    let mut world = World::default();
    for number in [1, 2] {
        world.nodes.push(yaml(&format!(
            "{{metadata: {{name: n{number}}}, status: {{addresses: [
              {{type: InternalIP, address: 192.168.0.{number}}},
              {{type: InternalIP, address: 'fd00:f::{number}'}},
              {{type: Hostname, address: n{number}}}]}}}}"
        )));
    }
    for (i, ns) in (1..).zip(["x", "y", "z"]) {
        let text = format!("{{metadata: {{name: {ns}, labels: {{ns: {ns}}}}}}}");
        world.namespaces.push(yaml(&text));
        for (j, pod) in (1..).zip(["a", "b", "c"]) {
            let (node, web) = if pod == "b" { ("n2", 8080) } else { ("n1", 80) };
            world.pods.push(yaml(&format!(
                "{{metadata: {{namespace: {ns}, name: {pod}, labels: {{pod: {pod}}}}},
                  spec: {{nodeName: {node}, containers: [
                    {{name: one, ports: [{{name: web, containerPort: {web}}}]}},
                    {{name: two, ports: [
                      {{name: query, containerPort: 53, protocol: UDP}},
                      {{name: signal, containerPort: 90, protocol: SCTP}}]}}]}},
                  status: {{phase: Running, podIP: 10.0.{i}.{j}, podIPs: [
                    {{ip: 10.0.{i}.{j}}}, {{ip: 'fd00::{i}:{j}'}}]}}}}"
            )));
        }
    }
    world
}

fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Reads `x/a -> y/b:80/UDP over IPv6`.
pub(super) fn connection(world: &World, flow: &str) -> Connection {
    let (flow, is_ipv6) = match flow.split_once(" over ") {
        Some((flow, family)) => (flow, family.trim() == "IPv6"),
        None => (flow, false),
    };
    let (source, rest) = flow.trim().split_once(" -> ").expect(flow);
    let (destination, port) = rest.trim().rsplit_once(':').expect(flow);
    let (port, protocol) = match port.split_once('/') {
        None if port == "icmp" => (None, Protocol::Icmp),
        None => (port.parse().ok(), Protocol::Tcp),
        Some((port, "UDP")) => (port.parse().ok(), Protocol::Udp),
        Some((port, "SCTP")) => (port.parse().ok(), Protocol::Sctp),
        Some((_, other)) => panic!("no protocol is called {other}"),
    };
    let (source, source_node) = end(world, source, is_ipv6);
    let (destination, destination_node) = end(world, destination, is_ipv6);
    Connection {
        source,
        destination,
        source_node,
        destination_node,
        protocol,
        port,
    }
}

/// The address of an end, and the node it is on.
fn end(world: &World, name: &str, is_ipv6: bool) -> (IpAddr, Option<String>) {
    if let Ok(address) = name.trim_matches(['[', ']']).parse() {
        return (address, None);
    }
    if name == "ext" {
        let address = if is_ipv6 {
            "2001:db8::7"
        } else {
            "203.0.113.7"
        };
        return (address.parse().unwrap(), None);
    }
    let (first, second) = name.split_once('/').expect(name);
    if first == "node" {
        let named = |node: &&Node| node.metadata.name.as_deref() == Some(second);
        let node = world.nodes.iter().find(named).expect(name);
        let status = node.status.clone().unwrap_or_default();
        let all = status.addresses.unwrap_or_default();
        let address = pick(all.iter().map(|a| a.address.as_str()), is_ipv6);
        return (address.expect(name), Some(second.to_owned()));
    }
    let named = |pod: &&Pod| {
        pod.metadata.namespace.as_deref() == Some(first)
            && pod.metadata.name.as_deref() == Some(second)
    };
    let pod = world.pods.iter().find(named).expect(name);
    let ips = pod
        .status
        .clone()
        .unwrap_or_default()
        .pod_ips
        .unwrap_or_default();
    let address = pick(ips.iter().map(|ip| ip.ip.as_str()), is_ipv6);
    (
        address.expect(name),
        pod.spec.clone().unwrap_or_default().node_name,
    )
}

fn pick<'a>(addresses: impl Iterator<Item = &'a str>, is_ipv6: bool) -> Option<IpAddr> {
    let mut parsed = addresses.filter_map(|text| text.parse::<IpAddr>().ok());
    parsed.find(|address| address.is_ipv6() == is_ipv6)
}
