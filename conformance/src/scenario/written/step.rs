//! `spec.steps`: what happens, and in which order.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;
use serde_json::Value;

use super::{
    cluster::{Listen, Namespace, Pod},
    expect::{Expect, When},
    short::{NamesOrMap, OneOrMany, Short, ShortOrLong},
};
use crate::scenario::{text::duration::WrittenDuration, world::Phase};

/// One step. Whatever the order of its keys, it runs in this order: refuse, accept, start,
/// stopAgents, killAgents, cutApi, refuseTransactions, createNamespaces, createPods, label, unlabel,
/// apply, store, replace, delete, recreatePods, startPods, restartContainers, terminatePods,
/// finishPods, deletePods, deleteNamespaces, damage, createForeignTables, startAgents,
/// restartAgents, restoreApi, expect, open, use, close, stop.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Step {
    /// What the step shows, as part of a sentence; unique in the scenario.
    pub(crate) name: String,
    /// Objects that the API server must refuse.
    #[serde(default)]
    pub(crate) refuse: Vec<Refuse>,
    /// Objects that the API server must admit, though nothing is done with them.
    #[serde(default)]
    pub(crate) accept: Vec<ShortOrLong<Subject>>,
    /// Background traffic that starts, by a name of its own: new connections, again and again, until
    /// it is stopped or the scenario ends.
    #[serde(default)]
    pub(crate) start: BTreeMap<String, ShortOrLong<Traffic>>,
    /// Nodes whose agent ends in good order, by name or pattern. Its rules stay.
    #[serde(default)]
    pub(crate) stop_agents: Vec<String>,
    /// Nodes whose agent ends at once, by name or pattern. Its rules stay.
    #[serde(default)]
    pub(crate) kill_agents: Vec<String>,
    /// Nodes whose agent hears no more of the API server, by name or pattern.
    #[serde(default)]
    pub(crate) cut_api: Vec<String>,
    /// How many of the next transactions of an agent the kernel of its node refuses.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, RefusedSchema>")]
    pub(crate) refuse_transactions: BTreeMap<String, u32>,
    /// Namespaces that are created.
    #[serde(default)]
    pub(crate) create_namespaces: NamesOrMap<Namespace>,
    /// Pods that are created, by `namespace/name`.
    #[serde(default)]
    pub(crate) create_pods: BTreeMap<String, Option<Pod>>,
    /// Labels that are set: `x/a` is a pod (`x/*` several), `namespace/x` a namespace, `node/n1` a
    /// node.
    #[serde(default)]
    pub(crate) label: BTreeMap<String, BTreeMap<String, String>>,
    /// Labels that are removed.
    #[serde(default)]
    pub(crate) unlabel: BTreeMap<String, Vec<String>>,
    /// What is created or updated, one after the other: policies by their name in `policies`,
    /// manifests, or paths of YAML files.
    #[serde(default)]
    pub(crate) apply: Vec<ShortOrLong<Subject>>,
    /// Policies that get into the store although the API server would refuse them today, as an older
    /// one let them through: by their name in `policies`, or manifests.
    #[serde(default)]
    pub(crate) store: Vec<ShortOrLong<Subject>>,
    /// Policies that take the place of others, as in `{old: new}`: an update where both are the
    /// same object, else the new one is created and the old one deleted.
    #[serde(default)]
    pub(crate) replace: BTreeMap<String, String>,
    /// What is deleted: policies by their name in `policies` or as `namespace/name`, Services as
    /// `svc/namespace/name`, or paths of YAML files.
    #[serde(default)]
    pub(crate) delete: Vec<String>,
    /// Pods that are deleted and created again.
    #[serde(default)]
    pub(crate) recreate_pods: NamesOrMap<Recreate>,
    /// Pods that were Pending and now get an address and run: the same object, updated.
    #[serde(default)]
    pub(crate) start_pods: Vec<String>,
    /// Pods whose containers end and start again: the pod and its address stay.
    #[serde(default)]
    pub(crate) restart_containers: Vec<String>,
    /// Pods that are told to end, and go on running until `deletePods`.
    #[serde(default)]
    pub(crate) terminate_pods: Vec<String>,
    /// Pods whose containers end; the object stays, the address becomes free.
    #[serde(default)]
    pub(crate) finish_pods: Vec<ShortOrLong<Finish>>,
    /// Pods that are deleted, as `namespace/name` or a selector such as `x/*`.
    #[serde(default)]
    pub(crate) delete_pods: Vec<String>,
    /// Namespaces that are deleted, with everything in them.
    #[serde(default)]
    pub(crate) delete_namespaces: Vec<String>,
    /// How the agent's table in the kernel of a node is damaged by somebody else.
    #[serde(default)]
    pub(crate) damage: BTreeMap<String, Damage>,
    /// Nodes in whose kernel somebody else makes a table, by name or pattern. Nobody may touch it
    /// from then on.
    #[serde(default)]
    pub(crate) create_foreign_tables: Vec<String>,
    /// Nodes whose agent is started, by name or pattern.
    #[serde(default)]
    pub(crate) start_agents: Vec<String>,
    /// Nodes whose agent is stopped and started again, by name or pattern.
    #[serde(default)]
    pub(crate) restart_agents: Vec<String>,
    /// Nodes whose agent hears of the API server again, by name or pattern.
    #[serde(default)]
    pub(crate) restore_api: Vec<String>,
    /// Who reaches whom now.
    #[serde(default)]
    pub(crate) expect: OneOrMany<ShortOrLong<Expect>>,
    /// Long-lived connections that are opened, by a name of their own.
    #[serde(default)]
    pub(crate) open: BTreeMap<String, ShortOrLong<Open>>,
    /// Long-lived connections over which something is sent there and back.
    #[serde(default)]
    pub(crate) r#use: Vec<ShortOrLong<Use>>,
    /// Long-lived connections that are closed.
    #[serde(default)]
    pub(crate) close: Vec<String>,
    /// Background traffic that stops, by its name.
    #[serde(default)]
    pub(crate) stop: Vec<String>,
}

/// How many transactions are refused. Only for the schema.
pub(crate) struct RefusedSchema;

impl JsonSchema for RefusedSchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Refused".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 1000 })
    }
}

/// An object: the name of a policy, the path of a YAML file, or a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    /// A name in `policies`, `namespace/name`, or a path that ends with `.yaml`, `.yml` or `/`.
    Name(String),
    /// A manifest.
    Manifest,
}

impl<'de> Deserialize<'de> for Subject {
    /// Only ever asked for the long form: any mapping, read as a manifest later.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, Value>::deserialize(deserializer).map(|_| Self::Manifest)
    }
}

impl JsonSchema for Subject {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Subject".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A Kubernetes manifest.",
            "properties": {
                "apiVersion": { "type": "string" },
                "kind": { "type": "string" },
                "metadata": { "type": "object" },
            },
            "required": ["apiVersion", "kind", "metadata"],
            "type": "object",
        })
    }
}

impl Short for Subject {
    const EXPECTED: &'static str = "the name of a policy, the path of a YAML file, or a manifest";
    const SHORT: &'static str =
        "A name in `policies`, or the path of a YAML file that ends with .yaml, .yml or /.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self::Name(text.to_owned()))
    }
}

/// An object that the API server must refuse.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Refuse {
    /// Its name in `policies`.
    pub(crate) policy: Option<String>,
    /// The object itself.
    #[schemars(with = "Option<Subject>")]
    pub(crate) manifest: Option<BTreeMap<String, Value>>,
    /// The field the refusal must be about, as in `spec.ingress[0].ports[0].port`.
    pub(crate) field: String,
    /// Text that the refusal must contain.
    pub(crate) message: Option<String>,
}

/// How a pod is created again.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Recreate {
    /// Whether it gets the address it had; a new one if this is left out.
    #[serde(default)]
    pub(crate) address: RecreateAddress,
    /// Its new labels, in place of all it had.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// The node it runs on from now on.
    pub(crate) node: Option<String>,
    /// What it listens on from now on.
    pub(crate) listen: Option<Vec<ShortOrLong<Listen>>>,
}

/// Which address a re-created pod gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecreateAddress {
    /// One it never had.
    #[default]
    New,
    /// The one it had. Only simulators can.
    Same,
}

/// A pod whose containers end.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Finish {
    /// Which pod.
    pub(crate) pod: String,
    /// Succeeded if this is left out, or Failed.
    #[serde(default = "succeeded")]
    pub(crate) phase: Phase,
}

fn succeeded() -> Phase {
    Phase::Succeeded
}

impl Short for Finish {
    const EXPECTED: &'static str = "a pod, or a mapping with pod and phase";
    const SHORT: &'static str = "A pod that succeeds.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            pod: text.to_owned(),
            phase: Phase::Succeeded,
        })
    }
}

/// Background traffic.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Traffic {
    /// Which connections, as in `x/b -> x/a:80/tcp`.
    pub(crate) flow: String,
    /// How often each of them is opened anew; every 5ms if this is left out.
    pub(crate) every: Option<WrittenDuration>,
}

impl Short for Traffic {
    const EXPECTED: &'static str = "a flow, or a mapping with flow and every";
    const SHORT: &'static str = "A flow whose connections are opened anew every 5ms.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            flow: text.to_owned(),
            every: None,
        })
    }
}

/// Long-lived connections that are opened.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Open {
    /// Which connections, as in `x/b -> x/a:80/tcp`.
    pub(crate) flow: String,
    /// What must come of opening them; allow if this is left out. One that is denied is used later
    /// from the same source port.
    #[serde(default)]
    pub(crate) expect: UseExpectation,
}

impl Short for Open {
    const EXPECTED: &'static str = "a flow, or a mapping with flow and expect";
    const SHORT: &'static str = "A flow whose connections can be opened.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            flow: text.to_owned(),
            expect: UseExpectation::Allow,
        })
    }
}

/// A long-lived connection that is used.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Use {
    /// Its name, as `open` gave it.
    pub(crate) flow: String,
    /// Whether it must go on; allow if this is left out.
    #[serde(default)]
    pub(crate) expect: UseExpectation,
    /// Only where the enforcer has made this choice.
    pub(crate) when: Option<When>,
}

/// How the agent's table in the kernel is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// The table is deleted.
    DeleteTable,
    /// The rules of its chains are deleted.
    FlushRules,
    /// Elements of its sets and maps are deleted.
    RemoveElements,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeleteTable => "delete-table",
            Self::FlushRules => "flush-rules",
            Self::RemoveElements => "remove-elements",
        })
    }
}

/// What must come of opening or using a long-lived connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UseExpectation {
    /// It comes about, or goes on.
    #[default]
    Allow,
    /// Nothing comes back, or it is reset.
    Deny,
    /// Whatever happens is right.
    Either,
}

impl Short for Use {
    const EXPECTED: &'static str = "the name of a flow, or a mapping with flow and expect";
    const SHORT: &'static str = "The name of a flow that must go on.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            flow: text.to_owned(),
            expect: UseExpectation::Allow,
            when: None,
        })
    }
}
