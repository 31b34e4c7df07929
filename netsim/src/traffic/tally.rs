//! What became of connections, counted.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::TrafficError;
use crate::probe::{Answer, Outcome, ProbeError};

/// What became of the attempts of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// One entry for each outcome there was.
    pub counts: BTreeMap<Outcome, Count>,
    /// Attempts that say nothing: this machine was so busy that their answer may be one to a packet
    /// that TCP has repeated.
    pub undecided: usize,
}

/// The attempts of one outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// How many; at least one.
    pub attempts: usize,
    /// When the first of them was begun.
    pub first: Instant,
    /// When the last of them was begun.
    pub last: Instant,
    /// What the first of them saw.
    pub example: Answer,
}

impl Tally {
    /// How many came out so.
    #[must_use]
    pub fn attempts(&self, outcome: Outcome) -> usize {
        self.counts.get(&outcome).map_or(0, |count| count.attempts)
    }

    fn add(&mut self, begun: Instant, answer: Answer) {
        let count = self.counts.entry(answer.outcome).or_insert_with(|| Count {
            attempts: 0,
            first: begun,
            last: begun,
            example: answer,
        });
        count.attempts += 1;
        count.first = count.first.min(begun);
        count.last = count.last.max(begun);
    }

    fn absorb(&mut self, other: Self) {
        self.undecided += other.undecided;
        for (outcome, new) in other.counts {
            match self.counts.get_mut(&outcome) {
                None => {
                    self.counts.insert(outcome, new);
                }
                Some(count) => {
                    count.attempts += new.attempts;
                    count.first = count.first.min(new.first);
                    count.last = count.last.max(new.last);
                }
            }
        }
    }
}

/// Where attempts are entered when they are made, when they begin and when they end.
///
/// Time is cut into generations by those who ask: an attempt belongs to the one in which it was made
/// and began, however late its answer comes. One that was made in another is none: its source may
/// be gone since.
#[derive(Debug)]
pub(super) struct Ledger {
    probes: usize,
    book: Mutex<Book>,
    /// Something was entered that somebody may wait for.
    entered: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    generation: u64,
    generations: BTreeMap<u64, Generation>,
    error: Option<ProbeError>,
}

#[derive(Debug, Default)]
struct Generation {
    /// Attempts that have no answer yet.
    open: usize,
    /// One per probe.
    tallies: Vec<Tally>,
}

/// An attempt that is being made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    generation: u64,
    probe: usize,
}

/// An attempt that has begun.
#[derive(Debug)]
pub(super) struct Ticket {
    entry: Entry,
    begun: Instant,
}

impl Ledger {
    /// For so many probes.
    pub(super) fn new(probes: usize) -> Self {
        Self {
            probes,
            book: Mutex::default(),
            entered: Condvar::new(),
        }
    }

    /// An attempt of the probe with this number is being made.
    pub(super) fn enter(&self, probe: usize) -> Entry {
        Entry {
            generation: self.book().generation,
            probe,
        }
    }

    /// It begins now; `None`: too late.
    pub(super) fn begin(&self, entry: Entry) -> Option<Ticket> {
        let mut book = self.book();
        if entry.generation != book.generation {
            return None;
        }
        self.generation(&mut book, entry.generation).open += 1;
        Some(Ticket {
            entry,
            begun: Instant::now(),
        })
    }

    /// It has ended; `None`: undecided.
    pub(super) fn end(&self, ticket: &Ticket, answer: Option<Answer>) {
        let mut book = self.book();
        let generation = self.generation(&mut book, ticket.entry.generation);
        generation.open -= 1;
        let tally = &mut generation.tallies[ticket.entry.probe];
        match answer {
            Some(answer) => tally.add(ticket.begun, answer),
            None => tally.undecided += 1,
        }
        if generation.open == 0 {
            self.entered.notify_all();
        }
    }

    /// Attempts cannot be made any more. Only the first reason is kept.
    pub(super) fn fail(&self, error: ProbeError) {
        self.book().error.get_or_insert(error);
        self.entered.notify_all();
    }

    /// All that were begun since the last time, once they have ended.
    pub(super) fn take(&self, patience: Duration) -> Result<Vec<Tally>, TrafficError> {
        let mut book = self.book();
        let last = book.generation;
        book.generation += 1;
        let is_open = |book: &mut Book| {
            let mut asked = book.generations.range(..=last);
            book.error.is_none() && asked.any(|(_, generation)| generation.open > 0)
        };
        let (mut book, waited) = self
            .entered
            .wait_timeout_while(book, patience, is_open)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = book.error.take() {
            return Err(error.into());
        }
        if waited.timed_out() {
            return Err(TrafficError::Stuck(patience));
        }
        let later = book.generations.split_off(&(last + 1));
        let asked = std::mem::replace(&mut book.generations, later);
        drop(book);
        let mut tallies = vec![Tally::default(); self.probes];
        for generation in asked.into_values() {
            for (tally, new) in tallies.iter_mut().zip(generation.tallies) {
                tally.absorb(new);
            }
        }
        Ok(tallies)
    }

    fn generation<'b>(&self, book: &'b mut Book, number: u64) -> &'b mut Generation {
        let new = || Generation {
            open: 0,
            tallies: vec![Tally::default(); self.probes],
        };
        book.generations.entry(number).or_insert_with(new)
    }

    /// A panic elsewhere leaves nothing half-done behind this lock.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn answer(outcome: Outcome) -> Answer {
        Answer {
            outcome,
            ..Answer::denied(Duration::ZERO)
        }
    }

    fn counts(tally: &Tally) -> Vec<(Outcome, usize)> {
        let counts = tally.counts.iter();
        counts
            .map(|(outcome, count)| (*outcome, count.attempts))
            .collect()
    }

    fn begin(ledger: &Ledger, probe: usize) -> Ticket {
        ledger.begin(ledger.enter(probe)).unwrap()
    }

    #[test]
    fn an_attempt_that_was_made_before_somebody_asked_is_none() {
        let ledger = Ledger::new(1);
        let entry = ledger.enter(0);
        ledger.take(LONG).unwrap();
        assert!(ledger.begin(entry).is_none());
    }

    #[test]
    fn an_attempt_counts_when_it_was_begun() {
        let ledger = Ledger::new(2);
        let early = begin(&ledger, 1);
        thread::scope(|scope| {
            let asked = scope.spawn(|| ledger.take(LONG).unwrap());
            // The second attempt begins after the question, whichever thread comes first.
            while ledger.book().generation == 0 {
                thread::yield_now();
            }
            let late = begin(&ledger, 1);
            ledger.end(&late, Some(answer(Outcome::Allowed)));
            ledger.end(&early, Some(answer(Outcome::Denied)));
            let first = asked.join().unwrap();
            assert_eq!(counts(&first[0]), []);
            assert_eq!(counts(&first[1]), [(Outcome::Denied, 1)]);
        });
        let second = ledger.take(LONG).unwrap();
        assert_eq!(counts(&second[1]), [(Outcome::Allowed, 1)]);
        assert_eq!(counts(&ledger.take(LONG).unwrap()[1]), []);
    }

    #[test]
    fn what_does_not_end_is_an_error_and_counts_later() {
        let ledger = Ledger::new(1);
        let ticket = begin(&ledger, 0);
        let error = ledger.take(Duration::from_millis(1)).unwrap_err();
        assert!(matches!(error, TrafficError::Stuck(_)), "{error:?}");
        ledger.end(&ticket, Some(answer(Outcome::Refused)));
        let tallies = ledger.take(LONG).unwrap();
        assert_eq!(counts(&tallies[0]), [(Outcome::Refused, 1)]);
    }

    #[test]
    fn the_first_and_the_last_of_an_outcome_are_kept() {
        let ledger = Ledger::new(1);
        let tickets: Vec<_> = (0..5).map(|_| begin(&ledger, 0)).collect();
        let begun: Vec<_> = tickets.iter().map(|ticket| ticket.begun).collect();
        for (index, ticket) in tickets.iter().enumerate().rev() {
            let answer = match index {
                0 => Some(answer(Outcome::Denied)),
                4 => None,
                _ => Some(answer(Outcome::Allowed)),
            };
            ledger.end(ticket, answer);
        }
        let tally = ledger.take(LONG).unwrap().remove(0);
        assert_eq!(tally.undecided, 1);
        let allowed = &tally.counts[&Outcome::Allowed];
        assert_eq!(allowed.attempts, 3);
        assert_eq!((allowed.first, allowed.last), (begun[1], begun[3]));
    }
}
