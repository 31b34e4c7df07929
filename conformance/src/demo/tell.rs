//! The demo's story as text.

use std::fmt::Write as _;

use super::{Chapter, Told};
use crate::{
    cell::{Outcome, Protocol},
    matrix::{
        Matrix, Symbol,
        render::{self, Look as Drawing},
    },
    report::human,
    runner::look::Seen,
};

/// The port whose matrix is shown.
const SHOWN_PORT: u16 = 80;

/// What is told, and how it ended.
#[derive(Debug)]
pub struct Story {
    /// The text.
    pub text: String,
    /// Whether kernel, plans and oracle agree on every connection of every step.
    pub judges_agree: bool,
    /// Whether every connection came out as the scenario says.
    pub as_expected: bool,
}

impl Told {
    /// Tells it.
    pub fn story(&self, drawing: Drawing) -> Story {
        let mut text = String::new();
        self.steps(&mut text);
        self.matrix(&mut text, drawing);
        self.why(&mut text);
        let cells = || self.chapters.iter().flat_map(|chapter| &chapter.cells);
        let agreeing = cells().filter(|seen| seen.judges_agree()).count();
        let all = cells().count();
        let _ = writeln!(
            text,
            "\n{all} real connections, judged three times: kernel (nftables), compiled plan and \
             specification agree on {agreeing} of {all}."
        );
        for failure in self
            .chapters
            .iter()
            .flat_map(|chapter| &chapter.disagreeing)
        {
            text.push_str(&human::disagreement(failure));
        }
        Story {
            text,
            judges_agree: agreeing == all,
            as_expected: cells().all(Seen::is_as_expected),
        }
    }

    fn steps(&self, text: &mut String) {
        let who = if nix::unistd::geteuid().is_root() {
            ""
        } else {
            ", no root"
        };
        let _ = writeln!(
            text,
            "cluster  {:<32}{:>22}{:>9.2} s",
            format!("{} pods on {} nodes", self.pods, self.nodes),
            format!("network namespaces{who}"),
            self.building.as_secs_f64()
        );
        for (number, chapter) in self.chapters.iter().enumerate() {
            let _ = writeln!(
                text,
                "step {}   {:<32}{:>4} allowed{:>4} DENIED{:>9.2} s",
                number + 1,
                chapter.name,
                count(chapter, Outcome::Allowed),
                count(chapter, Outcome::Denied),
                chapter.duration.as_secs_f64()
            );
        }
    }

    fn matrix(&self, text: &mut String, drawing: Drawing) {
        let [.., before, after] = self.chapters.as_slice() else {
            return;
        };
        if let (Some(before), Some(after)) = (shown(before), shown(after)) {
            let _ = writeln!(
                text,
                "\n{}",
                render::change(&before, &after, drawing).trim_end()
            );
        }
    }

    fn why(&self, text: &mut String) {
        let cell = &self.denied;
        let _ = writeln!(
            text,
            "\nwhy      {} -> {} on {} is denied",
            cell.source, cell.destination, cell.port
        );
        for line in &self.why {
            let _ = writeln!(text, "         {line}");
        }
    }
}

fn count(chapter: &Chapter, outcome: Outcome) -> usize {
    let cells = chapter.cells.iter();
    cells
        .filter(|seen| seen.observation.outcome == outcome)
        .count()
}

/// Who reaches whom on the shown port after a step.
fn shown(chapter: &Chapter) -> Option<Matrix> {
    let cells = chapter.cells.iter().map(|seen| {
        let symbol = if seen.cell().source == seen.cell().destination {
            Symbol::Itself
        } else {
            seen.observation.outcome.into()
        };
        (seen.cell().clone(), symbol)
    });
    let is_shown = |matrix: &Matrix| {
        matrix.port().number == Some(SHOWN_PORT) && matrix.port().protocol == Protocol::Tcp
    };
    Matrix::of(cells).into_iter().find(is_shown)
}
