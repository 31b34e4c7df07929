//! Addresses that no table tells apart.

use std::collections::{BTreeMap, BTreeSet};

use super::{intern::name, rules::PortName};
use crate::{plan::Id, policy::Protocol};

/// What all addresses of a class have in common, and nothing else matters of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    /// The peers that match, in order; a selector of pods is among them.
    pub(super) peers: Vec<Id>,
    /// The numbers of the names of ports that matter.
    pub(super) ports: Vec<(PortName, u16)>,
}

impl Class {
    pub(super) fn port_number(&self, protocol: Protocol, name: &str) -> Option<u16> {
        self.ports
            .iter()
            .find(|((of, known), _)| *of == protocol && known.as_ref() == name)
            .map(|(_, number)| *number)
    }
}

/// All classes that addresses are in.
#[derive(Default)]
pub(super) struct Classes {
    /// With the number of their addresses.
    by_id: BTreeMap<Id, (Class, usize)>,
    /// Those that came or may be gone since [`Classes::take_changes`].
    new: BTreeSet<Id>,
    emptied: Vec<Id>,
}

impl Classes {
    /// An address is in a class.
    pub(super) fn add(&mut self, class: Class) -> Id {
        let id = name(&class, |id| self.by_id.get(id).map(|(class, _)| class));
        let (_, count) = self.by_id.entry(id).or_insert_with(|| {
            self.new.insert(id);
            (class, 0)
        });
        *count += 1;
        id
    }

    /// An address is no longer in it.
    pub(super) fn remove(&mut self, id: Id) {
        if let Some((_, count)) = self.by_id.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.emptied.push(id);
            }
        }
    }

    /// What came and went since this was asked last. Whatever came and went is in neither.
    pub(super) fn take_changes(&mut self) -> (BTreeSet<Id>, Vec<(Id, Class)>) {
        let mut gone = Vec::new();
        for id in self.emptied.drain(..) {
            if self.by_id.get(&id).is_some_and(|(_, count)| *count == 0)
                && let Some((class, _)) = self.by_id.remove(&id)
            {
                gone.push((id, class));
            }
        }
        let mut new = std::mem::take(&mut self.new);
        gone.retain(|(id, _)| !new.contains(id));
        new.retain(|id| self.by_id.contains_key(id));
        (new, gone)
    }

    pub(super) fn get(&self, id: Id) -> Option<&Class> {
        self.by_id.get(&id).map(|(class, _)| class)
    }

    /// All of them by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Class)> {
        self.by_id.iter().map(|(id, (class, _))| (*id, class))
    }
}
