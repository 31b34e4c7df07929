//! Policies as a server sent them, which may be newer than this program.
//!
//! A type that is decoded leniently loses the fields it does not know, and a rule without the field
//! that restricts it would allow more than was meant. So the JSON is compared with what is known
//! here, and whatever holds something unknown is replaced by something that [lowering] cannot read
//! and that therefore matches nothing (semantics 227, 248). What does so:
//!
//! | unknown in | is replaced |
//! |---|---|
//! | an entry of `from`, `to` or `ports` | the entry |
//! | a rule | its peers |
//! | `podSelector`, `policyTypes` | that field |
//! | the rest of `spec` | the rules of that direction, or of both |
//!
//! [lowering]: super::lower_network_policy

use std::fmt;

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};
use serde::{Deserialize as _, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::yaml::FieldPath;

/// Something in a stored object that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The field.
    pub path: FieldPath,
    /// What about it: `unknown field`, or why its value cannot be read.
    pub why: String,
    /// What was replaced for it.
    closed: FieldPath,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

impl Unknown {
    /// Whether it is the reason for which nothing can be read at `path`.
    pub(super) fn closed(&self, path: &FieldPath) -> bool {
        path.segments().starts_with(self.closed.segments())
    }
}

/// A policy from the JSON that a server sent, and everything in it that is not known here. Where
/// that is, the policy closes ([`lower_network_policy`] reads nothing there), so that the result can
/// be used like any other.
///
/// [`lower_network_policy`]: super::lower_network_policy
pub fn network_policy_from_json(object: &Value) -> (NetworkPolicy, Vec<Unknown>) {
    let mut reader = Reader::default();
    let root = FieldPath::root();
    let empty = Map::new();
    let fields = object.as_object().unwrap_or(&empty);
    let metadata = reader.metadata(fields.get("metadata"), &root.key("metadata"));
    let mut spec = reader.spec(fields.get("spec"), &root.key("spec"));
    // Old servers had a status (semantics 247); nothing in it concerns the verdict.
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    if reader.has_unknown_fields(fields, &known, &root) {
        close(&mut spec);
    }
    let policy = NetworkPolicy {
        metadata,
        spec: Some(spec),
    };
    (policy, reader.unknown)
}

/// No rule of it allows anything any more.
fn close(spec: &mut NetworkPolicySpec) {
    for rule in spec.ingress.iter_mut().flatten() {
        rule.from = Some(vec![NetworkPolicyPeer::default()]);
    }
    for rule in spec.egress.iter_mut().flatten() {
        rule.to = Some(vec![NetworkPolicyPeer::default()]);
    }
}

/// A value that lowering cannot read, in place of one that this module could not.
trait Unreadable {
    fn unreadable() -> Self;
}

impl Unreadable for NetworkPolicyPeer {
    /// A peer without any field (semantics 237).
    fn unreadable() -> Self {
        Self::default()
    }
}

impl Unreadable for NetworkPolicyPort {
    /// A port without a protocol that there is (semantics 230).
    fn unreadable() -> Self {
        Self {
            protocol: Some(String::new()),
            ..Self::default()
        }
    }
}

impl Unreadable for LabelSelector {
    /// A selector with an operator that there is not (semantics 243).
    fn unreadable() -> Self {
        Self {
            match_expressions: Some(vec![LabelSelectorRequirement::default()]),
            match_labels: None,
        }
    }
}

/// A type that there is not (semantics 242).
fn unreadable_types() -> Vec<String> {
    vec![String::new()]
}

#[derive(Default)]
struct Reader {
    unknown: Vec<Unknown>,
}

impl Reader {
    /// Notes what cannot be read and is replaced as a whole.
    fn note(&mut self, path: &FieldPath, why: impl fmt::Display) {
        self.unknown.push(Unknown {
            path: path.clone(),
            why: why.to_string(),
            closed: path.clone(),
        });
    }

    /// Notes a field that is not known, for which `closed` is replaced.
    fn note_field(&mut self, path: &FieldPath, closed: &FieldPath) {
        self.unknown.push(Unknown {
            path: path.clone(),
            why: "unknown field".to_owned(),
            closed: closed.clone(),
        });
    }

    /// Notes fields that are not known, and says whether there are any.
    fn has_unknown_fields(
        &mut self,
        fields: &Map<String, Value>,
        known: &[&str],
        path: &FieldPath,
    ) -> bool {
        let mut found = false;
        for field in fields.keys().filter(|key| !known.contains(&key.as_str())) {
            self.note_field(&path.key(field), path);
            found = true;
        }
        found
    }

    /// Newer metadata changes no verdict, so only what identifies the object must be readable.
    fn metadata(&mut self, value: Option<&Value>, path: &FieldPath) -> ObjectMeta {
        let value = value.unwrap_or(&Value::Null);
        if let Ok(metadata) = ObjectMeta::deserialize(value) {
            return metadata;
        }
        self.note(path, "cannot be read");
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            ..ObjectMeta::default()
        }
    }

    fn spec(&mut self, value: Option<&Value>, path: &FieldPath) -> NetworkPolicySpec {
        let fields = match value {
            None | Some(Value::Null) => return NetworkPolicySpec::default(),
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                self.note(path, "expected an object");
                return NetworkPolicySpec {
                    pod_selector: Some(Unreadable::unreadable()),
                    policy_types: Some(unreadable_types()),
                    ..NetworkPolicySpec::default()
                };
            }
        };
        let mut spec = NetworkPolicySpec {
            pod_selector: fields
                .get("podSelector")
                .filter(|value| !value.is_null())
                .map(|value| self.entry(value, &selector_shape(), &path.key("podSelector"))),
            policy_types: fields.get("policyTypes").and_then(|value| {
                Option::<Vec<String>>::deserialize(value).unwrap_or_else(|why| {
                    self.note(&path.key("policyTypes"), why);
                    Some(unreadable_types())
                })
            }),
            ingress: self.ingress(fields.get("ingress"), &path.key("ingress")),
            egress: self.egress(fields.get("egress"), &path.key("egress")),
        };
        let known = ["podSelector", "policyTypes", "ingress", "egress"];
        if self.has_unknown_fields(fields, &known, path) {
            close(&mut spec);
        }
        spec
    }

    fn ingress(
        &mut self,
        value: Option<&Value>,
        path: &FieldPath,
    ) -> Option<Vec<NetworkPolicyIngressRule>> {
        let rules = self.rules(value, "from", path)?;
        let rule = |(from, ports)| NetworkPolicyIngressRule { from, ports };
        Some(rules.into_iter().map(rule).collect())
    }

    fn egress(
        &mut self,
        value: Option<&Value>,
        path: &FieldPath,
    ) -> Option<Vec<NetworkPolicyEgressRule>> {
        let rules = self.rules(value, "to", path)?;
        let rule = |(to, ports)| NetworkPolicyEgressRule { to, ports };
        Some(rules.into_iter().map(rule).collect())
    }

    /// The peers and ports of each rule. A list that cannot be read is one rule that allows nothing,
    /// so that it still adds its direction to the types (semantics 9).
    fn rules(
        &mut self,
        value: Option<&Value>,
        peers: &str,
        path: &FieldPath,
    ) -> Option<Vec<PeersAndPorts>> {
        let nothing = || (Some(vec![NetworkPolicyPeer::default()]), None);
        let rules = match value? {
            Value::Null => return None,
            Value::Array(rules) => rules,
            _ => {
                self.note(path, "expected a list");
                return Some(vec![nothing()]);
            }
        };
        let mut read = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let path = path.index(index);
            let Some(fields) = rule.as_object() else {
                self.note(&path, "expected an object");
                read.push(nothing());
                continue;
            };
            let from = self.entries(fields.get(peers), &peer_shape(), &path.key(peers));
            let ports = self.entries(fields.get("ports"), &port_shape(), &path.key("ports"));
            let is_known = !self.has_unknown_fields(fields, &[peers, "ports"], &path);
            read.push(if is_known {
                (from, ports)
            } else {
                (nothing().0, ports)
            });
        }
        Some(read)
    }

    fn entries<T: DeserializeOwned + Unreadable>(
        &mut self,
        value: Option<&Value>,
        shape: &Shape,
        path: &FieldPath,
    ) -> Option<Vec<T>> {
        match value? {
            Value::Null => None,
            Value::Array(entries) => {
                let entries = entries.iter().enumerate();
                let read = entries.map(|(i, entry)| self.entry(entry, shape, &path.index(i)));
                Some(read.collect())
            }
            _ => {
                self.note(path, "expected a list");
                Some(vec![T::unreadable()])
            }
        }
    }

    fn entry<T: DeserializeOwned + Unreadable>(
        &mut self,
        value: &Value,
        shape: &Shape,
        path: &FieldPath,
    ) -> T {
        let before = self.unknown.len();
        self.compare(value, shape, path, path);
        let read = T::deserialize(value);
        if let Err(why) = &read
            && self.unknown.len() == before
        {
            self.note(path, why);
        }
        match read {
            Ok(read) if self.unknown.len() == before => read,
            _ => T::unreadable(),
        }
    }

    /// Notes every field of `value` that `shape` does not have; `entry` is what they are a part of.
    fn compare(&mut self, value: &Value, shape: &Shape, path: &FieldPath, entry: &FieldPath) {
        match (shape, value) {
            (Shape::Object(known), Value::Object(fields)) => {
                for (key, value) in fields {
                    match known.iter().find(|(name, _)| name == key) {
                        Some((_, shape)) => self.compare(value, shape, &path.key(key), entry),
                        None => self.note_field(&path.key(key), entry),
                    }
                }
            }
            (Shape::List(shape), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.compare(item, shape, &path.index(index), entry);
                }
            }
            _ => {}
        }
    }
}

/// What `from` or `to`, and `ports`, of a rule are.
type PeersAndPorts = (
    Option<Vec<NetworkPolicyPeer>>,
    Option<Vec<NetworkPolicyPort>>,
);

/// The fields that are known of a value.
enum Shape {
    Object(Vec<(&'static str, Shape)>),
    List(Box<Shape>),
    /// Its type has no fields, or any.
    Value,
}

fn selector_shape() -> Shape {
    let requirement = Shape::Object(vec![
        ("key", Shape::Value),
        ("operator", Shape::Value),
        ("values", Shape::Value),
    ]);
    Shape::Object(vec![
        ("matchLabels", Shape::Value),
        ("matchExpressions", Shape::List(Box::new(requirement))),
    ])
}

fn peer_shape() -> Shape {
    let block = Shape::Object(vec![("cidr", Shape::Value), ("except", Shape::Value)]);
    Shape::Object(vec![
        ("podSelector", selector_shape()),
        ("namespaceSelector", selector_shape()),
        ("ipBlock", block),
    ])
}

fn port_shape() -> Shape {
    Shape::Object(vec![
        ("protocol", Shape::Value),
        ("port", Shape::Value),
        ("endPort", Shape::Value),
    ])
}
