//! What must come of connections.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use enforcer::{
    options::Deny,
    yaml::{FieldPath, Location},
};

use super::When;
use crate::{
    cell::{Cell, Outcome},
    scenario::{text::endpoint::Selector, world::ObjectName},
};

/// One block of `expect`.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Where it is written.
    pub location: Location,
    /// The choice of the enforcer it depends on.
    pub when: Option<When>,
    /// How long it may take to become true; nothing leaves it to the back end.
    pub within: Option<Duration>,
    /// How long it must stay true.
    pub hold_for: Option<Duration>,
    /// What must not happen once to background traffic, from before the step's first change until
    /// after its last look.
    pub never: Vec<Never>,
    /// The port that every probe of the block comes from; any if it is not said.
    pub source_port: Option<u16>,
    /// How many bytes every probe sends; a few if it is not said.
    pub payload: Option<usize>,
    /// Every connection it is about, in the order of [`Cell`], each once.
    pub cells: Vec<ExpectedCell>,
}

/// What must not come of background traffic, not once.
#[derive(Clone, Debug, PartialEq)]
pub struct Never {
    /// The name of the traffic.
    pub traffic: String,
    /// [`Expected::Allow`] or [`Expected::Deny`].
    pub outcome: Expected,
    /// Where this is written.
    pub location: Location,
}

/// One connection and what must come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedCell {
    /// The connection.
    pub cell: Cell,
    /// What must come of it.
    pub expected: Expected,
    /// Which line says so.
    pub origin: Origin,
    /// Which policies decide, if the file says.
    pub because: Option<Arc<Because>>,
    /// Whose address the server sees, if the file says.
    pub source_seen: Option<Selector>,
    /// Which endpoints may answer, if the file says.
    pub served_by: Option<Vec<Selector>>,
}

/// What must come of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expected {
    /// It passes.
    Allow,
    /// It is denied the way the enforcer denies.
    Deny,
    /// The destination refuses it.
    Refused,
    /// The network says that there is no way.
    Unreachable,
    /// Anything may come of it.
    Either,
}

impl Expected {
    /// Whether an outcome is as expected of an enforcer that denies in this way. One that rejects
    /// answers with a reset or an ICMP error, and where the kernel limits those, with silence.
    pub fn accepts(self, outcome: Outcome, deny: Deny) -> bool {
        match self {
            Self::Allow => outcome == Outcome::Allowed,
            Self::Deny => match deny {
                Deny::Drop => outcome == Outcome::Denied,
                Deny::Reject => outcome != Outcome::Allowed,
            },
            Self::Refused => outcome == Outcome::Refused,
            Self::Unreachable => outcome == Outcome::Unreachable,
            Self::Either => true,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allowed",
            Self::Deny => "denied",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Either => "either",
        })
    }
}

/// Which line of the file an expectation comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// An entry or a mark.
    Entry(Location),
    /// `default:`.
    Default(Location),
    /// No line: no policy may stop this connection (semantics 164, 165, 171, 172, 176).
    Always(Location),
    /// No line: the control.
    Control,
}

impl Origin {
    /// Where the line is; of what holds always, the block it holds in.
    pub fn location(&self) -> Option<&Location> {
        match self {
            Self::Entry(location) | Self::Default(location) | Self::Always(location) => {
                Some(location)
            }
            Self::Control => None,
        }
    }
}

/// Which policies decide about a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    /// Exactly the policies that isolate the side that denies, if said.
    pub isolated_by: Option<BTreeSet<ObjectName>>,
    /// Policies and rules that allow it; there may be more.
    pub allowed_by: Vec<RuleName>,
    /// The rule that comes nearest without allowing it.
    pub nearest: Option<RuleName>,
    /// Where this is written.
    pub location: Location,
}

/// A policy, or a rule or a peer in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName {
    /// The policy.
    pub policy: ObjectName,
    /// The rule, as in `spec.ingress[0].from[1]`; the whole policy if there is none.
    pub path: Option<FieldPath>,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{} {path}", self.policy),
            None => write!(f, "{}", self.policy),
        }
    }
}
