//! What the process tells its caller.

use std::process::ExitCode;

use super::{Conclusion, RunReport};

/// Exit codes of all commands. 101 is a panic of ours; 128 and more are signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Everything passed; the answer is yes.
    Yes = 0,
    /// Something failed or shows nothing; the answer is no.
    No = 1,
    /// The command line or a file is wrong.
    BadInput = 2,
    /// The machine or the cluster cannot do it.
    Environment = 3,
    /// No scenario was selected.
    NothingSelected = 4,
    /// Oracle, compiled plan and kernel disagree: a bug, never hidden in 1.
    JudgesDisagree = 5,
}

impl Exit {
    /// The code of a run. A disagreement outweighs all else; a scenario that could not be played
    /// outweighs failures, because it may be their cause; skipped scenarios weigh nothing.
    pub fn of(report: &RunReport) -> Self {
        let any = |is: fn(&Conclusion) -> bool| report.scenarios.iter().any(|s| is(&s.conclusion));
        if report.scenarios.is_empty() {
            Self::NothingSelected
        } else if any(|c| *c == Conclusion::JudgesDisagree) {
            Self::JudgesDisagree
        } else if any(|c| matches!(c, Conclusion::Error { .. })) {
            Self::Environment
        } else if any(Conclusion::is_bad) {
            Self::No
        } else {
            Self::Yes
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::report::sample;

    fn reason() -> String {
        "because".to_owned()
    }

    #[rstest]
    #[case::nothing(&[], Exit::NothingSelected)]
    #[case::passed(&[Conclusion::Passed], Exit::Yes)]
    #[case::skipped(&[Conclusion::Skipped { reason: reason() }], Exit::Yes)]
    #[case::failed(&[Conclusion::Passed, Conclusion::Failed], Exit::No)]
    #[case::inconclusive(&[Conclusion::Inconclusive { reason: reason() }], Exit::No)]
    #[case::error_outweighs_failure(
        &[Conclusion::Failed, Conclusion::Error { reason: reason() }],
        Exit::Environment
    )]
    #[case::disagreement_outweighs_all(
        &[Conclusion::Error { reason: reason() }, Conclusion::JudgesDisagree],
        Exit::JudgesDisagree
    )]
    fn the_gravest_conclusion_decides(#[case] conclusions: &[Conclusion], #[case] exit: Exit) {
        let mut report = sample::run(Vec::new());
        for conclusion in conclusions {
            report
                .scenarios
                .push(sample::scenario("any", conclusion.clone()));
        }
        assert_eq!(Exit::of(&report), exit);
    }
}
