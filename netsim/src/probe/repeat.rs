//! When to say it again.
//!
//! Nothing on the simulated wire loses packets, but queues have ends: thousands of probes at once
//! overflow the receive buffer of a server, which only root may make as long as it wants. TCP repeats
//! by itself (after a second, and its queues are longer); the others say it three times.

use tokio::time::Instant;

/// How often it is said.
const TIMES: u32 = 3;

/// Until when to wait for an answer, each time; the last is the deadline.
#[derive(Debug)]
pub(super) struct Repeats {
    started: Instant,
    deadline: Instant,
    said: u32,
}

impl Repeats {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            started: Instant::now(),
            deadline,
            said: 0,
        }
    }
}

impl Iterator for Repeats {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        if self.said == TIMES {
            return None;
        }
        self.said += 1;
        let whole = self.deadline.saturating_duration_since(self.started);
        Some(self.started + whole * self.said / TIMES)
    }
}
