//! The file as it is written: plain data types, from which the JSON Schema is generated.
//!
//! The doc comments here are the descriptions of the schema, so they speak to whoever writes a
//! scenario. Unknown keys are errors everywhere. Strings with a language of their own (flows,
//! matrices, selectors) stay strings here; [`read`](super::read) parses them, because only there
//! an error can point into the string.

pub(crate) mod cluster;
pub(crate) mod expect;
pub(crate) mod short;
pub(crate) mod step;

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::{cluster::Cluster, step::Step};

/// One readable story about network policies: a cluster, policies, steps, and who reaches whom
/// after each of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "Portcullis scenario")]
pub(crate) struct File {
    /// The version of the scenario language.
    #[expect(dead_code, reason = "reading it is the check")]
    pub(crate) api_version: ApiVersion,
    /// What this file is.
    #[expect(dead_code, reason = "reading it is the check")]
    pub(crate) kind: Kind,
    /// What the scenario is called and what it is about.
    pub(crate) metadata: Metadata,
    /// The scenario itself.
    pub(crate) spec: Spec,
}

/// The version of the scenario language.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum ApiVersion {
    /// The only version there is.
    #[serde(rename = "portcullis.dev/v1alpha1")]
    V1Alpha1,
}

/// What a file is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum Kind {
    /// A scenario.
    Scenario,
}

/// What a scenario is called and what it is about.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Metadata {
    /// A name of a-z, 0-9 and `-`, unique among all scenarios.
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(crate) name: String,
    /// The claim in one line: what holds if the scenario passes.
    pub(crate) title: Option<String>,
    /// More, for a reader who wonders why.
    pub(crate) description: Option<String>,
    /// Words to select scenarios by.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// The numbered lines of the semantics list that this scenario shows.
    #[serde(default)]
    #[schemars(inner(range(min = 1, max = 248)))]
    pub(crate) covers: Vec<u16>,
}

/// The scenario itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Spec {
    /// What exists before the first step.
    pub(crate) cluster: Cluster,
    /// Parameters and their values: the scenario is played once for every combination, and every
    /// `${name}` in it is replaced. `family` and `fabric` also choose those of the cluster;
    /// `established`, `deny` and `unprogrammed` choose what the enforcer does.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "read before the rest of the file, because it changes the rest"
    )]
    pub(crate) for_each: BTreeMap<String, Vec<Scalar>>,
    /// Plays the scenario once for every order in which the objects of an `apply` can be created.
    pub(crate) permute: Option<Permute>,
    /// What a back end must be able to do; where it cannot, the scenario is skipped with the reason.
    #[serde(default)]
    pub(crate) requires: Vec<Feature>,
    /// Connections that are known to come out wrong somewhere. If they come out right, that is a
    /// failure too.
    #[serde(default)]
    pub(crate) expect_failure: Vec<ExpectFailure>,
    /// Endpoints that `default` is also about, beside all pods: `node/*`, `ext/internet`,
    /// `svc/x/web`. A flow, as in `"* -> *:icmp"`, adds just its connections.
    #[serde(default)]
    pub(crate) probe: Vec<String>,
    /// Policies by a name of their own, as plain Kubernetes manifests, as the path of a file with
    /// one manifest, or as many from one manifest. Steps apply and delete them by this name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, PolicySchema>")]
    pub(crate) policies: BTreeMap<String, Value>,
    /// The story.
    #[schemars(length(min = 1))]
    pub(crate) steps: Vec<Step>,
}

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Scalar(pub(crate) Value);

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

/// More policies of one entry than this are a mistake.
pub(crate) const MOST_REPEATED: u64 = 2_000;

/// A policy: a manifest or the path of one. Only for the schema; it is read as a manifest.
pub(crate) struct PolicySchema;

impl JsonSchema for PolicySchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Policy".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                {
                    "description": "The path of a file with one manifest, relative to this file.",
                    "type": "string",
                },
                {
                    "description": "A Kubernetes manifest that could be given to kubectl apply, \
                                    with templates such as ${ip:x/a} for addresses.",
                    "properties": {
                        "apiVersion": { "type": "string" },
                        "kind": { "type": "string" },
                        "metadata": { "type": "object" },
                        "spec": { "type": ["object", "null"] },
                    },
                    "required": ["apiVersion", "kind", "metadata"],
                    "type": "object",
                },
                {
                    "additionalProperties": false,
                    "description": "Many policies: the manifest once for every ${n} from 0 on.",
                    "properties": {
                        "manifest": {
                            "description": "The manifest, with ${n} at least in its name.",
                            "type": "object",
                        },
                        "repeat": {
                            "description": "How many.",
                            "maximum": MOST_REPEATED,
                            "minimum": 2,
                            "type": "integer",
                        },
                    },
                    "required": ["repeat", "manifest"],
                    "type": "object",
                },
            ]
        })
    }
}

/// What is permuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Permute {
    /// The order in which the policies of one `apply` are created; at most four of them.
    Policies,
}

/// Something that not every back end can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// SCTP.
    Sctp,
    /// IPv6 addresses of pods.
    Ipv6,
    /// Both families on one pod.
    DualStack,
    /// At least two nodes.
    MultiNode,
    /// Pods in the network namespace of their node.
    HostNetwork,
    /// Services.
    Services,
    /// Services of type NodePort.
    NodePort,
    /// Machines outside the cluster.
    External,
    /// Pods with a chosen or reused address.
    ChosenAddress,
    /// Ports of containers at an address of their node.
    HostPort,
    /// A chosen MTU of the links to pods.
    PodMtu,
    /// Objects in the store that the API server would refuse.
    StoredObjects,
    /// Power over the agents of nodes and over the kernel under them.
    Agents,
}

impl Feature {
    /// Its name, as in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
            Self::Ipv6 => "ipv6",
            Self::DualStack => "dual-stack",
            Self::MultiNode => "multi-node",
            Self::HostNetwork => "host-network",
            Self::Services => "services",
            Self::NodePort => "node-port",
            Self::External => "external",
            Self::ChosenAddress => "chosen-address",
            Self::HostPort => "host-port",
            Self::PodMtu => "pod-mtu",
            Self::StoredObjects => "stored-objects",
            Self::Agents => "agents",
        }
    }
}

/// A connection that is known to come out wrong somewhere.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExpectFailure {
    /// Where it comes out wrong.
    pub(crate) backend: BackendName,
    /// Which connections, as in `x/a -> y/b:80/tcp`.
    pub(crate) flow: String,
    /// In which step; in any if this is left out.
    pub(crate) step: Option<String>,
    /// Why.
    #[schemars(length(min = 1))]
    pub(crate) reason: String,
}

/// A back end, by the name people choose it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    /// The simulator.
    Simulator,
    /// A cluster that exists.
    Cluster,
    /// A cluster of kind.
    Kind,
}
