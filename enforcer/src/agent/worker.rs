//! The thread of an agent.
//!
//! It sleeps until it is told something, somebody changes the table, or it is time to try again.
//! Then it takes in all there is and commits once.

use std::{
    io,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tracing::{error, info, warn};

use super::{
    Board,
    backoff::Backoff,
    mailbox::{Bell, Mailbox},
    node::{CommitError, NodeEnforcer},
    status::{Attempt, Drift, Status},
};
use crate::nft::{Dataplane, Look, Watch, following};

/// The longest time from an event to the commit of it, while more events keep coming.
const GATHERING: Duration = Duration::from_millis(50);
/// Between two tries of a transaction that was refused: the first and the longest wait.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The same between two repairs, if somebody keeps changing the table.
const REPAIR: (Duration, Duration) = RETRY;
/// A repair that lasted this long has lasted: the next one needs no wait.
const CALM: Duration = Duration::from_secs(10);
/// The longest sleep.
const SLEEP: Duration = Duration::from_secs(60);
/// Changes by others that are told one by one.
const TOLD: usize = 5;

/// What the thread of an agent owns.
pub(super) struct Worker {
    enforcer: NodeEnforcer<Box<dyn Dataplane>>,
    /// Nothing once it has failed.
    watch: Option<Box<dyn Watch>>,
    bell: Bell,
    mailbox: Arc<Mailbox>,
    board: Arc<Board>,
    committed: Box<dyn FnMut(Attempt) + Send>,
    status: Status,
    /// How much of what was told has been taken in.
    taken: u64,
    /// No commit before.
    not_before: Instant,
    retry: Backoff,
    repair: Backoff,
    repaired: Option<Instant>,
}

/// A commit of our own, for telling its notices from others.
struct Own {
    generation_before: Option<u32>,
    transactions: u32,
    /// Whether it has replaced the whole table, whatever others had done to it before.
    has_replaced: bool,
}

/// Whether a thread goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Worker {
    pub(super) fn new(
        enforcer: NodeEnforcer<Box<dyn Dataplane>>,
        watch: Box<dyn Watch>,
        bell: Bell,
        mailbox: Arc<Mailbox>,
        board: Arc<Board>,
        committed: Box<dyn FnMut(Attempt) + Send>,
    ) -> Self {
        Self {
            enforcer,
            watch: Some(watch),
            bell,
            mailbox,
            board,
            committed,
            status: Status::default(),
            taken: 0,
            not_before: Instant::now(),
            retry: Backoff::new(RETRY.0, RETRY.1),
            repair: Backoff::new(REPAIR.0, REPAIR.1),
            repaired: None,
        }
    }

    /// Until the agent is dropped.
    pub(super) fn run(mut self) {
        let _ended = Ended(Arc::clone(&self.board));
        loop {
            let went = self.sleep().and_then(|()| self.gather());
            match went {
                Ok(Next::GoOn) => {}
                Ok(Next::End) => return,
                Err(error) => {
                    error!(node = %self.enforcer.node(), %error, "the agent cannot go on");
                    return;
                }
            }
            self.look(None);
            if self.is_due() && Instant::now() >= self.not_before {
                self.commit();
            }
            self.show();
        }
    }

    /// Whether there is something to commit.
    fn is_due(&self) -> bool {
        self.status.is_synced && self.enforcer.needs_commit()
    }

    /// Until there is something to do.
    fn sleep(&self) -> io::Result<()> {
        let until = if self.is_due() {
            self.not_before
                .saturating_duration_since(Instant::now())
                .min(SLEEP)
        } else {
            SLEEP
        };
        // Waking up a little early would mean sleeping again for nothing.
        let timeout = PollTimeout::try_from(until.as_millis() + 1)
            .expect("a sleep is far shorter than what poll takes");
        let mut wakers = vec![PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        if let Some(watch) = &self.watch {
            wakers.push(PollFd::new(watch.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut wakers, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in everything that was told, and what is being told meanwhile.
    fn gather(&mut self) -> io::Result<Next> {
        let begun = Instant::now();
        while self.mailbox.has_rung() && begun.elapsed() < GATHERING {
            self.bell.hear()?;
            let post = self.mailbox.take();
            if post.is_ending {
                return Ok(Next::End);
            }
            for event in post.events {
                self.enforcer.handle(event);
            }
            for question in post.questions {
                question(&self.enforcer);
            }
            self.status.is_synced |= post.is_synced;
            self.taken = post.sent;
        }
        Ok(Next::GoOn)
    }

    /// Looks whether others have changed the table, before or after a commit of our own.
    fn look(&mut self, own: Option<&Own>) {
        let Some(watch) = &mut self.watch else { return };
        let dataplane = self.enforcer.dataplane();
        let looked = watch.look(&|port| dataplane.is_sender(port));
        let mut look = match looked {
            Ok(look) => look,
            Err(error) => {
                warn!(node = %self.enforcer.node(), %error, "changes by others go unnoticed");
                self.status.blind = Some(error.to_string());
                self.watch = None;
                return;
            }
        };
        if let Some(own) = own {
            if look.is_incomplete
                && let Some(before) = own.generation_before
            {
                let step = |generation, _| following(generation);
                let expected = (0..own.transactions).fold(before, step);
                // If nobody else has committed anything, lost notices were all about us.
                look.is_incomplete = watch.generation().ok() != Some(expected);
            }
            if own.has_replaced {
                look.earlier.clear();
            }
        }
        look.changes.append(&mut look.earlier);
        if look.is_harmless() {
            self.status.note_culprits(look.culprits);
        } else {
            self.note_drift(look);
        }
    }

    fn note_drift(&mut self, look: Look) {
        let drift = drift(look);
        warn!(
            node = %self.enforcer.node(),
            changes = %drift.changes.join(", "),
            by = %drift.culprits.join(", "),
            "somebody else changed our table"
        );
        let is_known = self.enforcer.is_in_doubt();
        self.enforcer.doubt();
        self.status.note_drift(drift);
        if is_known {
            return;
        }
        let now = Instant::now();
        if self.repaired.is_some_and(|at| now - at < CALM) {
            self.not_before = self.not_before.max(self.repair.after(now));
        } else {
            self.repair.reset();
        }
    }

    fn commit(&mut self) {
        let watch = self.watch.as_mut();
        let generation_before = watch.and_then(|watch| watch.generation().ok());
        let replaces = self.enforcer.is_in_doubt() || self.enforcer.plan().node().is_none();
        let begun = Instant::now();
        let committed = self.enforcer.commit();
        (self.committed)(Attempt {
            is_full: replaces,
            is_done: committed.is_ok(),
            took: begun.elapsed(),
        });
        let own = Own {
            generation_before,
            transactions: committed.as_ref().map_or(0, |commit| commit.transactions),
            has_replaced: replaces && committed.is_ok(),
        };
        match committed {
            Ok(commit) => {
                self.status.commits += u64::from(commit.transactions);
                self.status.operations += u64::try_from(commit.operations).unwrap_or(u64::MAX);
                self.status.failure = None;
                self.retry.reset();
                if let Some(drift) = self.status.note_repair() {
                    let changes = drift.changes.join(", ");
                    info!(node = %self.enforcer.node(), %changes, "repaired our table");
                    self.repaired = Some(Instant::now());
                }
            }
            Err(error) => self.note_failure(&error),
        }
        self.look(Some(&own));
    }

    fn note_failure(&mut self, error: &CommitError) {
        let mut text = format!("failed to {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        self.status.note_failure(&text);
        self.not_before = self.not_before.max(self.retry.after(Instant::now()));
    }

    /// Shows everybody else how it stands.
    fn show(&mut self) {
        let is_settled = self.status.is_synced && !self.enforcer.needs_commit();
        self.status.is_settled = is_settled;
        self.status.revoked = self.enforcer.plan().revoked().len();
        if self.status.broken_policies != *self.enforcer.broken() {
            self.status.broken_policies = self.enforcer.broken().clone();
        }
        let mut shown = self.board.shown();
        if shown.status != self.status {
            shown.status = self.status.clone();
        }
        if !Arc::ptr_eq(&shown.plan, self.enforcer.plan()) {
            shown.plan = Arc::clone(self.enforcer.plan());
        }
        if is_settled {
            shown.settled = self.taken;
            self.board.changed.notify_all();
        }
    }
}

/// What was noticed, in words, the few most telling ones in full.
fn drift(look: Look) -> Drift {
    let is_deleted = |change: &&crate::nft::TableChange| change.is_deleted_table();
    let mut changes: Vec<_> = match look.changes.iter().find(is_deleted) {
        Some(table) => vec![table.to_string()],
        None => look.changes.iter().map(ToString::to_string).collect(),
    };
    if let more @ 1.. = changes.len().saturating_sub(TOLD) {
        changes.truncate(TOLD);
        changes.push(format!("{more} more"));
    }
    if look.is_incomplete {
        changes.push("notices lost: anything may have changed".to_owned());
    }
    Drift {
        noticed: SystemTime::now(),
        changes,
        culprits: look.culprits.into_iter().collect(),
        repaired: None,
    }
}

/// Whoever waits for the thread must not wait longer than it lives.
struct Ended(Arc<Board>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(mut shown) = self.0.shown.lock() {
            shown.status.has_ended = true;
        }
        self.0.changed.notify_all();
    }
}
