//! Random worlds and policies, from dice alone.
//!
//! - `words`: the few names, labels and ports that everything is made of, so that selectors hit
//!   and miss;
//! - `world`: namespaces, pods, nodes; `service`: Services; - `policy`, `selector`, `peer`, `port`: NetworkPolicies;
//! - `odd`: what an older API server let through, and what nobody can read.
//!
//! Most choices look at the world: a selector is made of labels that somebody has, a range holds an
//! address that somebody has. What must never happen: a choice that depends on anything but the
//! dice and its arguments.

mod edit;
mod odd;
mod peer;
mod policy;
mod port;
mod selector;
mod service;
pub mod words;
mod world;

pub use self::{
    edit::edit,
    odd::Oddity,
    policy::policy,
    world::{add_pod, labels_of_namespace, labels_of_pod, world},
};
use enforcer::options::{Deny, Established, Options, Unprogrammed};

use super::{dice::Dice, world::World};

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Fewest and most pods.
    pub pods: (usize, usize),
    /// Fewest and most policies.
    pub policies: (usize, usize),
    /// How many of 100 policies are odd.
    pub odd: usize,
    /// Most Services.
    pub services: usize,
    /// How many of 100 worlds have an address that two claim.
    pub late: usize,
}

impl Scale {
    /// Many small worlds: what can go wrong mostly goes wrong among a few pods.
    pub const PLAN: Self = Self {
        pods: (2, 6),
        policies: (1, 4),
        odd: 6,
        services: 0,
        late: 8,
    };
    /// A world that many sets of policies are played on.
    pub const KERNEL: Self = Self {
        pods: (4, 9),
        policies: (2, 6),
        odd: 6,
        services: 3,
        late: 0,
    };
}

/// Any number of policies for a world.
pub fn policies(
    dice: &mut Dice,
    world: &World,
    scale: Scale,
) -> Vec<k8s_openapi::api::networking::v1::NetworkPolicy> {
    let count = dice.between(scale.policies.0, scale.policies.1);
    let mut policies = Vec::new();
    for number in 0..count {
        let mut made = policy(dice, world, &format!("p{number}"), scale.odd);
        // The same rules under another name: taking one away must not take the other's effect.
        if dice.chance(5)
            && let Some(last) = policies.last()
        {
            let name = made.metadata.name.take();
            made = Clone::clone(last);
            made.metadata.name = name;
        }
        policies.push(made);
    }
    policies
}

/// Any choice that an enforcer leaves to its user.
pub fn options(dice: &mut Dice) -> Options {
    Options {
        established: *dice.pick(&Established::ALL),
        unprogrammed: *dice.pick(&Unprogrammed::ALL),
        deny: *dice.pick(&Deny::ALL),
    }
}
