//! How long changes take to reach the packets, and what becomes of packets meanwhile.
//!
//! Streams of new connections run in the background, a new one every so often. A change is handed to
//! the agents; the last connection that came out as before was begun so much later. Other streams,
//! which no change is about, must come out the same way all the time, also while agents are stopped,
//! killed, refused by their kernels and cut off.
//!
//! | module | what is in it |
//! |---|---|
//! | `story` | the world (`latency.yaml`), its changes, and what makes the cluster larger |
//! | `streams` | connections, and how they must come out |
//! | `transition` | the measuring of changes |
//! | `trouble` | the counting while agents are in trouble |
//! | `report` | figures, for people and programs |

mod report;
mod story;
mod streams;
mod transition;
mod trouble;

use std::time::Duration;

use enforcer::options::Options;

pub use self::report::{Delays, Report, Steady, Transition, Trouble};
use self::{story::Story, streams::Streams, transition::Clock};
use crate::{
    backend::{
        BackendError,
        sim::{DataplaneKind, Sim, SimOptions, sim_fabric, sim_families},
    },
    cell::Family,
    scenario::{Fabric, Families},
};

/// Between two connections of a stream that is only counted, while others are timed.
const STEADY: Duration = Duration::from_millis(5);

/// The same, while nothing else is measured.
const CLOSE: Duration = Duration::from_millis(1);

/// A connection without an answer after this is denied. In the simulator an answer takes a tenth of a
/// millisecond.
const PATIENCE: Duration = Duration::from_millis(100);

/// What to measure, and where.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often each change is made.
    pub rounds: u32,
    /// Between two connections of a stream that is timed: the resolution.
    pub every: Duration,
    /// Pods in the cluster, those of the streams included.
    pub pods: usize,
    /// Policies in the cluster, without those that change.
    pub policies: usize,
    /// How pods hang on their node.
    pub fabric: Fabric,
    /// Over which addresses connections go.
    pub family: Family,
    /// How rules reach the kernel.
    pub dataplane: DataplaneKind,
    /// What the enforcers choose where the specification leaves a choice.
    pub options: Options,
}

/// Measures. `watch` is told what is being done.
///
/// # Errors
/// If the simulator fails, or a change does not take effect within seconds.
pub fn measure(settings: &Settings, watch: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    watch("building the cluster");
    let families = match settings.family {
        Family::Ipv4 => Families::Ipv4,
        Family::Ipv6 => Families::Ipv6,
    };
    let story = Story::new(settings.family, families);
    let options = SimOptions {
        fabric: sim_fabric(settings.fabric),
        families: sim_families(families),
        dataplane: settings.dataplane,
        options: settings.options,
    };
    let mut sim = Sim::build(story.world(), options)?;
    story.begin(&mut sim, settings.pods, settings.policies)?;
    let mut steady = Streams::start(&mut sim, story.steady(), STEADY)?;
    let mut clock = Clock::new(&story, &mut sim, settings);
    let transitions = clock.all(watch)?;
    let meanwhile = steady.take()?;
    drop(steady);
    let troubles = trouble::all(&story, &mut sim, settings.rounds, watch)?;
    Ok(Report {
        settings: report::Settings::of(settings, story.pods(settings.pods)),
        transitions,
        meanwhile,
        troubles,
    })
}

/// Why there are no figures. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The simulator failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A change has no effect on packets.
    #[error("see an effect of the change `{change}` within {} s", .patience.as_secs())]
    NoEffect {
        /// What was changed.
        change: String,
        /// How long was waited.
        patience: Duration,
    },
}
