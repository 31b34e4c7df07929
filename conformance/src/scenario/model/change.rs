//! What can happen in a step.

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use crate::scenario::written::step::Damage;
use crate::scenario::{
    policy::PolicySource,
    world::{Namespace, ObjectName, Phase, Pod, Service},
};

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
        labels: BTreeMap<String, String>,
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
    /// A Pending pod gets an address and runs: the pod after the change.
    StartPod(Box<Pod>),
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
            Self::StartPod(pod) => write!(f, "start pod {}", pod.name),
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
