//! The looks of errors.

use enforcer::{
    diagnostic::{Diagnostic, Render, nearest},
    yaml::{FieldPath, Source, parse},
};
use rstest::rstest;

use super::error;

fn unknown_pod() -> Diagnostic {
    let source = Source::new(
        "netpol-tests/shop.yaml",
        "steps:\n- expect:\n    allow:\n    - shop/fronted -> shop/db:5432\n    within: 5s\n",
    );
    let document = parse(&source).expect("good YAML").remove(0);
    let mut place = document.location(&FieldPath::from("steps[0].expect.allow[0]"));
    place.span.end = place.span.start + "shop/fronted".len();
    Diagnostic::new("scenario/endpoint", "`shop/fronted` does not exist")
        .at(place, "did you mean `shop/frontend`?")
        .also(
            document.key_location(&FieldPath::from("steps[0].expect.within")),
            "expected within this time",
        )
        .note("policies and manifests define 12 pods")
        .help("add it under `pods`")
}

#[test]
fn plain() {
    insta::assert_snapshot!(unknown_pod().render(Render::Plain), @r#"
    error[scenario/endpoint]: `shop/fronted` does not exist
     --> netpol-tests/shop.yaml:4:7
      |
    4 |     - shop/fronted -> shop/db:5432
      |       ^^^^^^^^^^^^ did you mean `shop/frontend`?
    5 |     within: 5s
      |     ------ expected within this time
      |
      = note: policies and manifests define 12 pods
      = help: add it under `pods`
    "#);
}

#[test]
fn short() {
    insta::assert_snapshot!(unknown_pod().render(Render::Short), @"netpol-tests/shop.yaml:4:7: error[scenario/endpoint]: `shop/fronted` does not exist: did you mean `shop/frontend`?");
}

#[test]
fn in_colour() {
    let rendered = unknown_pod().render(Render::Color);

    assert!(rendered.contains("\u{1b}["), "{rendered}");
}

#[test]
fn without_a_place() {
    let diagnostic =
        Diagnostic::new("cluster/rbac", "cannot list networkpolicies").help("run with -n shop");

    insta::assert_snapshot!(diagnostic.render(Render::Plain), @r#"
    error[cluster/rbac]: cannot list networkpolicies
     |
     = help: run with -n shop
    "#);
    insta::assert_snapshot!(diagnostic.render(Render::Short), @"error[cluster/rbac]: cannot list networkpolicies");
}

#[test]
fn a_place_of_several_lines_is_shown_by_its_first() {
    let source = Source::new("a.yaml", "spec:\n  one: 1\n  two: 2\n");
    let document = parse(&source).expect("good YAML").remove(0);
    let diagnostic =
        Diagnostic::new("x/y", "wrong").at(document.location(&FieldPath::from("spec")), "");

    insta::assert_snapshot!(diagnostic.render(Render::Plain), @r#"
    error[x/y]: wrong
     --> a.yaml:2:3
      |
    2 |   one: 1
      |   ^^^^^^
    "#);
}

#[test]
fn a_duplicate_key() {
    insta::assert_snapshot!(error("a: 1\nb: 2\na: 3\n"), @r#"
    error[yaml/duplicate-key]: duplicate key `a`
     --> test.yaml:3:1
      |
    3 | a: 3
      | ^
    "#);
}

#[test]
fn a_bracket_that_is_never_closed() {
    insta::assert_snapshot!(error("ü: 1\na: [1,\nb: 2\n"), @r#"
    error[yaml/syntax]: unclosed bracket '['
     --> test.yaml:2:4
      |
    2 | a: [1,
      |    ^
    "#);
}

#[test]
fn a_colon_too_many() {
    insta::assert_snapshot!(error("a: b: c\n"), @r#"
    error[yaml/syntax]: mapping values are not allowed in this context
     --> test.yaml:1:5
      |
    1 | a: b: c
      |     ^
    "#);
}

#[test]
fn a_tab() {
    insta::assert_snapshot!(error("a:\n\tb: c\n"), @r#"
    error[yaml/syntax]: tabs disallowed within this context (block indentation)
     --> test.yaml:2:2
      |
    2 |     b: c
      |     ^
    "#);
}

#[test]
fn an_alias_of_nothing() {
    insta::assert_snapshot!(error("a: *x\n"), @r#"
    error[yaml/syntax]: reference to unknown value
     --> test.yaml:1:4
      |
    1 | a: *x
      |    ^
    "#);
}

#[test]
fn a_key_that_is_no_text() {
    insta::assert_snapshot!(error("[a]: 1\n"), @r#"
    error[yaml/syntax]: expected string scalar
     --> test.yaml:1:1
      |
    1 | [a]: 1
      | ^
    "#);
}

#[rstest]
#[case::swapped("podSelcetor", Some("podSelector"))]
#[case::case("podselector", Some("podSelector"))]
#[case::short("to", Some("to"))]
#[case::one_letter_of_three("fro", None)]
#[case::too_far("colour", None)]
fn the_nearest_name(#[case] word: &str, #[case] expected: Option<&str>) {
    assert_eq!(nearest(word, ["podSelector", "ingress", "to"]), expected);
}
