//! The numbered lines of `scenarios/SEMANTICS.md`, which `covers:` and source comments refer to.
//!
//! The file is prose for people with two forms that are read here: `12. Title. More.`, and below it,
//! indented, `No scenario: why.` where no scenario can show the line.

use std::{collections::BTreeMap, sync::LazyLock};

/// The list as people read it.
const TEXT: &str = include_str!("../../scenarios/SEMANTICS.md");

/// One line of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1; never given again.
    pub number: u16,
    /// The heading it stands under.
    pub topic: &'static str,
    /// Its first sentence, without the full stop.
    pub title: &'static str,
    /// All of it, with the marks of its origin.
    pub text: &'static str,
    /// Why no scenario shows it, if none can.
    pub no_scenario: Option<&'static str>,
}

/// The line of this number.
pub fn line(number: u16) -> Option<Line> {
    LINES.get(&number).copied()
}

/// All lines, ascending.
pub fn lines() -> impl Iterator<Item = Line> {
    LINES.values().copied()
}

static LINES: LazyLock<BTreeMap<u16, Line>> = LazyLock::new(|| {
    let lines = parse(TEXT).into_iter();
    lines.map(|line| (line.number, line)).collect()
});

/// What begins the reason below a line that no scenario shows.
const NO_SCENARIO: &str = "No scenario: ";

/// Reads `## Topic` headings, `12. Title. More.` lines and reasons; everything else is prose.
fn parse(text: &'static str) -> Vec<Line> {
    let mut topic = "";
    let mut lines: Vec<Line> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            topic = heading;
        } else if let Some(reason) = line.trim_start().strip_prefix(NO_SCENARIO) {
            if let Some(last) = lines.last_mut() {
                last.no_scenario = Some(reason);
            }
        } else if let Some((number, text)) = line.split_once(". ")
            && let Ok(number) = number.parse()
        {
            let sentence = text.split_once(". ").map_or(text, |(first, _)| first);
            lines.push(Line {
                number,
                topic,
                title: sentence.trim_end_matches('.'),
                text,
                no_scenario: None,
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_1_to_248_and_each_is_there_once() {
        let numbers: Vec<_> = parse(TEXT).iter().map(|line| line.number).collect();
        assert_eq!(numbers, (1..=248).collect::<Vec<_>>());
    }

    #[test]
    fn every_line_has_a_topic_and_a_short_title() {
        for line in lines() {
            assert!(!line.topic.is_empty(), "{line:?}");
            assert!((2..=100).contains(&line.title.len()), "{line:?}");
            assert!(line.text.ends_with(['.', ')']), "{line:?}");
            assert!(
                line.no_scenario.is_none_or(|why| why.ends_with('.')),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_reason_belongs_to_the_line_above_it() {
        let lines = parse("## A\n1. One. More.\n   No scenario: why.\n2. Two.\n\nProse. More.\n");

        let found: Vec<_> = lines.iter().map(|l| (l.number, l.no_scenario)).collect();
        assert_eq!(found, [(1, Some("why.")), (2, None)]);
    }

    #[test]
    fn a_line_is_found_by_its_number() {
        let found = line(67).unwrap();
        assert_eq!(found.topic, "Peers by address");
        assert_eq!(found.title, "An except denies nothing");
        assert_eq!(line(0), None);
        assert_eq!(line(249), None);
    }
}
