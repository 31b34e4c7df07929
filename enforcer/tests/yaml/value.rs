//! Which text gives which value.

use rstest::rstest;
use serde_json::{Value, json};

use super::{document, documents};

#[rstest]
#[case::integer("80", json!(80))]
#[case::negative("-3", json!(-3))]
#[case::hexadecimal("0x10", json!(16))]
#[case::leading_zero_is_text("010", json!("010"))]
#[case::float("1.5", json!(1.5))]
#[case::quoted_number("\"80\"", json!("80"))]
#[case::single_quoted("'80'", json!("80"))]
#[case::boolean("true", json!(true))]
#[case::boolean("False", json!(false))]
#[case::namespace_called_y("y", json!("y"))]
#[case::yaml_1_1_boolean_is_text("no", json!("no"))]
#[case::null("null", json!(null))]
#[case::tilde("~", json!(null))]
#[case::nothing("", json!(null))]
#[case::date_is_text("2024-01-01", json!("2024-01-01"))]
#[case::tagged_string("!!str 80", json!("80"))]
#[case::flow("{a: 1, b: [x, 'y']}", json!({"a": 1, "b": ["x", "y"]}))]
#[case::port_with_protocol("80/tcp", json!("80/tcp"))]
#[case::template("${podCIDR}", json!("${podCIDR}"))]
fn a_scalar_has_the_type_that_its_text_says(#[case] text: &str, #[case] expected: Value) {
    let document = document(&format!("key: {text}\n"));

    assert_eq!(document.value(), &json!({ "key": expected }));
}

#[test]
fn block_scalars_keep_or_fold_their_lines() {
    let document = document("a: |\n  one\n  two\nb: >-\n  one\n  two\n");

    assert_eq!(
        document.value(),
        &json!({"a": "one\ntwo\n", "b": "one two"})
    );
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let document = document("base: &b {k: v, n: 5}\nsame: *b\nmore:\n  <<: *b\n  n: 6\n");

    assert_eq!(
        document.value(),
        &json!({"base": {"k": "v", "n": 5}, "same": {"k": "v", "n": 5}, "more": {"k": "v", "n": 6}})
    );
}

#[test]
fn keys_that_look_like_numbers_are_text() {
    assert_eq!(
        document("80: web\ntrue: yes\n").value(),
        &json!({"80": "web", "true": "yes"})
    );
}

#[test]
fn empty_documents_are_skipped() {
    let documents = documents("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n");

    let values: Vec<_> = documents.iter().map(|d| d.value().clone()).collect();
    assert_eq!(values, [json!({"a": 1}), json!({"b": 2})]);
}

#[test]
fn json_is_yaml() {
    let document = document(r#"{"spec": {"ports": [{"port": 80, "protocol": "TCP"}]}}"#);

    assert_eq!(
        document.value(),
        &json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}]}})
    );
}

#[test]
fn deep_nesting_is_refused_and_no_danger() {
    let text = "[".repeat(100_000);

    let error = super::error(&text);

    assert!(error.contains("yaml/syntax"), "{error}");
}

#[rstest]
#[case::bare_words("a: y\nb: [no, on]\n", json!({"a": true, "b": [false, true]}))]
#[case::quoted_words("a: 'y'\nb: [\"no\"]\n", json!({"a": "y", "b": ["no"]}))]
#[case::other_words("a: yes-man\nb: nope\n", json!({"a": "yes-man", "b": "nope"}))]
#[case::keys_stay_text("y: 1\n", json!({"y": 1}))]
fn kubectl_takes_bare_words_for_booleans(#[case] text: &str, #[case] expected: Value) {
    assert_eq!(document(text).as_kubectl_reads_it().value(), &expected);
}
