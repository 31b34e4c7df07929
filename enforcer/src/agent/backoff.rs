//! How long to wait before doing again what did not last.

use std::time::{Duration, Instant};

/// Waits that double from try to try.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// The first wait is `first`, none is longer than `longest`.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// When to try again.
    pub(super) fn after(&mut self, now: Instant) -> Instant {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        now + wait
    }

    /// It has lasted.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut wait = || backoff.after(now).duration_since(now).as_millis();
        assert_eq!([(); 6].map(|()| wait()), [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.after(now).duration_since(now).as_millis(), 100);
    }
}
