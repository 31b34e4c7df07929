//! Label selectors that hit and miss.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::words::NOBODY;
use crate::fuzz::{dice::Dice, world::Labels};

/// The words of one kind of label.
type Words<'a> = &'a [(&'a str, &'a [&'a str])];

/// A selector over `words`, mostly of labels that some of `actual` have.
pub(super) fn selector(dice: &mut Dice, words: Words<'_>, actual: &[Labels]) -> LabelSelector {
    let mut selector = LabelSelector::default();
    match dice.below(10) {
        0 => {}
        1 => {
            // Empty lists are the same as none.
            selector.match_labels = Some(Labels::new());
            selector.match_expressions = Some(Vec::new());
        }
        2..=5 => selector.match_labels = Some(pairs(dice, words, actual)),
        6..=8 => selector.match_expressions = Some(expressions(dice, words, actual)),
        _ => {
            selector.match_labels = Some(pairs(dice, words, actual));
            selector.match_expressions = Some(expressions(dice, words, actual));
        }
    }
    selector
}

fn pairs(dice: &mut Dice, words: Words<'_>, actual: &[Labels]) -> Labels {
    let mut pairs = Labels::new();
    // One object's labels, so that several pairs can hold together.
    let hit = some_labels(dice, actual);
    for _ in 0..dice.weighted(&[(7, 1), (3, 2)]) {
        let (key, value) = pair(dice, words, &hit);
        pairs.insert(key, value);
    }
    pairs
}

fn some_labels(dice: &mut Dice, actual: &[Labels]) -> Vec<(String, String)> {
    if actual.is_empty() {
        return Vec::new();
    }
    let labels = dice.pick(actual);
    labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn pair(dice: &mut Dice, words: Words<'_>, hit: &[(String, String)]) -> (String, String) {
    if !hit.is_empty() && dice.chance(92) {
        return dice.pick(hit).clone();
    }
    let (key, values) = dice.pick(words);
    let value = if dice.chance(10) {
        NOBODY
    } else {
        dice.pick(values)
    };
    ((*key).to_owned(), value.to_owned())
}

fn expressions(
    dice: &mut Dice,
    words: Words<'_>,
    actual: &[Labels],
) -> Vec<LabelSelectorRequirement> {
    let hit = some_labels(dice, actual);
    let count = dice.weighted(&[(7, 1), (3, 2)]);
    (0..count).map(|_| expression(dice, words, &hit)).collect()
}

fn expression(
    dice: &mut Dice,
    words: Words<'_>,
    hit: &[(String, String)],
) -> LabelSelectorRequirement {
    let (key, value) = pair(dice, words, hit);
    let operator = *dice.pick(&["In", "NotIn", "Exists", "DoesNotExist"]);
    let values = matches!(operator, "In" | "NotIn").then(|| {
        let mut values = vec![value];
        let others = words.iter().find(|(other, _)| *other == key);
        for other in others.map_or(&[] as &[_], |(_, values)| values) {
            if dice.chance(25) {
                values.push((*other).to_owned());
            }
        }
        values
    });
    LabelSelectorRequirement {
        key,
        operator: operator.to_owned(),
        // An absent and an empty list are the same for operators that take no values.
        values: values.or_else(|| dice.chance(20).then(Vec::new)),
    }
}
