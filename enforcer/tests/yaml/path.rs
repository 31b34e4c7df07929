//! Paths as the API server writes them.

use enforcer::yaml::FieldPath;
use rstest::rstest;

#[rstest]
#[case("spec.ingress[0].ports[1].endPort")]
#[case("spec.policyTypes[0]")]
#[case("metadata.labels[app.kubernetes.io/name]")]
#[case("items[2][3]")]
#[case("")]
fn a_path_reads_back_as_it_was_written(#[case] text: &str) {
    assert_eq!(FieldPath::from(text).to_string(), text);
}

#[test]
fn a_path_is_built_step_by_step() {
    let path = FieldPath::root().key("spec").key("ingress").index(0);

    assert_eq!(path.to_string(), "spec.ingress[0]");
    assert_eq!(path, FieldPath::from("spec.ingress[0]"));
}
