//! What the API server refuses when a policy is replaced, and what it tolerates because it was
//! there before (semantics 244, 245).

use enforcer::api::{admit_network_policy, admit_network_policy_update};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use rstest::rstest;

use super::{object, policy};

/// What the server says of replacing the stored `old` by `new`.
fn errors(old: &NetworkPolicy, new: NetworkPolicy) -> Vec<String> {
    match admit_network_policy_update(old, new) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn block(cidr: &str, except: &str) -> String {
    format!("ingress: [{{from: [{{ipBlock: {{cidr: '{cidr}', except: [{except}]}}}}]}}]")
}

// Semantics 245.
#[rstest]
#[case::host_bits(&block("10.0.0.1/24", ""))]
#[case::leading_zeros(&block("010.000.0.0/8", ""))]
#[case::leading_zeros_in_the_length(&block("10.0.0.0/08", ""))]
#[case::mapped(&block("::ffff:10.0.0.0/104", ""))]
#[case::except(&block("10.0.0.0/8", "10.1.0.1/16"))]
#[case::nothing_that_was_ever_a_range(&block("ten", ""))]
#[case::egress("egress: [{to: [{ipBlock: {cidr: 10.0.0.1/24}}]}]")]
fn a_range_that_was_there_may_stay(#[case] spec: &str) {
    let old = policy(&format!("{{{spec}}}"));
    let annotated = |policy: &NetworkPolicy| {
        let mut policy = policy.clone();
        let annotations = policy.metadata.annotations.get_or_insert_default();
        annotations.insert("note".to_owned(), "new".to_owned());
        policy
    };

    assert!(
        admit_network_policy(old.clone()).is_err(),
        "it is refused in a new object"
    );
    assert_eq!(errors(&old, annotated(&old)), [""; 0]);
}

#[test]
fn a_range_that_was_there_may_move_to_another_rule() {
    let old = policy("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/24}}]}]}");

    let new = "{podSelector: {matchLabels: {a: b}}, egress: [{}, {to: [{ipBlock: {cidr: 10.0.0.1/24}}]}]}";

    assert_eq!(errors(&old, policy(new)), [""; 0]);
}

#[rstest]
#[case::another_notation(&block("10.0.0.2/24", ""), "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.2/24\": must not have bits set beyond the prefix length")]
#[case::an_except_that_is_no_part(&block("10.0.0.1/24", "11.0.0.0/25"), "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/25\": must be a strict subset of `cidr`")]
#[case::a_new_except(&block("10.0.0.1/24", "10.0.0.9/25"), "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.9/25\": must not have bits set beyond the prefix length")]
fn a_new_range_is_refused(#[case] spec: &str, #[case] expected: &str) {
    let old = policy(&format!("{{{}}}", block("10.0.0.1/24", "")));

    assert_eq!(errors(&old, policy(&format!("{{{spec}}}"))), [expected]);
}

const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const BAD_SUBJECT: &str =
    "{podSelector: {matchExpressions: [{key: a, operator: In, values: [b c]}]}}";

// Semantics 244.
#[rstest]
#[case::unchanged(BAD_SUBJECT)]
#[case::another_bad_value(
    "{podSelector: {matchExpressions: [{key: a, operator: In, values: [d e]}]}}"
)]
#[case::also_of_a_peer(
    "{ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b c]}]}}]}]}"
)]
fn with_a_bad_subject_before_any_value_may_stand_in_expressions(#[case] new: &str) {
    let old = policy(BAD_SUBJECT);

    assert!(
        admit_network_policy(policy(new)).is_err(),
        "it is refused in a new object"
    );
    assert_eq!(errors(&old, policy(new)), [""; 0]);
}

#[rstest]
#[case::of_a_good_policy("{}", BAD_SUBJECT, &format!("spec.podSelector.matchExpressions[0].values[0]: Invalid value: \"b c\": {VALUE}"))]
#[case::only_the_subject_decides(
    "{ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: In, values: [b c]}]}}]}]}",
    "{ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: In, values: [b c]}]}}]}]}",
    &format!("spec.ingress[0].from[0].podSelector.matchExpressions[0].values[0]: Invalid value: \"b c\": {VALUE}")
)]
#[case::match_labels_are_never_tolerated(
    "{podSelector: {matchLabels: {a: b c}}}",
    "{podSelector: {matchLabels: {a: b c}}}",
    &format!("spec.podSelector.matchLabels: Invalid value: \"b c\": {VALUE}")
)]
fn a_bad_value_is_refused(#[case] old: &str, #[case] new: &str, #[case] expected: &str) {
    assert_eq!(errors(&policy(old), policy(new)), [expected]);
}

// Only these two are tolerated: everything else is as in a new object.
#[rstest]
#[case::port(
    "{ingress: [{ports: [{port: 0}]}]}",
    "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"
)]
#[case::peer(
    "{egress: [{to: [{}]}]}",
    "spec.egress[0].to[0]: Required value: must specify a peer"
)]
#[case::types(
    "{policyTypes: [ingress]}",
    "spec.policyTypes[0]: Unsupported value: \"ingress\": supported values: \"Ingress\", \"Egress\""
)]
#[case::operator(
    "{podSelector: {matchExpressions: [{key: a, operator: Gt}]}}",
    "spec.podSelector.matchExpressions[0].operator: Invalid value: \"Gt\": not a valid selector operator"
)]
#[case::no_cidr(
    "{ingress: [{from: [{ipBlock: {}}]}]}",
    "spec.ingress[0].from[0].ipBlock.cidr: Required value"
)]
fn what_else_was_wrong_before_is_refused(#[case] spec: &str, #[case] expected: &str) {
    assert_eq!(errors(&policy(spec), policy(spec)), [expected]);
}

#[rstest]
#[case::name(
    "{name: q, namespace: x}",
    "metadata.name: Invalid value: \"q\": field is immutable"
)]
#[case::namespace(
    "{name: p, namespace: z}",
    "metadata.namespace: Invalid value: \"z\": field is immutable"
)]
#[case::uid(
    "{name: p, namespace: x, uid: '2'}",
    "metadata.uid: Invalid value: \"2\": field is immutable"
)]
#[case::label("{name: p, namespace: x, labels: {a: b c}}", &format!("metadata.labels: Invalid value: \"b c\": {VALUE}"))]
fn identity_stays(#[case] metadata: &str, #[case] expected: &str) {
    let old =
        object("metadata: {name: p, namespace: x, uid: '1', resourceVersion: '7'}\nspec: {}\n");

    let errors = errors(&old, object(&format!("metadata: {metadata}\nspec: {{}}\n")));

    assert_eq!(errors, [expected]);
}

#[test]
fn a_manifest_without_uid_is_about_the_object_there_is() {
    let old = object("metadata: {name: p, namespace: x, uid: '1'}\nspec: {}\n");

    let new = admit_network_policy_update(&old, policy("{egress: [{}]}")).expect("it is accepted");

    assert_eq!(new.metadata.uid.as_deref(), Some("1"));
    let types = new.spec.and_then(|spec| spec.policy_types);
    assert_eq!(types.expect("defaults"), ["Ingress", "Egress"]);
}
