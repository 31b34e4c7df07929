//! A kernel that only remembers, refuses when it is told to, and tells of changes that never were.

use std::{
    collections::VecDeque,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use enforcer::{
    agent::Kernel,
    conntrack::{Connections, Entry},
    nft::{ApplyError, Dataplane, Look, Part, TableChange, Transaction, Watch},
};

/// A dataplane; clones remember together.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    transactions: Vec<Transaction>,
    /// Applied or not.
    attempts: usize,
    refusals: usize,
    refusal: Option<fn() -> ApplyError>,
    is_closed: bool,
    /// Whether somebody changes the table whenever it was written.
    has_rival: bool,
    loses_own_notices: bool,
    looks: VecDeque<Look>,
    generation: u32,
    live: Vec<Entry>,
    listings: usize,
    hides_live: bool,
    bell: Option<PipeWriter>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .expect("no test panics while it holds the lock")
    }

    pub(crate) fn transactions(&self) -> Vec<Transaction> {
        self.state().transactions.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state().transactions.len()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.state().attempts
    }

    /// Refuses the next transactions.
    pub(crate) fn refuse(&self, next: usize) {
        self.refuse_as(next, || ApplyError::TooLong {
            total: 3,
            bytes: 2,
            limit: 1,
        });
    }

    pub(crate) fn refuse_as(&self, next: usize, error: fn() -> ApplyError) {
        let mut state = self.state();
        state.refusals = next;
        state.refusal = Some(error);
    }

    /// Lets transactions wait, until it is opened.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
    }

    pub(crate) fn open(&self) {
        self.state().is_closed = false;
        self.0.opened.notify_all();
    }

    /// From now on somebody changes the table whenever it was written.
    pub(crate) fn add_rival(&self) {
        self.state().has_rival = true;
    }

    /// From now on there is no room for the notices of what is written.
    pub(crate) fn lose_own_notices(&self) {
        self.state().loses_own_notices = true;
    }

    /// These connections are alive.
    pub(crate) fn set_live(&self, entries: Vec<Entry>) {
        self.state().live = entries;
    }

    /// How often the live connections were listed.
    pub(crate) fn listings(&self) -> usize {
        self.state().listings
    }

    /// Whether it cannot be told which connections are alive.
    pub(crate) fn hide_live(&self, hides: bool) {
        self.state().hides_live = hides;
    }

    /// Tells the watch something.
    pub(crate) fn tell(&self, look: Look) {
        self.state().tell(look);
    }

    /// Tells the watch that somebody changed the table.
    pub(crate) fn change(&self) {
        self.tell(change());
    }

    /// Lets nothing be noticed any more.
    pub(crate) fn blind(&self) {
        self.state().bell = None;
    }

    /// How many still have a part of it.
    pub(crate) fn owners(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(crate) fn kernel(&self) -> Kernel {
        let (bell, rope) = io::pipe().expect("there are descriptors");
        self.state().bell = Some(rope);
        Kernel {
            dataplane: Box::new(self.clone()),
            connections: Box::new(self.clone()),
            watch: Box::new(Ear {
                bell,
                memory: self.clone(),
            }),
        }
    }
}

impl State {
    fn tell(&mut self, look: Look) {
        self.looks.push_back(look);
        if let Some(bell) = &mut self.bell {
            bell.write_all(&[1]).expect("the pipe has room");
        }
    }
}

/// Somebody flushed a chain.
pub(crate) fn change() -> Look {
    Look {
        changes: [TableChange {
            part: Part::Rule,
            name: "forward".to_owned(),
            is_gone: true,
        }]
        .into(),
        culprits: ["nft".to_owned()].into(),
        ..Look::default()
    }
}

/// There was no room for a notice.
pub(crate) fn lost() -> Look {
    Look {
        is_incomplete: true,
        ..Look::default()
    }
}

impl Dataplane for Memory {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let state = self.state();
        let mut state = self
            .0
            .opened
            .wait_while(state, |state| state.is_closed)
            .expect("no test panics while it holds the lock");
        state.attempts += 1;
        if state.refusals > 0 {
            state.refusals -= 1;
            return Err(state.refusal.expect("refused by refuse_as")());
        }
        if transaction.is_empty() {
            return Ok(());
        }
        state.transactions.push(transaction.clone());
        state.generation += 1;
        if state.has_rival {
            state.tell(change());
        }
        if state.loses_own_notices {
            state.tell(lost());
        }
        Ok(())
    }

    fn is_sender(&self, _: u32) -> bool {
        false
    }
}

impl Connections for Memory {
    fn live(&mut self) -> io::Result<Vec<Entry>> {
        let mut state = self.state();
        state.listings += 1;
        if state.hides_live {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(state.live.clone())
    }
}

/// Hears what [`Memory::tell`] tells.
struct Ear {
    bell: PipeReader,
    memory: Memory,
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Watch for Ear {
    fn look(&mut self, _: &dyn Fn(u32) -> bool) -> io::Result<Look> {
        let mut state = self.memory.state();
        if state.bell.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut seen = Look::default();
        while let Some(look) = state.looks.pop_front() {
            self.bell.read_exact(&mut [0])?;
            seen.changes.extend(look.changes);
            seen.culprits.extend(look.culprits);
            seen.is_incomplete |= look.is_incomplete;
        }
        Ok(seen)
    }

    fn generation(&mut self) -> io::Result<u32> {
        Ok(self.memory.state().generation)
    }
}
