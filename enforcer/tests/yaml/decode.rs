//! From documents to types.

use std::collections::BTreeMap;

use enforcer::yaml::FieldPath;
use serde::Deserialize;

use super::document;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Scenario {
    name: String,
    #[serde(default)]
    pods: BTreeMap<String, Pod>,
    #[serde(default)]
    steps: Vec<Step>,
    within: Option<u16>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Pod {
    listen: Vec<u16>,
    #[serde(default)]
    host_network: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Step {
    Flush,
    Apply(Vec<String>),
    Label { pod: Name, label: String },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.contains('/') {
            Ok(Self(text))
        } else {
            Err(format!("a pod is written namespace/name, not `{text}`"))
        }
    }
}

fn error(text: &str) -> String {
    document(text)
        .decode::<Scenario>()
        .expect_err("it does not fit")
        .to_string()
}

#[test]
fn a_document_that_fits() {
    let document = document(
        "name: first\npods: {x/a: {listen: [80, 81]}, y/b: {listen: [], hostNetwork: true}}\n\
         steps: [flush, apply: [one], label: {pod: x/a, label: l}]\nwithin: null\n",
    );

    let pod = |listen: &[u16], host_network| Pod {
        listen: listen.to_vec(),
        host_network,
    };
    assert_eq!(
        document.decode(),
        Ok(Scenario {
            name: "first".to_owned(),
            pods: [
                ("x/a".to_owned(), pod(&[80, 81], false)),
                ("y/b".to_owned(), pod(&[], true))
            ]
            .into(),
            steps: vec![
                Step::Flush,
                Step::Apply(vec!["one".to_owned()]),
                Step::Label {
                    pod: Name("x/a".to_owned()),
                    label: "l".to_owned()
                },
            ],
            within: None,
        })
    );
}

#[test]
fn a_misspelt_field() {
    insta::assert_snapshot!(error("name: a\npods:\n  x/a:\n    listn: [80]\n"), @r#"
    error[yaml/unknown-field]: unknown field `listn` in `pods[x/a]`
     --> test.yaml:4:5
      |
    4 |     listn: [80]
      |     ^^^^^ did you mean `listen`?
      |
      = note: known fields: listen, hostNetwork
    "#);
}

#[test]
fn a_field_like_no_other() {
    insta::assert_snapshot!(error("name: a\ncolour: red\n"), @r#"
    error[yaml/unknown-field]: unknown field `colour`
     --> test.yaml:2:1
      |
    2 | colour: red
      | ^^^^^^
      |
      = note: known fields: name, pods, steps, within
    "#);
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(error("name: a\npods:\n  x/a:\n    listen: 80/tcp\n"), @r#"
    error[yaml/type]: wrong value for `pods[x/a].listen`
     --> test.yaml:4:13
      |
    4 |     listen: 80/tcp
      |             ^^^^^^ expected a list, found the string "80/tcp"
    "#);
}

#[test]
fn a_number_out_of_range() {
    insta::assert_snapshot!(error("name: a\npods: {x/a: {listen: [80, 65536]}}\n"), @r#"
    error[yaml/type]: wrong value for `pods[x/a].listen[1]`
     --> test.yaml:2:27
      |
    2 | pods: {x/a: {listen: [80, 65536]}}
      |                           ^^^^^ expected an integer from 0 to 65535, found the number 65536
    "#);
}

#[test]
fn a_string_that_must_be_quoted() {
    insta::assert_snapshot!(error("name: 80\n"), @r#"
    error[yaml/type]: wrong value for `name`
     --> test.yaml:1:7
      |
    1 | name: 80
      |       ^^ expected a string, found the number 80
      |
      = help: quote it: "80"
    "#);
}

#[test]
fn nothing_where_something_is_needed() {
    insta::assert_snapshot!(error("name: a\npods:\n  x/a:\n    listen:\n"), @r#"
    error[yaml/type]: wrong value for `pods[x/a].listen`
     --> test.yaml:4:11
      |
    4 |     listen:
      |           ^ expected a list, found nothing
    "#);
}

#[test]
fn a_missing_field() {
    insta::assert_snapshot!(error("name: a\npods:\n  x/a:\n    hostNetwork: true\n"), @r#"
    error[yaml/missing-field]: missing field `listen` in `pods[x/a]`
     --> test.yaml:3:3
      |
    3 |   x/a:
      |   ^^^
    "#);
}

#[test]
fn a_missing_field_of_the_document() {
    insta::assert_snapshot!(error("# a comment\nwithin: 5\nsteps: []\n"), @r#"
    error[yaml/missing-field]: missing field `name`
     --> test.yaml:2:1
      |
    2 | within: 5
      | ^^^^^^^^^
    "#);
}

#[test]
fn an_unknown_variant() {
    insta::assert_snapshot!(error("name: a\nsteps:\n- aply: [one]\n"), @r#"
    error[yaml/value]: unknown value `aply` for `steps[0]`
     --> test.yaml:3:3
      |
    3 | - aply: [one]
      |   ^^^^ did you mean `apply`?
      |
      = note: known values: flush, apply, label
    "#);
}

#[test]
fn an_unknown_variant_without_content() {
    insta::assert_snapshot!(error("name: a\nsteps:\n- flash\n"), @r#"
    error[yaml/value]: unknown value `flash` for `steps[0]`
     --> test.yaml:3:3
      |
    3 | - flash
      |   ^^^^^ did you mean `flush`?
      |
      = note: known values: flush, apply, label
    "#);
}

#[test]
fn two_variants_in_one() {
    insta::assert_snapshot!(error("name: a\nsteps:\n- apply: [one]\n  flush:\n"), @r#"
    error[yaml/type]: wrong value for `steps[0]`
     --> test.yaml:3:3
      |
    3 | - apply: [one]
      |   ^^^^^^^^^^^^ expected one of flush, apply, label, found a mapping of 2 entries
    "#);
}

#[test]
fn a_value_that_its_type_refuses() {
    insta::assert_snapshot!(error("name: a\nsteps:\n- label:\n    pod: web\n    label: x\n"), @r#"
    error[yaml/value]: a pod is written namespace/name, not `web`
     --> test.yaml:4:10
      |
    4 |     pod: web
      |          ^^^
    "#);
}

#[test]
fn a_part_that_is_decoded_alone_knows_its_key() {
    let part = document("name: a\npods:\n  x/a: {}\n")
        .at(&FieldPath::from("pods[x/a]"))
        .expect("the part exists");

    let error = part.decode::<Pod>().expect_err("it does not fit");

    assert_eq!(error.0[0].message, "missing field `listen`");
    let label = error.0[0].primary.as_ref().expect("it has a place");
    assert_eq!(label.location.text(), "x/a");
}
