//! What the API server refuses, in its words, and what it accepts though odd.

use enforcer::api::admit_network_policy;
use rstest::rstest;

use super::{object, policy};

const DNS_1123: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn errors(spec: &str) -> Vec<String> {
    match admit_network_policy(policy(spec)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

// Semantics 230–236.
#[rstest]
#[case::lower_case("{protocol: tcp}", &["protocol: Unsupported value: \"tcp\": supported values: \"TCP\", \"UDP\", \"SCTP\""])]
#[case::icmp("{protocol: ICMP}", &["protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\""])]
#[case::zero("{port: 0}", &["port: Invalid value: 0: must be between 1 and 65535, inclusive"])]
#[case::negative("{port: -1}", &["port: Invalid value: -1: must be between 1 and 65535, inclusive"])]
#[case::too_great("{port: 65536}", &["port: Invalid value: 65536: must be between 1 and 65535, inclusive"])]
#[case::long_name("{port: a234567890123456}", &["port: Invalid value: \"a234567890123456\": must be no more than 15 bytes"])]
#[case::upper_case_name("{port: Http}", &["port: Invalid value: \"Http\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"])]
#[case::number_as_name("{port: \"80\"}", &["port: Invalid value: \"80\": must contain at least one letter (a-z)"])]
#[case::hyphen_first("{port: -a}", &["port: Invalid value: \"-a\": must not begin or end with a hyphen"])]
#[case::hyphen_last("{port: a-}", &["port: Invalid value: \"a-\": must not begin or end with a hyphen"])]
#[case::two_hyphens("{port: a--b}", &["port: Invalid value: \"a--b\": must not contain consecutive hyphens"])]
#[case::empty_name("{port: \"\"}", &[
    "port: Invalid value: \"\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    "port: Invalid value: \"\": must contain at least one letter (a-z)",
])]
#[case::end_before_port("{port: 80, endPort: 79}", &["endPort: Invalid value: 79: must be greater than or equal to `port`"])]
#[case::end_of_a_name("{port: http, endPort: 80}", &["endPort: Invalid value: 80: may not be specified when `port` is non-numeric"])]
#[case::end_of_nothing("{endPort: 80}", &["endPort: Invalid value: 80: may not be specified when `port` is not specified"])]
#[case::end_too_great("{port: 80, endPort: 65536}", &["endPort: Invalid value: 65536: must be between 1 and 65535, inclusive"])]
#[case::end_zero("{port: 80, endPort: 0}", &[
    "endPort: Invalid value: 0: must be greater than or equal to `port`",
    "endPort: Invalid value: 0: must be between 1 and 65535, inclusive",
])]
fn a_port_is_refused(
    #[case] port: &str,
    #[case] expected: &[&str],
    #[values("ingress", "egress")] direction: &str,
) {
    let errors = errors(&format!(
        "{{{direction}: [{{}}, {{ports: [{{port: 1}}, {port}]}}]}}"
    ));

    let expected: Vec<_> = expected
        .iter()
        .map(|error| format!("spec.{direction}[1].ports[1].{error}"))
        .collect();
    assert_eq!(errors, expected);
}

// Semantics 237–241 and 243–245.
#[rstest]
#[case::no_field("{}", &[": Required value: must specify a peer"])]
#[case::block_and_pods("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}", &[": Forbidden: may not specify both ipBlock and another peer"])]
#[case::block_and_namespaces("{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}", &[": Forbidden: may not specify both ipBlock and another peer"])]
#[case::no_cidr("{ipBlock: {}}", &[".ipBlock.cidr: Required value"])]
#[case::empty_cidr("{ipBlock: {cidr: \"\"}}", &[".ipBlock.cidr: Required value"])]
#[case::no_range("{ipBlock: {cidr: 10.0.0.1}}", &[".ipBlock.cidr: Invalid value: \"10.0.0.1\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::no_address("{ipBlock: {cidr: ten/8}}", &[".ipBlock.cidr: Invalid value: \"ten/8\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::octet_too_great("{ipBlock: {cidr: 10.0.0.256/8}}", &[".ipBlock.cidr: Invalid value: \"10.0.0.256/8\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::prefix_too_long("{ipBlock: {cidr: 10.0.0.0/33}}", &[".ipBlock.cidr: Invalid value: \"10.0.0.0/33\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::sign("{ipBlock: {cidr: 10.0.0.0/+8}}", &[".ipBlock.cidr: Invalid value: \"10.0.0.0/+8\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::zone("{ipBlock: {cidr: \"fe80::%eth0/64\"}}", &[".ipBlock.cidr: Invalid value: \"fe80::%eth0/64\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::host_bits("{ipBlock: {cidr: 10.0.0.1/24}}", &[".ipBlock.cidr: Invalid value: \"10.0.0.1/24\": must not have bits set beyond the prefix length"])]
#[case::host_bits_v6("{ipBlock: {cidr: \"fd00::1/64\"}}", &[".ipBlock.cidr: Invalid value: \"fd00::1/64\": must not have bits set beyond the prefix length"])]
#[case::leading_zeros("{ipBlock: {cidr: 010.000.0.0/8}}", &[".ipBlock.cidr: Invalid value: \"010.000.0.0/8\": must not have leading 0s in IP or prefix length"])]
#[case::leading_zero_in_prefix("{ipBlock: {cidr: 10.0.0.0/08}}", &[".ipBlock.cidr: Invalid value: \"10.0.0.0/08\": must not have leading 0s in IP or prefix length"])]
#[case::mapped("{ipBlock: {cidr: \"::ffff:10.0.0.0/104\"}}", &[".ipBlock.cidr: Invalid value: \"::ffff:10.0.0.0/104\": must not have an IPv4-mapped IPv6 address"])]
#[case::except_equal("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}", &[".ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`"])]
#[case::except_wider("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 0.0.0.0/0]}}", &[".ipBlock.except[1]: Invalid value: \"0.0.0.0/0\": must be a strict subset of `cidr`"])]
#[case::except_elsewhere("{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}", &[".ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"])]
#[case::except_of_other_family("{ipBlock: {cidr: 10.0.0.0/8, except: [\"fd00::/64\"]}}", &[".ipBlock.except[0]: Invalid value: \"fd00::/64\": must be a strict subset of `cidr`"])]
#[case::except_no_range("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1]}}", &[".ipBlock.except[0]: Invalid value: \"10.1\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::except_with_host_bits("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.1/16]}}", &[".ipBlock.except[0]: Invalid value: \"10.1.0.1/16\": must not have bits set beyond the prefix length"])]
#[case::except_of_a_bad_range_is_not_looked_at("{ipBlock: {cidr: bad, except: [worse]}}", &[".ipBlock.cidr: Invalid value: \"bad\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"])]
#[case::pod_selector("{podSelector: {matchExpressions: [{key: a, operator: In}]}}", &[".podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"])]
#[case::namespace_selector("{namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}}", &[".namespaceSelector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator"])]
fn a_peer_is_refused(
    #[case] peer: &str,
    #[case] expected: &[&str],
    #[values(("ingress", "from"), ("egress", "to"))] (direction, field): (&str, &str),
) {
    // `except: [10.1]` is a number unless quoted.
    let peer = peer.replace("[10.1]", "[\"10.1\"]");

    let errors = errors(&format!(
        "{{{direction}: [{{{field}: [{{podSelector: {{}}}}, {peer}]}}]}}"
    ));

    let expected: Vec<_> = expected
        .iter()
        .map(|error| format!("spec.{direction}[0].{field}[1]{error}"))
        .collect();
    assert_eq!(errors, expected);
}

// Semantics 243, 244.
#[rstest]
#[case::in_nothing("{matchExpressions: [{key: a, operator: In, values: []}]}", &["matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'".to_owned()])]
#[case::not_in_nothing("{matchExpressions: [{key: a, operator: NotIn}]}", &["matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'".to_owned()])]
#[case::exists_with_values("{matchExpressions: [{key: a, operator: Exists, values: [b]}]}", &["matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'".to_owned()])]
#[case::absent_with_values("{matchExpressions: [{key: a, operator: DoesNotExist, values: [b]}]}", &["matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'".to_owned()])]
#[case::lower_case_operator("{matchExpressions: [{key: a, operator: in, values: [b]}]}", &["matchExpressions[0].operator: Invalid value: \"in\": not a valid selector operator".to_owned()])]
#[case::bad_key("{matchLabels: {a_: b}}", &[format!("matchLabels: Invalid value: \"a_\": {LABEL_NAME}")])]
#[case::bad_value("{matchLabels: {a: b c}}", &[format!("matchLabels: Invalid value: \"b c\": {LABEL_VALUE}")])]
#[case::bad_key_of_an_expression("{matchExpressions: [{key: -a, operator: Exists}]}", &[format!("matchExpressions[0].key: Invalid value: \"-a\": {LABEL_NAME}")])]
#[case::empty_key("{matchExpressions: [{key: \"\", operator: Exists}]}", &[
    "matchExpressions[0].key: Invalid value: \"\": name part must be non-empty".to_owned(),
    format!("matchExpressions[0].key: Invalid value: \"\": {LABEL_NAME}"),
])]
#[case::bad_prefix("{matchLabels: {Foo/a: b}}", &[format!("matchLabels: Invalid value: \"Foo/a\": prefix part {DNS_1123}")])]
#[case::empty_prefix("{matchLabels: {/a: b}}", &["matchLabels: Invalid value: \"/a\": prefix part must be non-empty".to_owned()])]
#[case::bad_value_of_an_expression("{matchExpressions: [{key: a, operator: In, values: [b, -]}]}", &[format!("matchExpressions[0].values[1]: Invalid value: \"-\": {LABEL_VALUE}")])]
fn a_selector_is_refused(#[case] selector: &str, #[case] expected: &[String]) {
    let selector = selector.replace("[b, -]", "[b, \"-\"]");

    let errors = errors(&format!("{{podSelector: {selector}}}"));

    let expected: Vec<_> = expected
        .iter()
        .map(|error| format!("spec.podSelector.{error}"))
        .collect();
    assert_eq!(errors, expected);
}

#[rstest]
#[case::key(64, 1, "name part must be no more than 63 bytes")]
#[case::value(1, 64, "must be no more than 63 bytes")]
fn a_label_is_too_long(#[case] key: usize, #[case] value: usize, #[case] expected: &str) {
    let (key, value) = ("k".repeat(key), "v".repeat(value));
    let bad = if key.len() > value.len() {
        &key
    } else {
        &value
    };

    let errors = errors(&format!(
        "{{podSelector: {{matchLabels: {{{key}: {value}}}}}}}"
    ));

    assert_eq!(
        errors,
        [format!(
            "spec.podSelector.matchLabels: Invalid value: \"{bad}\": {expected}"
        )]
    );
}

// Semantics 242.
#[rstest]
#[case::unknown(
    "[Ingress, ingress]",
    "spec.policyTypes[1]: Unsupported value: \"ingress\": supported values: \"Ingress\", \"Egress\""
)]
#[case::three(
    "[Ingress, Egress, Ingress]",
    "spec.policyTypes: Invalid value: []networking.PolicyType{\"Ingress\", \"Egress\", \"Ingress\"}: may not specify more than two policyTypes"
)]
fn policy_types_are_refused(#[case] types: &str, #[case] expected: &str) {
    assert_eq!(errors(&format!("{{policyTypes: {types}}}")), [expected]);
}

// Semantics 229.
#[rstest]
#[case::no_name("{namespace: x}", "metadata.name: Required value: name or generateName is required".to_owned())]
#[case::upper_case("{namespace: x, name: Deny}", format!("metadata.name: Invalid value: \"Deny\": {DNS_1123}"))]
#[case::underscore("{namespace: x, name: deny_all}", format!("metadata.name: Invalid value: \"deny_all\": {DNS_1123}"))]
#[case::no_namespace("{name: p}", "metadata.namespace: Required value".to_owned())]
#[case::dotted_namespace("{name: p, namespace: a.b}", "metadata.namespace: Invalid value: \"a.b\": must not contain dots".to_owned())]
#[case::label("{name: p, namespace: x, labels: {a: -}}", format!("metadata.labels: Invalid value: \"-\": {LABEL_VALUE}"))]
#[case::annotation("{name: p, namespace: x, annotations: {a_: b}}", format!("metadata.annotations: Invalid value: \"a_\": {LABEL_NAME}"))]
fn metadata_is_refused(#[case] metadata: &str, #[case] expected: String) {
    let metadata = metadata.replace("{a: -}", "{a: \"-\"}");

    let errors = admit_network_policy(object(&format!("metadata: {metadata}\n")))
        .expect_err("it is refused");

    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, [expected]);
}

#[rstest]
#[case::longest(253, &[])]
#[case::too_long(254, &["must be no more than 253 bytes"])]
fn the_length_of_a_name(#[case] length: usize, #[case] expected: &[&str]) {
    let name = "n".repeat(length);

    let result = admit_network_policy(object(&format!(
        "metadata: {{namespace: x, name: {name}}}\n"
    )));

    let errors: Vec<_> = result
        .err()
        .into_iter()
        .flatten()
        .map(|e| e.detail)
        .collect();
    assert_eq!(errors, expected);
}

// Semantics 5, 26, 27, 43, 84, 89, 102, 103, 246.
#[rstest]
#[case::nothing("")]
#[case::empty("{}")]
#[case::null_selector("{podSelector: null}")]
#[case::rules_of_a_type_that_is_not_named("{policyTypes: [Ingress], egress: [{}]}")]
#[case::the_same_type_twice("{policyTypes: [Ingress, Ingress]}")]
#[case::no_types("{policyTypes: []}")]
#[case::empty_port("{ingress: [{ports: [{}]}]}")]
#[case::the_same_rule_twice("{ingress: [{ports: [{port: 80}]}, {ports: [{port: 80}]}]}")]
#[case::the_same_port_twice("{ingress: [{ports: [{port: 80}, {port: 80}]}]}")]
#[case::every_address("{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}")]
#[case::every_v6_address("{ingress: [{from: [{ipBlock: {cidr: \"::/0\"}}]}]}")]
#[case::not_canonical("{ingress: [{from: [{ipBlock: {cidr: \"FD00:0:0::/48\"}}]}]}")]
#[case::one_address("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/32}}]}]}")]
#[case::except_that_covers_the_range(
    "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 10.128.0.0/9]}}]}]}"
)]
#[case::the_same_except_twice(
    "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 10.0.0.0/9]}}]}]}"
)]
#[case::empty_selectors(
    "{podSelector: {}, ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}"
)]
#[case::no_peers("{ingress: [{from: [], ports: []}]}")]
#[case::null_peers("{ingress: [{from: null, ports: null}]}")]
#[case::range_of_one_port("{ingress: [{ports: [{port: 80, endPort: 80}]}]}")]
#[case::every_port("{ingress: [{ports: [{port: 1, endPort: 65535}]}]}")]
#[case::shortest_name_of_a_port("{ingress: [{ports: [{port: a}]}]}")]
#[case::longest_name_of_a_port("{ingress: [{ports: [{port: a-1-b-2-c-3-d-4}]}]}")]
#[case::name_that_starts_with_a_digit("{ingress: [{ports: [{port: 9p}]}]}")]
#[case::empty_label_value("{podSelector: {matchLabels: {a: \"\"}}}")]
#[case::prefixed_key("{podSelector: {matchLabels: {app.kubernetes.io/Name_1.x: A-b_c.9}}}")]
#[case::the_same_requirement_twice(
    "{podSelector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: Exists}]}}"
)]
#[case::a_contradiction(
    "{podSelector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: DoesNotExist}]}}"
)]
fn it_is_odd_but_accepted(#[case] spec: &str) {
    assert_eq!(errors(spec), [""; 0]);
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_server() {
    let errors = errors(
        "{policyTypes: [None], podSelector: {matchExpressions: [{key: a, operator: In}]}, \
          ingress: [{from: [{}], ports: [{port: 0}]}], egress: [{to: [{}]}]}",
    );

    insta::assert_snapshot!(errors.join("\n"), @r#"
    spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
    spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
    spec.ingress[0].from[0]: Required value: must specify a peer
    spec.egress[0].to[0]: Required value: must specify a peer
    spec.policyTypes[0]: Unsupported value: "None": supported values: "Ingress", "Egress"
    "#);
}
