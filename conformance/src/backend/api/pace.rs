//! How soon changes are in force.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Delays of the changes of a whole run.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Delays>);

#[derive(Debug, Default)]
struct Delays {
    kernel: Vec<Duration>,
    packet: Vec<Duration>,
}

impl Pace {
    fn delays(&self) -> MutexGuard<'_, Delays> {
        // Nothing here can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything was changed.
    pub fn has_any(&self) -> bool {
        !self.delays().kernel.is_empty()
    }

    /// From sending the first request of a change until the kernels of all nodes have it.
    pub(super) fn kernel(&self, delay: Duration) {
        self.delays().kernel.push(delay);
    }

    /// From the same moment until a packet was answered by the new rules.
    pub(super) fn packet(&self, delay: Duration) {
        self.delays().packet.push(delay);
    }
}

/// `p50 4 ms, p99 31 ms of 120`, for both.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delays { kernel, packet } = &mut *self.delays();
        write!(
            f,
            "from writing an object until every kernel has what follows: {}; until the first packet \
             is answered by it: {}",
            summary(kernel),
            summary(packet)
        )
    }
}

fn summary(delays: &mut [Duration]) -> String {
    delays.sort_unstable();
    let Some(last) = delays.len().checked_sub(1) else {
        return "nothing was changed".to_owned();
    };
    let part = |percent: usize| delays[last * percent / 100].as_secs_f64() * 1_000.0;
    format!(
        "p50 {:.1} ms, p99 {:.1} ms ({} changes)",
        part(50),
        part(99),
        delays.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_slow_end_are_told() {
        let pace = Pace::default();
        for ms in 1..=100 {
            pace.kernel(Duration::from_millis(ms));
        }
        let text = pace.to_string();
        assert!(
            text.contains("p50 50.0 ms, p99 99.0 ms (100 changes)"),
            "{text}"
        );
        assert!(text.ends_with("nothing was changed"), "{text}");
    }
}
