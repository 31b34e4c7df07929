//! What an agent has been told and has not taken in yet, with a bell that wakes it.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    mem,
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, MutexGuard},
};

use super::node::NodeEnforcer;
use crate::{cluster::Event, nft::Dataplane};

/// Asked of what an agent knows, on its thread.
pub(super) type Question = Box<dyn FnOnce(&NodeEnforcer<Box<dyn Dataplane>>) + Send>;

/// What was told since the agent looked last.
#[derive(Default)]
pub(super) struct Post {
    pub(super) events: Vec<Event>,
    /// To be answered after the events.
    pub(super) questions: Vec<Question>,
    /// How often something was told so far.
    pub(super) sent: u64,
    /// Everything that exists has been told.
    pub(super) is_synced: bool,
    pub(super) is_ending: bool,
}

/// Told from any thread, emptied by the agent's.
pub(super) struct Mailbox {
    inside: Mutex<Inside>,
    rope: PipeWriter,
}

#[derive(Default)]
struct Inside {
    post: Post,
    /// Whether the bell has rung since the agent looked: once is enough, so that ringing never
    /// waits.
    has_rung: bool,
}

/// Can be polled; readable when there is post.
#[derive(Debug)]
pub(super) struct Bell(PipeReader);

impl Mailbox {
    pub(super) fn new() -> io::Result<(Self, Bell)> {
        let (bell, rope) = io::pipe()?;
        let mailbox = Self {
            inside: Mutex::default(),
            rope,
        };
        Ok((mailbox, Bell(bell)))
    }

    /// Tells something, and says how often something was told so far.
    pub(super) fn tell(&self, what: impl FnOnce(&mut Post)) -> u64 {
        let mut inside = self.inside();
        inside.post.sent += 1;
        what(&mut inside.post);
        if !inside.has_rung {
            // One byte always has room. Without a reader there is nobody left to wake.
            inside.has_rung = (&self.rope).write_all(&[1]).is_ok();
        }
        inside.post.sent
    }

    /// Empties the mailbox; the bell has to have been heard.
    pub(super) fn take(&self) -> Post {
        let mut inside = self.inside();
        inside.has_rung = false;
        Post {
            events: mem::take(&mut inside.post.events),
            questions: mem::take(&mut inside.post.questions),
            ..inside.post
        }
    }

    /// How often something was told so far.
    pub(super) fn sent(&self) -> u64 {
        self.inside().post.sent
    }

    /// Whether there is post.
    pub(super) fn has_rung(&self) -> bool {
        self.inside().has_rung
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside
            .lock()
            .expect("nothing in here panics while it holds the lock")
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Bell {
    /// Makes it silent again. It has to have rung.
    pub(super) fn hear(&mut self) -> io::Result<()> {
        self.0.read_exact(&mut [0])
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
