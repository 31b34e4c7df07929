//! The one model that every policy API lowers to.
//!
//! A [`Policy`] says which pods it is about ([`Subject`]), for which [`Direction`], where it stands
//! in the order of evaluation ([`Tier`], [`Order`]), and what its [`Rule`]s do. NetworkPolicy v1 is
//! the middle tier: its subjects are isolated, then the union of its rules allows. Order and tiers
//! are resolved when compiling, never per packet.

mod port;
mod selector;

use std::{fmt, sync::Arc};

use ipnet::IpNet;

pub use self::{
    port::{PortMatch, PortRange, Ports, Protocol},
    selector::{Requirement, Selector},
};

/// Which side of a connection a policy judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Connections to the subject.
    Ingress,
    /// Connections from the subject.
    Egress,
}

impl Direction {
    /// Both directions.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The API kind a policy was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1 NetworkPolicy`.
    NetworkPolicy,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::NetworkPolicy];
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkPolicy => "NetworkPolicy",
        })
    }
}

/// A policy object's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyRef {
    /// The kind it was written in.
    pub kind: PolicyKind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl PolicyRef {
    /// A NetworkPolicy's identity.
    pub fn network_policy(namespace: &str, name: &str) -> Self {
        Self {
            kind: PolicyKind::NetworkPolicy,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The tiers, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// NetworkPolicy v1: whoever is selected is isolated; what no rule allows is denied.
    NetworkPolicy,
}

/// Position inside a tier; lower is asked first. All of NetworkPolicy is [`Order::UNORDERED`]:
/// its rules only ever add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(pub u32);

impl Order {
    /// The one order of an unordered tier.
    pub const UNORDERED: Self = Self(0);
}

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Let the connection pass this direction.
    Allow,
}

/// The pods a policy is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Which namespaces.
    pub namespaces: NamespaceScope,
    /// Which pods in them.
    pub pods: Selector,
}

/// Which namespaces a subject or a peer lies in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceScope {
    /// The one of this name (a peer without namespaceSelector: semantics 44).
    Named(Arc<str>),
    /// All whose labels match (semantics 46).
    Matching(Selector),
}

/// Who is on the other side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// Everyone, in and out of the cluster, nodes included (semantics 43, 168).
    Any,
    /// Whoever one of these matches (semantics 52, 59); nobody if the list is empty.
    OneOf(Vec<Peer>),
}

/// One entry of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods, never hostNetwork ones, never nodes (semantics 47, 63, 167).
    Pods {
        /// Namespaces they lie in.
        namespaces: NamespaceScope,
        /// Their labels.
        pods: Selector,
    },
    /// An address range with holes; a hole is not a denial (semantics 66, 67).
    Block {
        /// The range, host bits cleared.
        cidr: IpNet,
        /// The holes; each of the family of `cidr`.
        except: Vec<IpNet>,
    },
    /// An entry that could not be read, and why: nobody (semantics 227).
    Unreadable(Arc<str>),
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// With whom.
    pub peers: Peers,
    /// On which ports of the destination pod.
    pub ports: Ports,
    /// Its index in the object's `ingress` or `egress` list, for `ingress[0]` in explanations.
    pub index: usize,
}

/// A policy in one direction, lowered from an API object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The object it came from.
    pub origin: PolicyRef,
    /// Whom it isolates.
    pub subject: Subject,
    /// For which direction.
    pub direction: Direction,
    /// Where its tier stands.
    pub tier: Tier,
    /// Where it stands inside the tier.
    pub order: Order,
    /// What it allows.
    pub rules: Vec<Rule>,
    /// Which parts of the object could not be read, and what became of them, one per line. They are
    /// left out of what it allows; a subject or direction that cannot be told isolates more, never
    /// less. The rest of the policy is in force (semantics 227).
    pub broken: Option<Arc<str>>,
}
