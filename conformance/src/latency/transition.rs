//! From a change until the last connection that came out as before.

use std::time::{Duration, Instant};

use super::{
    Failure, Settings,
    report::{Delays, Transition},
    story::Story,
    streams::{Streams, Wanted, last_wrong, wrong},
};
use crate::{backend::sim::Sim, process};

/// How long a change may take. It is a matter of milliseconds.
const MOST: Duration = Duration::from_secs(10);

/// Changes that are timed with the same streams, made one after the other and all over again.
pub(super) struct Kind {
    /// A step that must have been made before.
    before: Option<&'static str>,
    pub(super) turns: &'static [Turn],
    /// One that takes it back afterwards.
    after: Option<&'static str>,
}

/// One change, and the streams that it is about.
pub(super) struct Turn {
    /// The step of the scenario; also what people call it.
    pub(super) step: &'static str,
    /// From, to, and how connections come out in the end.
    streams: &'static [(&'static str, &'static str, Wanted)],
}

const STRANGER: (&str, &str) = ("shop/stranger", "shop/server");
const VISITOR: (&str, &str) = ("guests/visitor", "shop/server");

const fn only(
    pair: (&'static str, &'static str),
    wanted: Wanted,
) -> (&'static str, &'static str, Wanted) {
    (pair.0, pair.1, wanted)
}

/// Everything that is timed.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        before: None,
        turns: &[
            Turn {
                step: "policy created",
                streams: &[only(STRANGER, Wanted::Denied)],
            },
            Turn {
                step: "policy deleted",
                streams: &[only(STRANGER, Wanted::Allowed)],
            },
        ],
        after: None,
    },
    Kind {
        before: Some("policy created"),
        turns: &[
            Turn {
                step: "pod labelled",
                streams: &[only(STRANGER, Wanted::Allowed)],
            },
            Turn {
                step: "pod label changed back",
                streams: &[only(STRANGER, Wanted::Denied)],
            },
        ],
        after: Some("policy deleted"),
    },
    Kind {
        before: Some("policy created"),
        turns: &[
            Turn {
                step: "namespace labelled",
                streams: &[only(VISITOR, Wanted::Allowed)],
            },
            Turn {
                step: "namespace label changed back",
                streams: &[only(VISITOR, Wanted::Denied)],
            },
        ],
        after: Some("policy deleted"),
    },
    Kind {
        before: None,
        turns: &[Turn {
            step: "pod created",
            streams: &[
                ("shop/friend", "shop/late", Wanted::Allowed),
                ("shop/stranger", "shop/late", Wanted::Denied),
            ],
        }],
        after: None,
    },
];

/// Times changes.
pub(super) struct Clock<'a> {
    story: &'a Story,
    sim: &'a mut Sim,
    rounds: u32,
    every: Duration,
}

impl<'a> Clock<'a> {
    pub(super) fn new(story: &'a Story, sim: &'a mut Sim, settings: &Settings) -> Self {
        Self {
            story,
            sim,
            rounds: settings.rounds,
            every: settings.every,
        }
    }

    /// Times every change as often as there are rounds.
    pub(super) fn all(&mut self, watch: &mut dyn FnMut(&str)) -> Result<Vec<Transition>, Failure> {
        let mut transitions = Vec::new();
        for kind in KINDS {
            if let Some(step) = kind.before {
                self.story.change(self.sim, step)?;
            }
            transitions.extend(self.kind(kind, watch)?);
            if let Some(step) = kind.after {
                self.story.change(self.sim, step)?;
            }
        }
        Ok(transitions)
    }

    fn kind(
        &mut self,
        kind: &Kind,
        watch: &mut dyn FnMut(&str),
    ) -> Result<Vec<Transition>, Failure> {
        let streams = kind.turns[0].streams.iter();
        let streams = streams.map(|(from, to, wanted)| (self.story.cell(from, to), *wanted));
        let mut streams = Streams::start(self.sim, streams.collect(), self.every)?;
        let mut transitions: Vec<_> = kind.turns.iter().map(transition).collect();
        for round in 1..=self.rounds {
            for (turn, transition) in kind.turns.iter().zip(&mut transitions) {
                watch(&format!("{} ({round} of {})", turn.step, self.rounds));
                self.turn(turn, &mut streams, transition)?;
            }
        }
        Ok(transitions)
    }

    /// Makes one change and times it.
    fn turn(
        &mut self,
        turn: &Turn,
        streams: &mut Streams,
        transition: &mut Transition,
    ) -> Result<(), Failure> {
        // What was begun before is not of interest.
        streams.tallies()?;
        self.story.change(self.sim, turn.step)?;
        let told = self.sim.told().expect("the change was told");
        let mut last: Vec<Option<Instant>> = vec![None; turn.streams.len()];
        loop {
            // New connections are begun meanwhile.
            process::short_pause();
            let tallies = streams.tallies()?;
            let mut is_over = true;
            for ((tally, (.., wanted)), last) in tallies.iter().zip(turn.streams).zip(&mut last) {
                *last = last_wrong(tally, *wanted).max(*last);
                is_over &= wrong(tally, *wanted) == 0 && tally.connections() > 0;
            }
            if is_over {
                break;
            }
            if told.elapsed() > MOST {
                return Err(Failure::NoEffect {
                    change: turn.step.to_owned(),
                    patience: MOST,
                });
            }
        }
        for ((.., wanted), last) in turn.streams.iter().zip(last) {
            let delay = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(told));
            let delays = match wanted {
                Wanted::Allowed => &mut transition.wrongly_denied,
                Wanted::Denied => &mut transition.wrongly_allowed,
            };
            delays.get_or_insert_default().add(delay);
        }
        Ok(())
    }
}

fn transition(turn: &Turn) -> Transition {
    Transition {
        change: turn.step.to_owned(),
        wrongly_allowed: None::<Delays>,
        wrongly_denied: None,
    }
}
