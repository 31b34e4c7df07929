//! Pods, namespaces and nodes as the index keeps them.

use enforcer::{
    api::{namespace, node, pod},
    cluster::{NAMESPACE_NAME_LABEL, Phase},
    policy::Protocol,
};
use rstest::rstest;

use super::object;

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pod() {
    let pod = pod(&object(
        "metadata:
  namespace: shop
  name: db-0
  uid: 2d2e
  creationTimestamp: \"2026-01-02T03:04:05Z\"
  labels: {app: db}
spec:
  nodeName: n1
  initContainers:
  - {name: prepare, ports: [{containerPort: 1}]}
  - {name: proxy, restartPolicy: Always, ports: [{containerPort: 15001, name: proxy}]}
  containers:
  - {name: db, ports: [{containerPort: 3306, name: mysql}, {containerPort: 3306, protocol: UDP}]}
  - {name: metrics, ports: [{containerPort: 9100, name: metrics, protocol: TCP}]}
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]
",
    ));

    assert_eq!(pod.reference.to_string(), "shop/db-0");
    assert_eq!(pod.uid.as_ref(), "2d2e");
    assert_eq!(pod.created, 1_767_323_045);
    assert_eq!(pod.labels.get("app"), Some("db"));
    assert_eq!(pod.node.as_deref(), Some("n1"));
    assert_eq!(texts(&pod.addresses), ["10.0.0.1", "fd00::1"]);
    assert!(!pod.host_network);
    assert_eq!(pod.phase, Phase::Running);
    let ports: Vec<_> = pod
        .ports
        .iter()
        .map(|p| (p.name.as_deref(), p.protocol, p.port))
        .collect();
    assert_eq!(
        ports,
        [
            (Some("mysql"), Protocol::Tcp, 3306),
            (None, Protocol::Udp, 3306),
            (Some("metrics"), Protocol::Tcp, 9100),
            (Some("proxy"), Protocol::Tcp, 15001),
        ]
    );
    assert_eq!(pod.port_number(Protocol::Tcp, "mysql"), Some(3306));
    assert_eq!(pod.port_number(Protocol::Udp, "mysql"), None);
}

#[test]
fn a_pod_of_which_little_is_known() {
    let pod = pod(&object(
        "metadata: {namespace: x, name: a}\nspec: {nodeName: \"\"}\n",
    ));

    assert_eq!(pod.node, None);
    assert_eq!(texts(&pod.addresses), [""; 0]);
    assert_eq!(pod.phase, Phase::Pending);
    assert_eq!(pod.created, 0);
}

#[rstest]
#[case::all("{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}", &["10.0.0.1", "fd00::1"])]
#[case::old_server("{podIP: 10.0.0.1}", &["10.0.0.1"])]
#[case::empty_list("{podIP: 10.0.0.1, podIPs: []}", &["10.0.0.1"])]
#[case::none("{podIP: '', podIPs: [{ip: ''}]}", &[])]
#[case::malformed("{podIPs: [{ip: ten}, {ip: 10.0.0.2}]}", &["10.0.0.2"])]
#[case::leading_zeros("{podIPs: [{ip: 010.0.0.2}]}", &["10.0.0.2"])]
#[case::mapped("{podIPs: [{ip: '::ffff:10.0.0.2'}]}", &["10.0.0.2"])]
#[case::twice("{podIPs: [{ip: 10.0.0.2}, {ip: 10.0.0.2}]}", &["10.0.0.2"])]
fn addresses(#[case] status: &str, #[case] expected: &[&str]) {
    let pod = pod(&object(&format!("metadata: {{}}\nstatus: {status}\n")));

    assert_eq!(texts(&pod.addresses), expected);
}

#[rstest]
#[case("Pending", Phase::Pending)]
#[case("Running", Phase::Running)]
#[case("Succeeded", Phase::Succeeded)]
#[case("Failed", Phase::Failed)]
#[case("Unknown", Phase::Unknown)]
#[case("Sleeping", Phase::Unknown)]
fn phases(#[case] phase: &str, #[case] expected: Phase) {
    let pod = pod(&object(&format!(
        "metadata: {{}}\nstatus: {{phase: {phase}}}\n"
    )));

    assert_eq!(pod.phase, expected);
}

#[test]
fn ports_that_cannot_be_read_are_left_out() {
    let pod = pod(&object(
        "metadata: {}
spec:
  hostNetwork: true
  containers:
  - name: c
    ports: [{containerPort: 0}, {containerPort: 70000}, {containerPort: 1, protocol: ICMP}, {containerPort: 2}]
",
    ));

    assert!(pod.host_network);
    assert_eq!(pod.ports.iter().map(|p| p.port).collect::<Vec<_>>(), [2]);
}

#[rstest]
#[case::none("{name: x}")]
#[case::another("{name: x, labels: {kubernetes.io/metadata.name: other}}")]
fn a_namespace_carries_its_name_as_a_label(#[case] metadata: &str) {
    let namespace = namespace(&object(&format!("metadata: {metadata}\n")));

    assert_eq!(namespace.name.as_ref(), "x");
    assert_eq!(namespace.labels.get(NAMESPACE_NAME_LABEL), Some("x"));
}

#[rstest]
#[case::both_families("podCIDR: 10.0.1.0/24, podCIDRs: [10.0.1.0/24, 'fd00:1::/64']", &["10.0.1.0/24", "fd00:1::/64"])]
#[case::old_server("podCIDR: 10.0.1.0/24", &["10.0.1.0/24"])]
#[case::none("unschedulable: true", &[])]
#[case::malformed("podCIDRs: [all, 10.0.1.0/24]", &["10.0.1.0/24"])]
fn a_node(#[case] spec: &str, #[case] ranges: &[&str]) {
    let node = node(&object(&format!(
        "metadata: {{name: n1, labels: {{zone: a}}}}
spec: {{{spec}}}
status:
  addresses:
  - {{type: InternalIP, address: 192.0.2.1}}
  - {{type: Hostname, address: n1}}
  - {{type: InternalIP, address: 'fd00:9::1'}}
  - {{type: ExternalIP, address: 192.0.2.1}}
"
    )));

    assert_eq!(node.name.as_ref(), "n1");
    assert_eq!(node.labels.get("zone"), Some("a"));
    assert_eq!(texts(&node.addresses), ["192.0.2.1", "fd00:9::1"]);
    assert_eq!(texts(&node.pod_cidrs), ranges);
}
