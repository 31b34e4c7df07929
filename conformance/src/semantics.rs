//! The numbered lines of `scenarios/SEMANTICS.md`, which `covers:` and source comments refer to.

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
}

/// The line of this number.
pub fn line(number: u16) -> Option<Line> {
    LINES.get(&number).copied()
}

/// All lines, ascending.
pub fn lines() -> impl Iterator<Item = Line> {
    LINES.values().copied()
}

static LINES: LazyLock<BTreeMap<u16, Line>> =
    LazyLock::new(|| parse(TEXT).map(|line| (line.number, line)).collect());

/// Reads `## Topic` headings and `12. Title. More.` lines; everything else is prose.
fn parse(text: &'static str) -> impl Iterator<Item = Line> {
    let mut topic = "";
    text.lines().filter_map(move |line| {
        if let Some(heading) = line.strip_prefix("## ") {
            topic = heading;
            return None;
        }
        let (number, text) = line.split_once(". ")?;
        let number = number.parse().ok()?;
        let sentence = text.split_once(". ").map_or(text, |(first, _)| first);
        let title = sentence.trim_end_matches('.');
        Some(Line {
            number,
            topic,
            title,
            text,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_1_to_248_and_each_is_there_once() {
        let numbers: Vec<_> = parse(TEXT).map(|line| line.number).collect();
        assert_eq!(numbers, (1..=248).collect::<Vec<_>>());
    }

    #[test]
    fn every_line_has_a_topic_and_a_short_title() {
        for line in lines() {
            assert!(!line.topic.is_empty(), "{line:?}");
            assert!((2..=100).contains(&line.title.len()), "{line:?}");
            assert!(line.text.ends_with(['.', ')']), "{line:?}");
        }
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
