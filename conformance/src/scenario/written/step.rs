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
use crate::scenario::world::Phase;

/// One step. Whatever the order of its keys, it runs in this order: refuse, accept,
/// createNamespaces, createPods, label, unlabel, apply, replace, delete, recreatePods, finishPods,
/// deletePods, deleteNamespaces, expect, open, use, close.
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
    /// Pods whose containers end; the object stays, the address becomes free.
    #[serde(default)]
    pub(crate) finish_pods: Vec<ShortOrLong<Finish>>,
    /// Pods that are deleted, as `namespace/name` or a selector such as `x/*`.
    #[serde(default)]
    pub(crate) delete_pods: Vec<String>,
    /// Namespaces that are deleted, with everything in them.
    #[serde(default)]
    pub(crate) delete_namespaces: Vec<String>,
    /// Who reaches whom now.
    #[serde(default)]
    pub(crate) expect: OneOrMany<ShortOrLong<Expect>>,
    /// Long-lived connections that are opened, by a name of their own.
    #[serde(default)]
    pub(crate) open: BTreeMap<String, String>,
    /// Long-lived connections over which something is sent there and back.
    #[serde(default)]
    pub(crate) r#use: Vec<ShortOrLong<Use>>,
    /// Long-lived connections that are closed.
    #[serde(default)]
    pub(crate) close: Vec<String>,
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

/// What must come of using a long-lived connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UseExpectation {
    /// It goes on.
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
