//! How long probes wait, and when they say it again.
//!
//! The deadline counts from when the last probe was sent, and it is not over before the servers have
//! answered everything that has reached them: a machine that is busy is slow, which is not the same
//! as silent.
//!
//! Nothing on the simulated wire loses packets, but queues have ends: thousands of probes at once
//! overflow the receive buffer of a server, which only root may make as long as it wants. TCP repeats
//! by itself (after a second, and its queues are longer); the others say it three times.

use std::{convert::Infallible, time::Duration};

use tokio::{
    select,
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::listen::Work;

/// How often it is said when thousands speak at once.
pub(super) const TIMES: u32 = 3;

/// For the sender to see what the servers have just sent.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// The end of waiting, for whoever decides on it.
#[derive(Debug)]
pub(super) struct Deadline {
    whole: Duration,
    /// Closed when every probe has been sent.
    sending: mpsc::Receiver<Infallible>,
    /// Dropped when it is over.
    stop: watch::Sender<()>,
}

/// The patience of one probe, or of the probes of one socket.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    whole: Duration,
    started: Instant,
    times: u32,
    said: u32,
    unsaid: u32,
    sending: Option<mpsc::Sender<Infallible>>,
    over: watch::Receiver<()>,
}

/// A deadline, and the patience of which every probe gets a clone, to say it so many times. The
/// original must be dropped.
pub(super) fn deadline(whole: Duration, times: u32) -> (Deadline, Patience) {
    let (sender, sending) = mpsc::channel(1);
    let (stop, over) = watch::channel(());
    let deadline = Deadline {
        whole,
        sending,
        stop,
    };
    let patience = Patience {
        whole,
        started: Instant::now(),
        times,
        said: 0,
        unsaid: 0,
        sending: Some(sender),
        over,
    };
    (deadline, patience)
}

impl Deadline {
    /// Ends the waiting when the time has come.
    pub(super) async fn run(mut self, servers: &Work) {
        // Nothing is ever sent here: this ends when the last sender is dropped.
        let _closed = self.sending.recv().await;
        sleep(self.whole).await;
        servers.catch_up().await;
        sleep(LAST_LOOK).await;
        drop(self.stop);
    }
}

impl Patience {
    /// To be called when the first packet is out.
    pub(super) fn sent(&mut self) {
        drop(self.sending.take());
    }

    /// Waits for an answer until the deadline. `None`: silence.
    pub(super) async fn wait<T>(&mut self, answer: impl Future<Output = T>) -> Option<T> {
        select! {
            biased;
            answer = answer => Some(answer),
            _ = self.over.changed() => None,
        }
    }

    /// Whether to say it, for the first time or again.
    pub(super) fn repeat(&mut self) -> bool {
        if self.said == 0 {
            self.started = Instant::now();
        }
        let more = self.said < self.times && self.over.has_changed().is_ok();
        self.said += 1;
        more
    }

    /// What was said could not be delivered for a reason that is gone: it does not count. Not for ever.
    pub(super) fn unsay(&mut self) {
        const MOST: u32 = 5;
        if self.unsaid < MOST {
            self.unsaid += 1;
            self.said -= 1;
        }
    }

    /// Waits for an answer until it is time to say it again; the last time until the deadline.
    pub(super) async fn wait_a_while<T>(&mut self, answer: impl Future<Output = T>) -> Option<T> {
        if self.said >= self.times {
            return self.wait(answer).await;
        }
        let again = sleep_until(self.started + self.whole * self.said / self.times);
        select! {
            biased;
            answer = answer => Some(answer),
            _ = self.over.changed() => None,
            () = again => None,
        }
    }
}
