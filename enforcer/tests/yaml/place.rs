//! Where values stand.

use enforcer::yaml::FieldPath;
use rstest::rstest;

use super::{document, documents};

const POLICY: &str = "\
kind: NetworkPolicy # a comment
spec:
  podSelector: {matchLabels: {app: \"web\"}, } # another
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0/8
    ports: []
  note: |
    über
    all
";

#[rstest]
#[case::scalar("kind", "1:7", "NetworkPolicy")]
#[case::quoted("spec.podSelector.matchLabels.app", "3:36", "\"web\"")]
#[case::flow_mapping("spec.podSelector", "3:16", "{matchLabels: {app: \"web\"}, }")]
#[case::empty_list("spec.ingress[0].ports", "8:12", "[]")]
#[case::in_lists("spec.ingress[0].from[0].ipBlock.cidr", "7:15", "10.0.0.0/8")]
#[case::block_mapping("spec.ingress[0].from[0]", "6:7", "ipBlock:\n        cidr: 10.0.0.0/8")]
#[case::block_scalar("spec.note", "10:5", "über\n    all")]
#[case::absent_entry(
    "spec.ingress[0].to",
    "5:5",
    "from:\n    - ipBlock:\n        cidr: 10.0.0.0/8\n    ports: []"
)]
#[case::absent_item("spec.ingress[0].ports[3].port", "8:12", "[]")]
fn the_location_of_a_value(#[case] path: &str, #[case] place: &str, #[case] text: &str) {
    let location = document(POLICY).location(&FieldPath::from(path));

    assert_eq!(location.to_string(), format!("test.yaml:{place}"));
    assert_eq!(location.text(), text);
}

#[rstest]
#[case::entry("spec.podSelector.matchLabels.app", "3:31", "app")]
#[case::item_has_no_key("spec.ingress[0].from[0]", "6:7", "ipBlock:\n        cidr: 10.0.0.0/8")]
#[case::absent_entry("spec.policyTypes", "2:1", "spec")]
fn the_location_of_a_key(#[case] path: &str, #[case] place: &str, #[case] text: &str) {
    let location = document(POLICY).key_location(&FieldPath::from(path));

    assert_eq!(location.to_string(), format!("test.yaml:{place}"));
    assert_eq!(location.text(), text);
}

#[test]
fn a_part_keeps_its_places() {
    let part = document(POLICY)
        .at(&FieldPath::from("spec.ingress[0]"))
        .expect("the part exists");

    let location = part.location(&FieldPath::from("from[0].ipBlock.cidr"));

    assert_eq!(location.to_string(), "test.yaml:7:15");
    assert_eq!(part.keys(&FieldPath::root()), ["from", "ports"]);
}

#[test]
fn a_part_that_does_not_exist() {
    assert_eq!(document(POLICY).at(&FieldPath::from("spec.egress")), None);
}

#[test]
fn the_place_of_an_alias_is_what_it_stands_for() {
    let document = document("base: &b {k: v}\nuse: *b\nmore:\n  <<: *b\n  z: 1\n");

    let place = |path| document.location(&FieldPath::from(path)).to_string();
    assert_eq!(place("use.k"), "test.yaml:1:14");
    assert_eq!(place("more.k"), "test.yaml:1:14");
    assert_eq!(place("more"), "test.yaml:4:3");
}

#[test]
fn lines_are_those_of_the_file_in_later_documents() {
    let documents = documents("---\na: 1\n---\r\nb:\r\n  c: ü2\r\n");

    let location = documents[1].location(&FieldPath::from("b.c"));

    assert_eq!(location.to_string(), "test.yaml:5:6");
    assert_eq!(location.text(), "ü2");
}

#[test]
fn columns_count_characters() {
    let document = document("ünï: [ä, b]\n");

    let location = document.location(&FieldPath::root().key("ünï").index(1));

    assert_eq!(location.to_string(), "test.yaml:1:10");
}

#[test]
fn a_byte_order_mark_shifts_nothing() {
    let document = document("\u{feff}a: x\n");

    let location = document.location(&FieldPath::from("a"));

    assert_eq!(
        (location.to_string().as_str(), location.text()),
        ("test.yaml:1:4", "x")
    );
}
