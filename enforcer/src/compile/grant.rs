//! Answers, and the port sets that they lead to.

use std::sync::Arc;

use super::{Compiler, intern::name};
use crate::{
    plan::{Allowed, Grant, Id},
    policy::Direction,
};

impl Compiler {
    /// The look-up's answer for what is allowed, one more that is given; none if that is nothing.
    pub(super) fn grant(&mut self, direction: Direction, allowed: Allowed) -> Option<Grant> {
        let ports = match allowed {
            Allowed::Everything => return Some(Grant::Everything),
            Allowed::Ports(ports) if ports.is_empty() => return None,
            Allowed::Ports(ports) => ports,
        };
        let sets = &mut self.plan.ports;
        let id = name(&ports, |id| sets.get(id).map(AsRef::as_ref));
        let uses = self.uses.entry((direction, id)).or_default();
        *uses += 1;
        if *uses == 1 {
            self.plan.port_uses.insert((direction, id));
            sets.entry(id).or_insert_with(|| Arc::new(ports));
        }
        Some(Grant::Ports(id))
    }

    /// An answer is no longer given.
    pub(super) fn take_back(&mut self, direction: Direction, grant: Option<Grant>) {
        let Some(Grant::Ports(id)) = grant else {
            return;
        };
        let Some(uses) = self.uses.get_mut(&(direction, id)) else {
            return;
        };
        *uses -= 1;
        if *uses == 0 {
            self.uses.remove(&(direction, id));
            self.plan.port_uses.remove(&(direction, id));
            let is_used = |id: Id| {
                let is_asked = |direction| self.plan.port_uses.contains(&(direction, id));
                Direction::ALL.into_iter().any(is_asked)
            };
            if !is_used(id) {
                self.plan.ports.remove(&id);
            }
        }
    }
}
