//! What is said between the two ends of a session.
//!
//! Times are microseconds: instants mean nothing on another machine, so a moment is said as how long
//! ago it was.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    place::Place,
    probe::{Answer, Outcome, Probe},
    topology::Protocol,
    traffic::{Count, Tally},
};

/// A question and its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by who asks.
    pub id: u64,
    /// The question.
    pub ask: Ask,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// What can be probed from here: [`Said::Able`].
    Able,
    /// Probes, all at once against one deadline: [`Said::Answers`].
    Probe {
        /// Answered in this order.
        calls: Vec<Call>,
        /// After the last was sent.
        deadline_us: u64,
    },
    /// Begins every call anew every so often, in the background: [`Said::Done`], perhaps before the
    /// first is begun.
    StartTraffic {
        /// Its name.
        traffic: u64,
        /// What to call.
        calls: Vec<Call>,
        /// How often.
        every_us: u64,
        /// After which time silence is a denial.
        patience_us: u64,
    },
    /// What became of background traffic that was begun since the last time: [`Said::Tallies`].
    TakeTraffic {
        /// Its name.
        traffic: u64,
    },
    /// Ends background traffic: [`Said::Done`].
    StopTraffic {
        /// Its name.
        traffic: u64,
    },
    /// Opens a connection that stays: [`Said::Answers`] with one.
    OpenFlow {
        /// Its name.
        flow: u64,
        /// The connection.
        call: Call,
        /// After which time silence is a denial.
        deadline_us: u64,
    },
    /// Sends something there and back again: [`Said::Exchanged`].
    Exchange {
        /// The connection.
        flow: u64,
        /// After which time silence is a denial.
        deadline_us: u64,
    },
    /// Closes a connection: [`Said::Done`].
    CloseFlow {
        /// The connection.
        flow: u64,
    },
}

/// A connection to try: a [`Probe`] from wherever the session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Whom.
    pub to: IpAddr,
    /// 0 for ICMP.
    #[serde(default)]
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// As [`Probe::source_port`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// As [`Probe::payload`].
    #[serde(default)]
    pub payload: usize,
}

impl Call {
    /// The same from a place.
    pub(super) fn probe(&self, from: Place) -> Probe {
        Probe {
            source_port: self.source_port,
            payload: self.payload,
            ..Probe::new(from, self.to, self.port, self.protocol)
        }
    }
}

/// An answer, and the number of its question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// As it was asked.
    pub id: u64,
    /// The answer.
    pub said: Said,
}

/// What can be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It was done.
    Done,
    /// It could not be done. Reads after "failed to".
    Failed(String),
    /// What can be probed from here.
    Able(Able),
    /// What became of probes, in the order of the calls.
    Answers(Vec<Heard>),
    /// What became of an exchange.
    Exchanged(Outcome),
    /// What became of background traffic, in the order of the calls.
    Tallies(Vec<TallyHeard>),
}

/// What can be probed from a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Able {
    /// Why there is no ICMP, if there is none.
    pub no_icmp: Option<String>,
    /// Why there is no SCTP, if there is none.
    pub no_sctp: Option<String>,
    /// The version of the program.
    pub version: String,
}

/// An [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The gist.
    pub outcome: Outcome,
    /// The source that the server saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_seen: Option<SocketAddr>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_by: Option<String>,
    /// How many bytes arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<usize>,
    /// From the first packet to the answer.
    pub latency_us: u64,
}

/// A [`Tally`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyHeard {
    /// One entry for each outcome there was.
    pub counts: Vec<CountHeard>,
    /// Attempts that say nothing.
    pub undecided: usize,
}

/// A [`Count`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountHeard {
    /// How many; at least one.
    pub attempts: usize,
    /// How long ago the first was begun.
    pub first_us_ago: u64,
    /// How long ago the last was begun.
    pub last_us_ago: u64,
    /// What the first saw.
    pub example: Heard,
}

impl From<Answer> for Heard {
    fn from(answer: Answer) -> Self {
        Self {
            outcome: answer.outcome,
            source_seen: answer.source_seen,
            served_by: answer.served_by,
            received: answer.received,
            latency_us: micros(answer.latency),
        }
    }
}

impl From<Heard> for Answer {
    fn from(heard: Heard) -> Self {
        Self {
            outcome: heard.outcome,
            source_seen: heard.source_seen,
            served_by: heard.served_by,
            received: heard.received,
            latency: Duration::from_micros(heard.latency_us),
        }
    }
}

impl TallyHeard {
    /// As of now.
    #[must_use]
    pub fn of(tally: Tally, now: Instant) -> Self {
        let ago = |moment| micros(now.saturating_duration_since(moment));
        let counts = tally.counts.into_values().map(|count| CountHeard {
            attempts: count.attempts,
            first_us_ago: ago(count.first),
            last_us_ago: ago(count.last),
            example: count.example.into(),
        });
        Self {
            counts: counts.collect(),
            undecided: tally.undecided,
        }
    }

    /// The same by another clock, on which it is `now`.
    #[must_use]
    pub fn at(self, now: Instant) -> Tally {
        let before = |ago| now.checked_sub(Duration::from_micros(ago)).unwrap_or(now);
        let counts = self.counts.into_iter().map(|count| {
            let example = Answer::from(count.example);
            let same = Count {
                attempts: count.attempts,
                first: before(count.first_us_ago),
                last: before(count.last_us_ago),
                example,
            };
            (same.example.outcome, same)
        });
        Tally {
            counts: counts.collect(),
            undecided: self.undecided,
        }
    }
}

/// Microseconds; all there are if there are more.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_would_type_is_understood() {
        let line = r#"{"id": 1, "ask": {"probe": {"deadline_us": 250000,
            "calls": [{"to": "fd00::1", "port": 80, "protocol": "tcp"}]}}}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        let Ask::Probe { calls, deadline_us } = request.ask else {
            panic!("{request:?}");
        };
        assert_eq!(deadline_us, 250_000);
        assert_eq!((calls[0].source_port, calls[0].payload), (None, 0));
    }

    #[test]
    fn unknown_words_are_refused() {
        for line in [
            r#"{"id": 1, "ask": "fly"}"#,
            r#"{"id": 1, "ask": {"probe": {"deadline_us": 1, "calls": [], "more": 1}}}"#,
            r#"{"ask": "able"}"#,
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_answer_and_a_tally_come_over_as_they_were() {
        let answer = Answer {
            outcome: Outcome::Allowed,
            source_seen: Some("10.0.0.1:4000".parse().unwrap()),
            served_by: Some("shop/web".into()),
            received: Some(7),
            latency: Duration::from_micros(300),
        };
        let now = Instant::now();
        let tally = Tally {
            counts: [(
                Outcome::Allowed,
                Count {
                    attempts: 3,
                    first: now - Duration::from_millis(20),
                    last: now - Duration::from_millis(10),
                    example: answer,
                },
            )]
            .into(),
            undecided: 1,
        };
        let said = Said::Tallies(vec![TallyHeard::of(tally.clone(), now)]);
        let line = serde_json::to_string(&said).unwrap();
        let Said::Tallies(heard) = serde_json::from_str(&line).unwrap() else {
            panic!("{line}");
        };
        assert_eq!(heard[0].clone().at(now), tally);
    }
}
