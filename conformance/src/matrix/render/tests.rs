//! Drawings, as people see them.

use super::*;
use crate::cell::{Family, Protocol};

const PORT: Port = Port {
    number: Some(80),
    protocol: Protocol::Tcp,
};

fn pod(text: &str) -> Endpoint {
    let (namespace, name) = text.split_once('/').unwrap();
    Endpoint::Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn grid(namespaces: &[&str], pods: &[&str]) -> Vec<Endpoint> {
    let all = namespaces
        .iter()
        .flat_map(|ns| pods.iter().map(move |name| format!("{ns}/{name}")));
    all.map(|name| pod(&name)).collect()
}

/// All pairs of different endpoints.
fn filled(endpoints: &[Endpoint], symbol: impl Fn(&Endpoint, &Endpoint) -> Symbol) -> Matrix {
    let mut matrix = Matrix::new(PORT, Family::Ipv4);
    for source in endpoints {
        for destination in endpoints.iter().filter(|other| *other != source) {
            let symbol = symbol(source, destination);
            matrix.set(source.clone(), destination.clone(), symbol);
        }
    }
    matrix
}

fn in_y(endpoint: &Endpoint) -> bool {
    endpoint.to_string().starts_with("y/")
}

/// y denies all.
fn denied(_: &Endpoint, destination: &Endpoint) -> Symbol {
    if in_y(destination) {
        Symbol::Denied
    } else {
        Symbol::Allowed
    }
}

/// y denies all but x.
fn opened(source: &Endpoint, destination: &Endpoint) -> Symbol {
    if in_y(destination) && !source.to_string().starts_with("x/") {
        Symbol::Denied
    } else {
        Symbol::Allowed
    }
}

#[test]
fn one_port_of_the_usual_grid() {
    let matrix = filled(&grid(&["x", "y", "z"], &["a", "b", "c"]), denied);
    insta::assert_snapshot!(table(&matrix, Look::default()));
}

#[test]
fn every_kind_of_endpoint_and_symbol() {
    let mut matrix = Matrix::new(PORT, Family::Ipv6);
    let node = Endpoint::Node("n1".to_owned());
    let outside = Endpoint::External("internet".to_owned());
    let service = Endpoint::Service {
        namespace: "x".to_owned(),
        name: "web".to_owned(),
    };
    matrix.set(pod("x/a"), node.clone(), Symbol::Allowed);
    matrix.set(pod("x/a"), outside.clone(), Symbol::Unreachable);
    matrix.set(pod("x/a"), service, Symbol::Either);
    matrix.set(node, pod("x/a"), Symbol::Refused);
    matrix.set(outside, pod("x/a"), Symbol::Denied);
    insta::assert_snapshot!(table(&matrix, Look::default()));
}

#[test]
fn before_and_after_stand_side_by_side() {
    let pods = grid(&["x", "y", "z"], &["a", "b"]);
    let (before, after) = (filled(&pods, denied), filled(&pods, opened));
    insta::assert_snapshot!("side_by_side", change(&before, &after, Look::default()));
    let back = change(&after, &before, Look::default());
    insta::assert_snapshot!("side_by_side_newly_denied", back);
}

#[test]
fn before_and_after_stand_one_below_the_other_on_a_narrow_terminal() {
    let pods = grid(&["x", "y", "z"], &["a", "b"]);
    let look = Look {
        width: 60,
        ..Look::default()
    };
    let text = change(&filled(&pods, denied), &filled(&pods, opened), look);
    insta::assert_snapshot!(text);
}

#[test]
fn a_difference_shows_only_rows_that_differ() {
    let pods = grid(&["x", "y"], &["a", "b"]);
    let mut cells = Vec::new();
    let expected = filled(&pods, opened);
    for source in &pods {
        for destination in pods.iter().filter(|other| *other != source) {
            let wanted = expected.get(source, destination);
            let is_wrong = source == &pods[0] && in_y(destination);
            let seen = if is_wrong { Symbol::Denied } else { wanted };
            let cell = Cell {
                source: source.clone(),
                destination: destination.clone(),
                port: PORT,
                family: Family::Ipv4,
            };
            cells.push((cell, wanted, seen));
        }
    }
    insta::assert_snapshot!(difference(cells.clone(), Look::default()));
    let same = cells
        .into_iter()
        .map(|(cell, wanted, _)| (cell, wanted, wanted));
    assert_eq!(difference(same, Look::default()), "");
}

#[test]
fn colour_does_not_shift_anything() {
    let pods = grid(&["x", "y"], &["a", "b"]);
    let look = Look {
        paint: Paint::Color,
        width: 100,
    };
    let (before, after) = (filled(&pods, denied), filled(&pods, opened));
    let mut plain = change(&before, &after, look);
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, change(&before, &after, Look::default()));
}

#[test]
fn equal_rows_and_columns_of_many_pods_are_merged() {
    let pods = grid(&["x", "y", "z"], &["a", "b", "c", "d", "e", "f"]);
    let symbol = |source: &Endpoint, destination: &Endpoint| {
        let is_first = destination == &pod("y/a") || destination == &pod("y/b");
        if is_first {
            Symbol::Allowed
        } else {
            denied(source, destination)
        }
    };
    insta::assert_snapshot!(table(&filled(&pods, symbol), Look::default()));
}

#[test]
fn wide_matrices_go_on_below_and_long_names_are_cut() {
    let pods = grid(
        &["a-namespace-with-a-long-name", "y"],
        &["frontend-7c9-x1", "b", "c"],
    );
    let look = Look {
        width: 72,
        ..Look::default()
    };
    insta::assert_snapshot!(table(&filled(&pods, denied), look));
}
