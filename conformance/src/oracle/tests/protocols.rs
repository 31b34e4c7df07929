//! Lines 109–117.

use rstest::rstest;

use super::{check, world::world};
use crate::{
    cell::Protocol,
    oracle::{Connection, judge_icmpv6},
};

#[rstest]
#[case::line_109_on_ingress(
    "
    policy x/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: TCP}]}]}
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: UDP}]}]}
    policy z/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: SCTP}]}]}
    y/a -> x/a:80         allowed
    z/a -> y/a:80/UDP     allowed
    x/a -> z/a:80/SCTP    allowed"
)]
#[case::line_109_on_egress("
    policy x/p: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80, protocol: TCP}]}]}
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80, protocol: UDP}]}]}
    policy z/p: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80, protocol: SCTP}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:80/UDP     denied
    y/a -> z/a:80/UDP     allowed
    y/a -> z/a:80/SCTP    denied
    z/a -> x/a:80/SCTP    allowed
    z/a -> x/a:80         denied")]
#[case::line_110_tcp_only(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: TCP}]}]}
    x/a -> y/a:80/UDP     denied
    x/a -> y/a:80/SCTP    denied"
)]
#[case::line_111_udp_only(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: UDP}]}]}
    x/a -> y/a:80         denied"
)]
#[case::line_112_sctp_only(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: SCTP}]}]}
    x/a -> y/a:80/SCTP    allowed
    x/a -> y/a:80         denied
    x/a -> y/a:80/UDP     denied"
)]
#[case::line_113_sctp_is_not_tcp(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: signal, protocol: SCTP}]}]}
    x/a -> y/a:90/SCTP    allowed
    x/a -> y/a:90         denied"
)]
#[case::line_114_no_ports(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}
    y/b -> y/a:80         allowed
    y/b -> y/a:80/UDP     allowed
    y/b -> y/a:80/SCTP    allowed"
)]
#[case::line_115_icmp_is_isolated(
    "
    policy y/p: {podSelector: {}}
    x/a -> y/a:icmp       denied"
)]
#[case::line_115_icmp_by_a_rule_without_ports(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:icmp       allowed
    z/a -> y/a:icmp       denied
    x/a -> y/a:icmp over IPv6 allowed"
)]
#[case::line_115_icmp_by_no_rule_with_ports("
    policy y/p: {podSelector: {}, ingress: [{ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]}]}
    x/a -> y/a:icmp       denied")]
fn protocols(#[case] case: &str) {
    check(case);
}

#[rstest]
#[case::router_solicitation(133, true)]
#[case::neighbour_solicitation(135, true)]
#[case::redirect(137, true)]
#[case::echo_request(128, false)]
#[case::multicast_listener_query(130, false)]
fn line_117_discovery_passes(#[case] message_type: u8, #[case] allowed: bool) {
    let world = world(&["policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}"]);
    let connection = Connection {
        source: "fd00::1:1".parse().unwrap(),
        destination: "fd00::2:1".parse().unwrap(),
        source_node: Some("n1".to_owned()),
        destination_node: Some("n1".to_owned()),
        protocol: Protocol::Icmp,
        port: None,
    };
    assert_eq!(
        judge_icmpv6(&world, &connection, message_type).allowed,
        allowed
    );
}
