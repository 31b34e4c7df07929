//! Choices that the specification leaves to the enforcer: what a play chooses, and what depends on it.

use enforcer::options::{Deny, Established, Options, Unprogrammed};

use crate::scenario::written;

/// Some of the enforcer's [`Options`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionsOverlay {
    /// What becomes of accepted connections when a policy changes.
    pub established: Option<Established>,
    /// How a connection is denied.
    pub deny: Option<Deny>,
    /// What becomes of a new pod before its rules are in force.
    pub unprogrammed: Option<Unprogrammed>,
}

impl OptionsOverlay {
    /// These choices, and those of `rest` where nothing is chosen here.
    pub fn over(self, rest: Options) -> Options {
        Options {
            established: self.established.unwrap_or(rest.established),
            unprogrammed: self.unprogrammed.unwrap_or(rest.unprogrammed),
            deny: self.deny.unwrap_or(rest.deny),
        }
    }
}

/// The choices of the enforcer on which something depends: all that are named must be so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct When {
    /// What becomes of accepted connections when a policy changes.
    pub established: Option<Established>,
    /// How a connection is denied.
    pub deny: Option<Deny>,
    /// What becomes of a new pod before its rules are in force.
    pub unprogrammed: Option<Unprogrammed>,
}

impl When {
    /// Whether an enforcer with these options is meant.
    pub fn holds(&self, options: Options) -> bool {
        self.established.is_none_or(|it| it == options.established)
            && self.deny.is_none_or(|it| it == options.deny)
            && self
                .unprogrammed
                .is_none_or(|it| it == options.unprogrammed)
    }

    /// Whether it can hold in a play that makes these choices.
    pub fn can_hold(self, chosen: OptionsOverlay) -> bool {
        self.goes_with(Self {
            established: chosen.established,
            deny: chosen.deny,
            unprogrammed: chosen.unprogrammed,
        })
    }

    /// Whether both can hold at the same time.
    pub fn goes_with(self, other: Self) -> bool {
        fn fit<T: Copy + PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        fit(self.established, other.established)
            && fit(self.deny, other.deny)
            && fit(self.unprogrammed, other.unprogrammed)
    }
}

impl From<written::expect::When> for When {
    fn from(written: written::expect::When) -> Self {
        Self {
            established: written.established.map(|choice| choice.0),
            deny: written.deny.map(|choice| choice.0),
            unprogrammed: written.unprogrammed.map(|choice| choice.0),
        }
    }
}
