//! A scenario as a runner plays it: checked, expanded, every connection spelled out.
//!
//! Nothing here needs looking up again. What is still open are addresses: policies keep their
//! templates until they are applied, see [`PolicySource::resolve`](super::PolicySource::resolve).

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use enforcer::{
    options::{Deny, Established, Options, Unprogrammed},
    yaml::{FieldPath, Location},
};

pub use super::written::{
    BackendName, Feature,
    cluster::{Fabric, Families},
    step::UseExpectation,
};
use super::{
    policy::PolicySource,
    text::{endpoint::Selector, flow::Flow},
    world::{Namespace, ObjectName, Phase, Pod, Service, World},
    written,
};
use crate::cell::{Cell, Family, Outcome};

/// One play of a scenario file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `name[ipv4,udp]`: the file's name and the values of its parameters. Unique in the library.
    pub name: String,
    /// `metadata.name`, which all plays of a file share.
    pub base: String,
    /// The values of its parameters, by their names.
    pub parameters: Vec<(String, String)>,
    /// The claim in one line.
    pub title: Option<String>,
    /// More about it.
    pub description: Option<String>,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// Numbered lines of the semantics list.
    pub covers: Vec<u16>,
    /// What a back end must be able to do.
    pub requires: Vec<Feature>,
    /// Connections that are known to come out wrong somewhere.
    pub expect_failure: Vec<ExpectedFailure>,
    /// Which families pods have addresses of.
    pub families: Families,
    /// The one family that is probed, if not all, and that address templates mean.
    pub family: Option<Family>,
    /// The fabric it asks for, if it does.
    pub fabric: Option<Fabric>,
    /// The choices of the enforcer that this play is about.
    pub options: OptionsOverlay,
    /// What exists before the first step; no policy does.
    pub world: World,
    /// What must hold before any policy: every connection of [`Self::world`] that some step is
    /// about. If it does not, the scenario is inconclusive.
    pub control: Vec<ExpectedCell>,
    /// What must hold after the last step, once every policy is deleted. It shows that pods which
    /// came later could be reached at all.
    pub final_control: Vec<ExpectedCell>,
    /// Policies of `manifests:`, applied after the control and before the first step.
    pub initial_policies: Vec<Arc<PolicySource>>,
    /// The story.
    pub steps: Vec<Step>,
    /// Where it is written: the value of `metadata.name`.
    pub location: Location,
}

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

/// One step: background traffic starts, changes, expectations, long-lived connections, background
/// traffic stops.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it shows.
    pub name: String,
    /// Where it is written: the value of its `name`.
    pub location: Location,
    /// Objects the API server must refuse or admit, asked before the changes.
    pub admissions: Vec<Admission>,
    /// Background traffic that starts before the first change.
    pub start: Vec<Traffic>,
    /// What happens, in this order.
    pub changes: Vec<Change>,
    /// What exists after the changes.
    pub world: World,
    /// The policies in force after the changes, in the order of their names.
    pub policies: Vec<Arc<PolicySource>>,
    /// Who reaches whom after the changes. Blocks with a [`When`] that does not hold are skipped.
    pub expectations: Vec<Expectation>,
    /// Long-lived connections to open after that.
    pub open: Vec<NamedFlow>,
    /// Long-lived connections to use after that.
    pub uses: Vec<UseFlow>,
    /// Long-lived connections to close after that.
    pub close: Vec<String>,
    /// Background traffic that stops at the end.
    pub stop: Vec<String>,
}

impl Step {
    /// Every connection the step is about, in order and once.
    pub fn cells(&self) -> BTreeSet<&Cell> {
        let cells = self.expectations.iter().flat_map(|e| &e.cells);
        cells.map(|expected| &expected.cell).collect()
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Change {
    /// A namespace is created.
    CreateNamespace(Namespace),
    /// A pod is created.
    CreatePod(Box<Pod>),
    /// All labels of a pod are now these objects' labels: the pod after the change.
    LabelPod(Box<Pod>),
    /// The namespace with its labels after the change.
    LabelNamespace(Namespace),
    /// The node with its labels after the change.
    LabelNode {
        /// Its name.
        name: String,
        /// All its labels from now on.
        labels: std::collections::BTreeMap<String, String>,
    },
    /// A Service is created or updated.
    ApplyService(Box<Service>),
    /// A Service is deleted.
    DeleteService(ObjectName),
    /// A policy is created or updated.
    ApplyPolicy(Arc<PolicySource>),
    /// A policy is deleted.
    DeletePolicy(ObjectName),
    /// A pod is deleted and created again as this; its
    /// [`address`](super::AddressChoice) is `Of` itself where it keeps the one it had.
    RecreatePod(Box<Pod>),
    /// A pod's containers end.
    FinishPod {
        /// Which pod.
        pod: ObjectName,
        /// Succeeded or Failed.
        phase: Phase,
    },
    /// A pod is deleted.
    DeletePod(ObjectName),
    /// A namespace is deleted, with its pods, policies and Services.
    DeleteNamespace(String),
    /// A pod is told to end (`metadata.deletionTimestamp`), and runs on until [`Self::DeletePod`].
    TerminatePod(ObjectName),
    /// Whatever runs in a pod ends and starts again: the same object, the same addresses.
    RestartContainers(ObjectName),
    /// A policy is put into the store with its defaults, though the API server would refuse it
    /// today: an older one has let it through.
    StorePolicy(Arc<PolicySource>),
    /// Something happens to the agent of a node.
    Agent {
        /// The node.
        node: String,
        /// What.
        action: AgentAction,
    },
    /// Somebody damages the agent's table in the kernel of a node.
    Damage {
        /// The node.
        node: String,
        /// How.
        damage: Damage,
    },
    /// Somebody else makes a table of his own in the kernel of a node. Nobody may touch it from
    /// then on.
    CreateForeignTable {
        /// The node.
        node: String,
    },
}

/// What can happen to the agent of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentAction {
    /// It is started, and is told of every object.
    Start,
    /// It ends in good order; the rules stay.
    Stop,
    /// It ends without doing anything more; the rules stay.
    Kill,
    /// It is stopped and started.
    Restart,
    /// It hears nothing more of the API server.
    CutApi,
    /// It hears of the API server again, and of everything it has missed.
    RestoreApi,
    /// The kernel refuses its next so many transactions.
    RefuseTransactions(u32),
}

pub use super::written::step::Damage;

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named =
            |namespace: &Namespace| namespace.object.metadata.name.clone().unwrap_or_default();
        match self {
            Self::CreateNamespace(it) => write!(f, "create namespace {}", named(it)),
            Self::CreatePod(pod) => write!(f, "create pod {}", pod.name),
            Self::LabelPod(pod) => write!(f, "label pod {}", pod.name),
            Self::LabelNamespace(it) => write!(f, "label namespace {}", named(it)),
            Self::LabelNode { name, .. } => write!(f, "label node {name}"),
            Self::ApplyService(service) => write!(f, "apply service {}", service.name),
            Self::DeleteService(name) => write!(f, "delete service {name}"),
            Self::ApplyPolicy(policy) => write!(f, "apply policy {}", policy.name),
            Self::DeletePolicy(name) => write!(f, "delete policy {name}"),
            Self::RecreatePod(pod) => write!(f, "re-create pod {}", pod.name),
            Self::FinishPod { pod, phase } => write!(f, "finish pod {pod} as {phase}"),
            Self::DeletePod(name) => write!(f, "delete pod {name}"),
            Self::DeleteNamespace(name) => write!(f, "delete namespace {name}"),
            Self::TerminatePod(name) => write!(f, "terminate pod {name}"),
            Self::RestartContainers(name) => write!(f, "restart the containers of {name}"),
            Self::StorePolicy(policy) => write!(f, "store policy {}", policy.name),
            Self::Agent { node, action } => match action {
                AgentAction::Start => write!(f, "start the agent of {node}"),
                AgentAction::Stop => write!(f, "stop the agent of {node}"),
                AgentAction::Kill => write!(f, "kill the agent of {node}"),
                AgentAction::Restart => write!(f, "restart the agent of {node}"),
                AgentAction::CutApi => write!(f, "cut the agent of {node} off the API server"),
                AgentAction::RestoreApi => {
                    write!(f, "give the agent of {node} the API server back")
                }
                AgentAction::RefuseTransactions(count) => {
                    write!(f, "refuse {count} transactions of the agent of {node}")
                }
            },
            Self::Damage { node, damage } => write!(f, "damage the table of {node}: {damage}"),
            Self::CreateForeignTable { node } => write!(f, "create a foreign table on {node}"),
        }
    }
}

/// An object the API server must refuse, or admit.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The object; its templates are still open.
    pub manifest: Arc<PolicySource>,
    /// Why it must be refused; nothing if it must be admitted.
    pub refused: Option<Refusal>,
    /// Where this is written.
    pub location: Location,
}

/// What a refusal must say.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The field it must be about.
    pub field: FieldPath,
    /// Text it must contain.
    pub message: Option<String>,
}

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

/// Background traffic: new connections, again and again.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The name.
    pub name: String,
    /// The connections, each opened anew every time.
    pub cells: Vec<Cell>,
    /// How often.
    pub every: Duration,
    /// Where this is written.
    pub location: Location,
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

/// Long-lived connections by a name of their own: one for every connection its flow means.
#[derive(Clone, Debug)]
pub struct NamedFlow {
    /// The name.
    pub name: String,
    /// The connections.
    pub cells: Vec<Cell>,
    /// What must come of opening them. One that is denied stays as it is, to be used later: a UDP
    /// socket as it is, a TCP connect from the same source port.
    pub expect: UseExpectation,
    /// Where this is written.
    pub location: Location,
}

/// A use of long-lived connections.
#[derive(Clone, Debug)]
pub struct UseFlow {
    /// The name that `open` gave them.
    pub name: String,
    /// What must come of each.
    pub expect: UseExpectation,
    /// The choice of the enforcer it depends on.
    pub when: Option<When>,
    /// Where this is written.
    pub location: Location,
}

/// Connections that are known to come out wrong somewhere.
#[derive(Clone, Debug)]
pub struct ExpectedFailure {
    /// Where they come out wrong.
    pub backend: BackendName,
    /// Which connections: ask [`World::select`] and [`World::matching_ports`], or
    /// [`ExpectedFailure::covers`].
    pub flow: Flow,
    /// In which step; in any if there is none.
    pub step: Option<String>,
    /// Why.
    pub reason: String,
    /// Where this is written.
    pub location: Location,
}

impl ExpectedFailure {
    /// Whether a connection of a step is known to come out wrong.
    pub fn covers(&self, step: &Step, cell: &Cell) -> bool {
        let world = &step.world;
        self.step.as_ref().is_none_or(|name| *name == step.name)
            && world.select(&self.flow.source.value).contains(&cell.source)
            && world
                .select(&self.flow.destination.value)
                .contains(&cell.destination)
            && match &self.flow.port {
                None => true,
                Some(port) => world
                    .matching_ports(&cell.destination, Some(&port.value))
                    .contains(&cell.port),
            }
    }
}
