//! Where scenarios are played, each on a back end made for it.

use std::path::Path;

use super::{Options, Play};
use crate::{
    backend::{
        Backend, BackendError,
        sim::{Sim, SimOptions, missing_for, sim_fabric, sim_families},
    },
    scenario::Families,
};

/// Where the kernel keeps its IPv6 settings, if it has IPv6 at all.
const IPV6: &str = "/proc/sys/net/ipv6";

/// Makes a back end for every scenario; called from several threads.
pub trait Venue: Sync {
    /// What it makes.
    type Backend: Backend;

    /// As reports call it.
    fn name(&self) -> &'static str;

    /// Why a scenario cannot be played here; nothing if it can. Said before anything is made.
    fn missing_for(&self, play: Play<'_>) -> Option<String>;

    /// Whether it builds the networks, on the fabric that a play names.
    fn has_fabrics(&self) -> bool {
        true
    }

    /// Plays of one kin are played one after the other, since what is made for one can serve the next.
    fn kin(&self, _play: Play<'_>) -> String {
        String::new()
    }

    /// Makes a back end on which nothing exists yet.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn build(&self, play: Play<'_>, options: Options) -> Result<Self::Backend, BackendError>;
}

/// Every scenario on a simulated cluster of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulator;

impl Venue for Simulator {
    type Backend = Sim;

    fn name(&self) -> &'static str {
        "sim"
    }

    fn missing_for(&self, play: Play<'_>) -> Option<String> {
        let wants_ipv6 = play.scenario.families != Families::Ipv4;
        if wants_ipv6 && !Path::new(IPV6).exists() {
            return Some("it needs IPv6, and this kernel has none".to_owned());
        }
        missing_for(play.fabric).map(str::to_owned)
    }

    fn build(&self, play: Play<'_>, options: Options) -> Result<Sim, BackendError> {
        Sim::build(&play.scenario.world, sim_options(play, options))
    }
}

/// The simulated cluster that a scenario asks for.
pub(crate) fn sim_options(play: Play<'_>, options: Options) -> SimOptions {
    SimOptions {
        fabric: sim_fabric(play.fabric),
        families: sim_families(play.scenario.families),
        dataplane: options.dataplane,
        options: play.scenario.options.over(options.enforcer),
    }
}
