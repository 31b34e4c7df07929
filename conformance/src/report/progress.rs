//! Keeps a person company while scenarios are played.
//!
//! On a terminal: a line per scenario as it ends, and below them one status line that is rewritten
//! in place. Elsewhere (a pipe, a CI log): the lines alone. A failure is told in full at once, and
//! again at the end if anything stood between.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{
    RunReport, ScenarioReport,
    human::{self, RULE, Style, scenarios, seconds},
};
use crate::paint::Ink;

/// The status line is kept shorter than any usual terminal: it must never wrap.
const WIDTH: usize = 79;
/// Back to the first column, and delete the line.
const CLEAR: &str = "\r\x1b[2K";

/// Tells what happens, on one stream; may be called from several threads.
pub struct Progress {
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    style: Style,
    /// Whether there is a status line.
    is_live: bool,
    begun: Instant,
    total: usize,
    done: usize,
    bad: usize,
    running: Vec<String>,
}

impl Progress {
    /// Begins a run of `total` scenarios and tells it on standard error. A terminal gets a status
    /// line, unless `CI` is set.
    pub fn new(total: usize, style: Style) -> Self {
        let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        let is_live = io::stderr().is_terminal() && !is_ci;
        Self::on(Box::new(io::stderr()), is_live, style, total)
    }

    /// Begins a run of `total` scenarios and tells it on any stream; `is_live` asks for a status
    /// line.
    pub fn on(out: Box<dyn Write + Send>, is_live: bool, style: Style, total: usize) -> Self {
        let mut state = State {
            out,
            style,
            is_live,
            begun: Instant::now(),
            total,
            done: 0,
            bad: 0,
            running: Vec::new(),
        };
        let word = style.paint.ink(Ink::Strong, &format!("{:>12}", "Starting"));
        state.write(&format!("{word} {}\n", scenarios(total)));
        Self {
            state: Mutex::new(state),
        }
    }

    /// A scenario begins.
    pub fn started(&self, id: &str) {
        let mut state = self.lock();
        state.running.push(id.to_owned());
        state.write("");
    }

    /// A scenario has ended.
    pub fn finished(&self, scenario: &ScenarioReport) {
        let mut state = self.lock();
        // The same id may run on two fabrics at once: only one of them has ended.
        if let Some(index) = state.running.iter().position(|id| *id == scenario.id) {
            state.running.remove(index);
        }
        state.done += 1;
        let style = state.style;
        let is_told = !style.quiet || scenario.conclusion.is_bad();
        let line = is_told.then(|| human::line(scenario, style) + "\n");
        let mut text = line.unwrap_or_default();
        if scenario.conclusion.is_bad() {
            state.bad += 1;
            let block = human::failure(scenario, style);
            text += &format!("{RULE}\n{block}");
        }
        state.write(&text);
    }

    /// The run has ended: failures once more, and the summary.
    pub fn end(&self, report: &RunReport) {
        let mut state = self.lock();
        let style = state.style;
        let mut text = format!("{RULE}\n");
        // The only scenario has just been told.
        if report.scenarios.len() > 1 {
            text = human::failures(report, style) + &text;
        }
        text += &human::summary(report, style);
        text += "\n";
        state.is_live_no_more(&text);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while it wrote has lost a line at worst.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    /// Puts text above the status line. Nobody is told if the stream is gone: the results do not
    /// depend on it.
    fn write(&mut self, text: &str) {
        let whole = if self.is_live {
            format!("{CLEAR}{text}{}", self.status())
        } else {
            text.to_owned()
        };
        let _ = self.out.write_all(whole.as_bytes());
        let _ = self.out.flush();
    }

    fn is_live_no_more(&mut self, text: &str) {
        let text = if self.is_live {
            format!("{CLEAR}{text}")
        } else {
            text.to_owned()
        };
        self.is_live = false;
        self.write(&text);
    }

    fn status(&self) -> String {
        let failed = match self.bad {
            0 => String::new(),
            bad => format!(", {bad} failed"),
        };
        let time = seconds(self.begun.elapsed());
        let mut line = format!(
            "     Running [{time:>9}] {}/{}{failed}",
            self.done, self.total
        );
        for (index, id) in self.running.iter().enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            let more = format!(" and {} more", self.running.len() - index);
            let is_last = index + 1 == self.running.len();
            let room = if is_last { WIDTH } else { WIDTH - more.len() };
            if line.chars().count() + separator.len() + id.chars().count() > room {
                line += if index == 0 { "" } else { &more };
                break;
            }
            line += separator;
            line += id;
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::{Conclusion, sample};

    /// A stream to read back.
    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Vec<u8>>>);

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Tape {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn told(is_live: bool) -> String {
        let tape = Tape::default();
        let report = sample::run(vec![
            sample::scenario("deny-all", Conclusion::Passed),
            sample::failing(),
        ]);
        let progress = Progress::on(Box::new(tape.clone()), is_live, Style::default(), 2);
        for scenario in &report.scenarios {
            progress.started(&scenario.id);
        }
        for scenario in &report.scenarios {
            progress.finished(scenario);
        }
        progress.end(&report);
        tape.text()
    }

    /// What a terminal shows of it in the end.
    fn shown(text: &str) -> String {
        let last = |line: &str| line.rsplit(CLEAR).next().unwrap_or_default().to_owned();
        text.split('\n').map(last).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_log_gets_lines_without_control_characters() {
        let text = told(false);
        assert!(!text.contains(['\r', '\x1b']));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_terminal_ends_with_the_same_lines() {
        assert_eq!(shown(&told(true)), told(false));
    }

    #[test]
    fn the_status_line_names_what_runs_and_never_wraps() {
        let tape = Tape::default();
        let progress = Progress::on(Box::new(tape.clone()), true, Style::default(), 40);
        for number in 0..20 {
            progress.started(&format!("scenario-{number}"));
        }
        let text = tape.text();
        let last = text.rsplit(CLEAR).next().unwrap();
        assert!(last.starts_with("     Running ["), "{last}");
        assert!(
            last.ends_with("0/40: scenario-0, scenario-1, scenario-2 and 17 more"),
            "{last}"
        );
        assert!(
            text.split(CLEAR)
                .skip(1)
                .all(|line| line.chars().count() <= WIDTH)
        );
    }
}
