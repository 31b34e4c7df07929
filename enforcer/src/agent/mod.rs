//! One node's agent: events in, kernel state out.
//!
//! | module | what is in it |
//! |---|---|
//! | `node` | [`NodeEnforcer`]: the index, the compiler and the dataplane of one node, one step at a time |
//! | `worker` | the thread that runs it: gathers events, commits, tries again, repairs |
//! | `mailbox` | what the thread has been told and not taken in yet |
//! | `status` | what it says of itself |
//!
//! Start at [`Agent`]. What must never happen: rules that go away because the enforcer does
//! (dropping it touches nothing; only [`NodeEnforcer::remove`] does), a commit of a cluster that is
//! only half known, a refused transaction that nobody hears of.

mod backoff;
mod mailbox;
mod node;
mod status;
mod worker;

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use self::{mailbox::Mailbox, worker::Worker};
pub use self::{
    node::{Commit, CommitError, NodeEnforcer},
    status::{Attempt, Drift, Failure, Status},
};
use crate::{
    cluster::Event,
    conntrack::{Connections, Conntrack},
    nft::{Dataplane, Netlink, NetlinkWatch, Watch},
    options::Options,
    plan::Plan,
};

/// An agent's ways into and out of one network namespace's kernel.
pub struct Kernel {
    /// Where the rules go.
    pub dataplane: Box<dyn Dataplane>,
    /// Where the live connections are read.
    pub connections: Box<dyn Connections>,
    /// Who hears of changes that others make.
    pub watch: Box<dyn Watch>,
}

impl Kernel {
    /// Netlink sockets in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Whatever the kernel says; `EPERM` without `CAP_NET_ADMIN` in the namespace.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            dataplane: Box::new(Netlink::open()?),
            connections: Box::new(Conntrack::open()?),
            watch: Box::new(NetlinkWatch::open()?),
        })
    }
}

/// Keeps the rules of one node: a thread that is told events.
///
/// It commits nothing before [`Agent::synced`]: an agent that is started again leaves the rules of
/// the one before alone until it knows everything. Dropping it ends the thread at once, whatever has
/// not been taken in yet, and touches no rule.
#[derive(Debug)]
pub struct Agent {
    mailbox: Arc<Mailbox>,
    board: Arc<Board>,
    is_synced: AtomicBool,
    thread: Option<JoinHandle<()>>,
}

/// Why what an agent was told is not in the kernel. Reads after "failed to".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// It does not know everything yet.
    #[error("put rules into the kernel: the agent has not been told everything that exists yet")]
    NotSynced,
    /// It did not get there in time.
    #[error("put rules into the kernel within {} ms: {reason}", patience.as_millis())]
    Late {
        /// How long was waited.
        patience: Duration,
        /// What is in the way.
        reason: Arc<str>,
    },
    /// Its thread has ended, which only a defect can make it do.
    #[error("put rules into the kernel: the agent has ended")]
    Ended,
}

/// What an agent shows to everybody else.
#[derive(Debug, Default)]
struct Board {
    shown: Mutex<Shown>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Shown {
    status: Status,
    plan: Arc<Plan>,
    /// How much of what was told is in the kernel.
    settled: u64,
}

impl Board {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown
            .lock()
            .expect("nothing in here panics while it holds the lock")
    }
}

impl Agent {
    /// Starts an agent for `node`, whose kernel may still have the rules of an earlier one.
    ///
    /// # Errors
    /// `EMFILE` or `EAGAIN` if there is no descriptor or thread to be had.
    pub fn start(node: &str, options: Options, kernel: Kernel) -> io::Result<Self> {
        Self::start_timed(node, options, kernel, |_| {})
    }

    /// The same, and `committed` is told of every attempt to commit, on the agent's thread.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn start_timed(
        node: &str,
        options: Options,
        kernel: Kernel,
        committed: impl FnMut(Attempt) + Send + 'static,
    ) -> io::Result<Self> {
        let (mailbox, bell) = Mailbox::new()?;
        let mailbox = Arc::new(mailbox);
        let board = Arc::new(Board::default());
        let enforcer =
            NodeEnforcer::new(node, options, kernel.dataplane).with_connections(kernel.connections);
        let worker = Worker::new(
            enforcer,
            kernel.watch,
            bell,
            Arc::clone(&mailbox),
            Arc::clone(&board),
            Box::new(committed),
        );
        let thread = thread::Builder::new()
            .name(format!("agent {node}"))
            .spawn(move || worker.run())?;
        Ok(Self {
            mailbox,
            board,
            is_synced: AtomicBool::new(false),
            thread: Some(thread),
        })
    }

    /// Tells it an event, and returns at once. What is told while it is busy becomes one commit.
    pub fn send(&self, event: Event) {
        self.mailbox.tell(|post| post.events.push(event));
    }

    /// Tells it that it now knows everything that exists. From here on it commits.
    pub fn synced(&self) {
        self.is_synced.store(true, Ordering::Relaxed);
        self.mailbox.tell(|post| post.is_synced = true);
    }

    /// Waits until everything that was told so far is in the kernel, and until changes that others
    /// have made so far are repaired.
    ///
    /// # Errors
    /// See [`Unsettled`]. A refused transaction is tried again for as long as there is patience.
    pub fn settle(&self, patience: Duration) -> Result<(), Unsettled> {
        if !self.is_synced.load(Ordering::Relaxed) {
            return Err(Unsettled::NotSynced);
        }
        let told = self.mailbox.tell(|_| {});
        let (shown, _) = self
            .board
            .changed
            .wait_timeout_while(self.board.shown(), patience, |shown| {
                shown.settled < told && !shown.status.has_ended
            })
            .expect("nothing panics while it holds the lock");
        if shown.settled >= told {
            return Ok(());
        }
        if shown.status.has_ended {
            return Err(Unsettled::Ended);
        }
        let failure = shown.status.failure.as_ref();
        let reason = failure.map_or_else(|| "it is still busy".into(), |f| Arc::clone(&f.error));
        Err(Unsettled::Late { patience, reason })
    }

    /// Asks its thread about what it knows, after everything that was told so far has been taken in
    /// (not: committed). It does nothing else meanwhile.
    ///
    /// # Errors
    /// There was no answer in time.
    pub fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce(&NodeEnforcer<Box<dyn Dataplane>>) -> T + Send + 'static,
    ) -> Result<T, Unsettled> {
        let (answer, answered) = std::sync::mpsc::channel();
        self.mailbox.tell(|post| {
            post.questions.push(Box::new(move |enforcer| {
                // Who asked may have lost patience.
                let _ = answer.send(question(enforcer));
            }));
        });
        answered.recv_timeout(patience).map_err(|_| {
            if self.board.shown().status.has_ended {
                Unsettled::Ended
            } else {
                let reason = "it is still busy".into();
                Unsettled::Late { patience, reason }
            }
        })
    }

    /// Whether everything that was told so far is in the kernel, as far as is known without asking.
    pub fn has_settled(&self) -> bool {
        let sent = self.mailbox.sent();
        self.board.shown().settled >= sent
    }

    /// Ends the thread at once, as dropping does, and says what is in the kernel and stays there.
    pub fn end(&mut self) -> Arc<Plan> {
        self.end_thread();
        self.plan()
    }

    fn end_thread(&mut self) {
        self.mailbox.tell(|post| post.is_ending = true);
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been said where it happened.
            let _ = thread.join();
        }
    }

    /// What is in the kernel: what the last commit has put there.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.board.shown().plan)
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.board.shown().status.clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.end_thread();
    }
}
