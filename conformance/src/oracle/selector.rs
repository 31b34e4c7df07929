//! Label selectors.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::trace::{Match, Trace};

/// Labels of a pod or a namespace.
pub(super) type Labels = BTreeMap<String, String>;

/// Whether labels meet every requirement of a selector: all of `matchLabels` and all of
/// `matchExpressions` (28, 29, 34); the empty selector is met by all (26). A requirement that
/// cannot be read makes the whole selector unreadable, whatever the others say (227, 243).
///
/// `whose` names the object the labels belong to, for the reason.
pub(super) fn selects(
    selector: &LabelSelector,
    whose: &str,
    labels: &Labels,
    trace: &mut Trace,
) -> Match {
    let pairs = selector.match_labels.iter().flatten();
    let pairs = pairs.map(|(key, value)| pair(key, value, whose, labels));
    let expressions = selector.match_expressions.iter().flatten();
    let expressions = expressions.map(|wanted| expression(wanted, whose, labels, trace));
    let mut answer = Match::Yes;
    for one in pairs.chain(expressions).collect::<Vec<_>>() {
        match one {
            Match::No(why) if answer == Match::Yes => answer = Match::No(why),
            Match::Yes | Match::No(_) => {}
            Match::Unreadable(why) => return Match::Unreadable(why),
        }
    }
    answer
}

/// One entry of `matchLabels`: exactly this value (28), compared letter by letter (36, 37).
fn pair(key: &str, value: &str, whose: &str, labels: &Labels) -> Match {
    if labels.get(key).is_some_and(|actual| actual == value) {
        Match::Yes
    } else {
        no(whose, labels, key, &format!("{key}={value}"))
    }
}

/// One entry of `matchExpressions`: In (30), NotIn (31), Exists (32), DoesNotExist (33). A label
/// with an empty value is present (35).
fn expression(
    wanted: &LabelSelectorRequirement,
    whose: &str,
    labels: &Labels,
    trace: &mut Trace,
) -> Match {
    let key = wanted.key.as_str();
    let values = wanted.values.as_deref().unwrap_or_default();
    let actual = labels.get(key);
    let is_listed = actual.is_some_and(|actual| values.contains(actual));
    let list = values.join(", ");
    let (line, holds, wish) = match (wanted.operator.as_str(), values.is_empty()) {
        ("In", false) => (30, is_listed, format!("{key} in ({list})")),
        ("NotIn", false) => (31, !is_listed, format!("{key} not in ({list})")),
        ("Exists", true) => (32, actual.is_some(), format!("{key} to be present")),
        ("DoesNotExist", true) => (33, actual.is_none(), format!("{key} to be absent")),
        (operator @ ("In" | "NotIn"), true) => {
            return unreadable(trace, format!("{operator} of {key} lists no values"));
        }
        (operator @ ("Exists" | "DoesNotExist"), false) => {
            return unreadable(trace, format!("{operator} of {key} lists values"));
        }
        (operator, _) => return unreadable(trace, format!("no operator is called `{operator}`")),
    };
    trace.used(&[line]);
    if holds {
        Match::Yes
    } else {
        no(whose, labels, key, &wish)
    }
}

fn no(whose: &str, labels: &Labels, key: &str, wish: &str) -> Match {
    let has = match labels.get(key) {
        Some(value) => format!("has {key}={value}"),
        None => format!("has no label {key}"),
    };
    Match::No(format!("{whose} {has}, the selector wants {wish}"))
}

fn unreadable(trace: &mut Trace, why: String) -> Match {
    trace.used(&[227, 243]);
    Match::Unreadable(why)
}
