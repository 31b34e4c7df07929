//! Which lines of the semantics list the scenarios show.
//!
//! Scenarios name lines under `covers:` (that there are such lines is seen to when they are read);
//! the list names the reason where none can
//! ([`Line::no_scenario`]). A line must have the one or the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde::Serialize;

use crate::{
    paint::{Ink, Paint},
    semantics::{self, Line},
};

/// What became of every line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// In their order.
    pub lines: Vec<LineCoverage>,
    /// How many of them are how.
    pub counts: Counts,
}

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineCoverage {
    /// Its number.
    pub number: u16,
    /// The heading it stands under.
    pub topic: &'static str,
    /// Its first sentence.
    pub title: &'static str,
    /// How it stands.
    pub state: State,
    /// The scenarios that show it, by name.
    pub scenarios: BTreeSet<String>,
    /// Why none can.
    pub reason: Option<&'static str>,
}

/// How a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// At least one scenario shows it.
    Covered,
    /// None does, for a reason.
    Excused,
    /// None does, and nobody says why.
    Uncovered,
    /// The list says why none can, and one does: the reason must go.
    Outdated,
}

/// How many lines are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All of them.
    pub lines: usize,
    /// Shown by a scenario.
    pub covered: usize,
    /// Not shown, for a reason.
    pub excused: usize,
    /// Neither.
    pub uncovered: usize,
    /// Both.
    pub outdated: usize,
    /// Scenarios that show something, each once, however often it is played.
    pub scenarios: usize,
}

impl Coverage {
    /// What scenarios show, each by its name and the lines it covers. Plays of one scenario, such as
    /// `name[ipv4]`, count as one.
    pub fn of<'a>(scenarios: impl IntoIterator<Item = (&'a str, &'a [u16])>) -> Self {
        let mut shown: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for (name, covers) in scenarios {
            let name = name.split_once('[').map_or(name, |(name, _)| name);
            for &number in covers {
                names.insert(name);
                shown.entry(number).or_default().insert(name.to_owned());
            }
        }
        let lines: Vec<_> = semantics::lines()
            .map(|line| LineCoverage::new(line, shown.remove(&line.number).unwrap_or_default()))
            .collect();
        let count = |state| lines.iter().filter(|line| line.state == state).count();
        let counts = Counts {
            lines: lines.len(),
            covered: count(State::Covered),
            excused: count(State::Excused),
            uncovered: count(State::Uncovered),
            outdated: count(State::Outdated),
            scenarios: names.len(),
        };
        Self { lines, counts }
    }

    /// Whether every line has a scenario or a reason, and none has both.
    pub fn is_complete(&self) -> bool {
        self.counts.uncovered == 0 && self.counts.outdated == 0
    }

    /// Every line with its scenarios or its reason, by topic, and the counts.
    pub fn render(&self, paint: Paint) -> String {
        let mut text = String::new();
        for topic in self.lines.chunk_by(|a, b| a.topic == b.topic) {
            let covered = topic.iter().filter(|line| !line.scenarios.is_empty());
            let heading = format!(
                "{} ({} of {})",
                topic[0].topic,
                covered.count(),
                topic.len()
            );
            let _ = writeln!(text, "{}", paint.ink(Ink::Strong, &heading));
            for line in topic {
                line.render(&mut text, paint);
            }
            text.push('\n');
        }
        let Counts {
            lines,
            covered,
            excused,
            uncovered,
            outdated,
            scenarios,
        } = self.counts;
        let _ = write!(
            text,
            "{lines} lines: {covered} covered by {scenarios} scenarios, {excused} with a reason, {uncovered} with neither"
        );
        if outdated > 0 {
            let _ = write!(text, ", {outdated} with both");
        }
        text.push('\n');
        text
    }
}

impl LineCoverage {
    fn new(line: Line, scenarios: BTreeSet<String>) -> Self {
        let state = match (scenarios.is_empty(), line.no_scenario) {
            (false, None) => State::Covered,
            (true, Some(_)) => State::Excused,
            (true, None) => State::Uncovered,
            (false, Some(_)) => State::Outdated,
        };
        Self {
            number: line.number,
            topic: line.topic,
            title: line.title,
            state,
            scenarios,
            reason: line.no_scenario,
        }
    }

    fn render(&self, text: &mut String, paint: Paint) {
        let (mark, ink) = match self.state {
            State::Covered => (' ', Ink::Good),
            State::Excused => ('-', Ink::Dim),
            State::Uncovered | State::Outdated => ('!', Ink::Bad),
        };
        let title = format!("{:>5} {mark} {}", self.number, self.title);
        let _ = writeln!(text, "{}", paint.ink(ink, &title));
        let names: Vec<&str> = self.scenarios.iter().map(String::as_str).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "        {}", names.join(", "));
        }
        match (self.state, self.reason) {
            (State::Outdated, Some(reason)) => {
                let _ = writeln!(text, "        shown, though the list says: {reason}");
            }
            (State::Uncovered, _) => {
                let _ = writeln!(text, "        no scenario, and no reason");
            }
            (_, Some(reason)) => {
                let _ = writeln!(text, "        no scenario: {reason}");
            }
            (State::Covered | State::Excused | State::Outdated, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plays_of_one_scenario_count_once() {
        let coverage = Coverage::of([
            ("except[ipv4]", &[66, 67][..]),
            ("except[ipv6]", &[66, 67]),
            ("other", &[67]),
            ("control", &[]),
        ]);

        let line = &coverage.lines[66];
        assert_eq!((line.number, line.state), (67, State::Covered));
        assert_eq!(
            line.scenarios,
            ["except", "other"].map(str::to_owned).into()
        );
        assert_eq!(coverage.counts.covered, 2);
        assert_eq!(coverage.counts.scenarios, 2);
        assert!(!coverage.is_complete());
    }

    #[test]
    fn a_line_is_shown_with_its_scenarios_or_its_reason() {
        let line = |no_scenario, names: &[&str]| {
            let line = Line {
                number: 7,
                topic: "Topic",
                title: "A title",
                text: "A title. More.",
                no_scenario,
            };
            let names = names.iter().map(|name| (*name).to_owned());
            let mut text = String::new();
            LineCoverage::new(line, names.collect()).render(&mut text, Paint::Plain);
            text
        };

        insta::assert_snapshot!(
            [
                line(None, &["a", "b"]),
                line(Some("nobody could."), &[]),
                line(None, &[]),
                line(Some("nobody could."), &["a"]),
            ]
            .concat(),
            @r"
        7   A title
            a, b
        7 - A title
            no scenario: nobody could.
        7 ! A title
            no scenario, and no reason
        7 ! A title
            a
            shown, though the list says: nobody could.
        "
        );
    }
}
