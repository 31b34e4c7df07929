//! The changes whose way into the kernel is timed.

use std::fmt;

use enforcer::cluster::Event;

use crate::{
    city::{addition, big, newcomer, visitor},
    object::{Told as _, gone, policy_gone},
};

/// A pod that is relabelled again and again; the others come and go.
const RESIDENT: usize = 1 << 20;

/// One change. In their order they undo each other, so that every round begins with the same cluster
/// (but for what is relabelled, which goes to and fro).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    PodAdded,
    PodRelabelled,
    PodRemoved,
    LocalPodAdded,
    LocalPodRemoved,
    PolicyAdded,
    PolicyChanged,
    PolicyRemoved,
    NamespaceRelabelled,
}

impl Change {
    pub(super) const ALL: [Self; 9] = [
        Self::PodAdded,
        Self::PodRelabelled,
        Self::PodRemoved,
        Self::LocalPodAdded,
        Self::LocalPodRemoved,
        Self::PolicyAdded,
        Self::PolicyChanged,
        Self::PolicyRemoved,
        Self::NamespaceRelabelled,
    ];

    /// In figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PodAdded => "pod-added",
            Self::PodRelabelled => "pod-relabelled",
            Self::PodRemoved => "pod-removed",
            Self::LocalPodAdded => "local-pod-added",
            Self::LocalPodRemoved => "local-pod-removed",
            Self::PolicyAdded => "policy-added",
            Self::PolicyChanged => "policy-changed",
            Self::PolicyRemoved => "policy-removed",
            Self::NamespaceRelabelled => "namespace-relabelled",
        }
    }

    /// What happens in the given round.
    pub(super) fn event(self, round: usize) -> Event {
        let is_odd = round % 2 == 1;
        match self {
            Self::PodAdded => visitor(round, true).told(),
            Self::PodRelabelled => visitor(RESIDENT, !is_odd).told(),
            Self::PodRemoved => gone(&visitor(round, true)),
            Self::LocalPodAdded => newcomer().told(),
            Self::LocalPodRemoved => gone(&newcomer()),
            Self::PolicyAdded => addition(9_000).told(),
            Self::PolicyChanged => addition(9_001).told(),
            Self::PolicyRemoved => policy_gone(&addition(9_001)),
            Self::NamespaceRelabelled => big(if is_odd { "t9" } else { "t0" }).told(),
        }
    }

    /// Whether the others make it too: all changes are the same to them.
    pub(super) fn is_for_rivals(self) -> bool {
        matches!(
            self,
            Self::PodAdded | Self::PolicyChanged | Self::NamespaceRelabelled
        )
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('-', " "))
    }
}

/// What is there beforehand, beside the city.
pub(super) fn residents() -> impl Iterator<Item = Event> {
    std::iter::once(visitor(RESIDENT, false).told())
}
