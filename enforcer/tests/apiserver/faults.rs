//! What goes wrong on command.

use std::time::Duration;

/// What goes wrong at present.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Nobody gets through: new connections are closed, and those there are too.
    pub(crate) is_down: bool,
    /// Requests are taken and never answered; watches say nothing.
    pub(crate) is_silent: bool,
    /// How long every answer takes.
    pub(crate) delay: Duration,
    /// Nobody is known: 401.
    pub(crate) knows_nobody: bool,
    /// (verb, plural) that are forbidden: 403.
    pub(crate) forbidden: Vec<(&'static str, &'static str)>,
    /// The code with which every request is refused.
    pub(crate) refuses: Option<u16>,
    /// Every watch ends after this time.
    pub(crate) watch_length: Option<Duration>,
    /// A watch that begins too early is refused with HTTP 410, not with an event.
    pub(crate) gone_by_http: bool,
    /// Counts how often all connections were broken.
    pub(super) epoch: u64,
}
