//! Defaults, validation, and what a write may change.

use std::collections::BTreeSet;

use enforcer::{
    api::{FieldError, admit_network_policy, admit_network_policy_update},
    yaml,
};
use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod, Service},
    events::v1::Event,
    networking::v1::NetworkPolicy,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{kind::Kind, status::Status};

/// What the server makes of an object that somebody creates.
pub(super) fn created(kind: &Kind, mut object: Value) -> Result<Value, Status> {
    let name = name(&object);
    match kind.plural {
        "networkpolicies" => {
            let policy = typed::<NetworkPolicy>(&object)?;
            let admitted = admit_network_policy(policy);
            object = of(&admitted.map_err(|errors| invalid(kind, &name, &errors))?);
        }
        "pods" => {
            object = pruned::<Pod>(&object)?;
            if object["spec"]["containers"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                return Err(required(kind, &name, "spec.containers"));
            }
            check_port_names(kind, &name, &object)?;
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
            default_pod(&mut object);
        }
        "namespaces" => {
            object = pruned::<Namespace>(&object)?;
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({"phase": "Active"});
            label_with_name(&mut object, &name);
        }
        "nodes" => object = pruned::<Node>(&object)?,
        "services" => object = pruned::<Service>(&object)?,
        "events" => {
            object = pruned::<Event>(&object)?;
            check_event(kind, &name, &object)?;
        }
        _ => {}
    }
    check_metadata(kind, &object)?;
    Ok(object)
}

/// The ports of one container have different names.
fn check_port_names(kind: &Kind, name: &str, pod: &Value) -> Result<(), Status> {
    let mut errors = Vec::new();
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    for (at, container) in containers.enumerate() {
        let mut names = BTreeSet::new();
        let ports = container["ports"].as_array().into_iter().flatten();
        for (index, port) in ports.enumerate() {
            if let Some(name) = port["name"].as_str()
                && !names.insert(name)
            {
                let field = format!("spec.containers[{at}].ports[{index}].name");
                errors.push((field, format!("Duplicate value: {name:?}")));
            }
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid(kind, name, &errors)),
    }
}

/// What `ValidateEventCreate` asks of an event of events.k8s.io/v1.
fn check_event(kind: &Kind, name: &str, event: &Value) -> Result<(), Status> {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    let mut refuse = |field: &str, why: String| errors.push((field.to_owned(), why));
    if event["metadata"]["namespace"] != event["regarding"]["namespace"] {
        refuse(
            "involvedObject.namespace",
            "does not match event.namespace".to_owned(),
        );
    }
    let limits = [
        ("eventTime", usize::MAX),
        ("reportingController", 63 + 1 + 253),
        ("reportingInstance", 128),
        ("action", 128),
        ("reason", 128),
    ];
    for (field, longest) in limits {
        match text(field).len() {
            0 => refuse(field, "Required value".to_owned()),
            length if length > longest => {
                refuse(field, format!("can have at most {longest} characters"));
            }
            _ => {}
        }
    }
    if text("note").len() > 1024 {
        refuse("message", "can have at most 1024 characters".to_owned());
    }
    if !["Normal", "Warning"].contains(&text("type")) {
        refuse("type", format!("Invalid value: {}", event["type"]));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(kind, name, &errors))
    }
}

/// What the server makes of an object that replaces another.
pub(super) fn updated(kind: &Kind, old: &Value, mut new: Value) -> Result<Value, Status> {
    let name = name(&new);
    match kind.plural {
        "networkpolicies" => {
            let admitted = admit_network_policy_update(&typed(old)?, typed(&new)?);
            new = of(&admitted.map_err(|errors| invalid(kind, &name, &errors))?);
        }
        "pods" => {
            new = pruned::<Pod>(&new)?;
            default_pod(&mut new);
            // Real servers let images and a few other fields change; no verdict depends on them.
            if masked(&old["spec"]) != masked(&new["spec"]) {
                let message = "Forbidden: pod updates may not change fields other than \
                               `spec.containers[*].image`, ..";
                return Err(Status::invalid(
                    kind,
                    &name,
                    &[("spec".into(), message.into())],
                ));
            }
        }
        "namespaces" => {
            new = pruned::<Namespace>(&new)?;
            new["spec"] = old["spec"].clone();
            label_with_name(&mut new, &name);
        }
        "nodes" => new = pruned::<Node>(&new)?,
        "services" => new = pruned::<Service>(&new)?,
        _ => {}
    }
    check_metadata(kind, &new)?;
    Ok(new)
}

fn default_pod(pod: &mut Value) {
    let spec = &mut pod["spec"];
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        for port in container["ports"].as_array_mut().into_iter().flatten() {
            default(port, "protocol", json!("TCP"));
        }
    }
}

fn masked(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["image"] = Value::Null;
        }
        if spec[list].is_null()
            && let Some(fields) = spec.as_object_mut()
        {
            fields.remove(list);
        }
    }
    spec
}

/// Names, labels and annotations, by the rules that the enforcer has for manifests.
fn check_metadata(kind: &Kind, object: &Value) -> Result<(), Status> {
    const CHECKED: [&str; 4] = ["namespaces", "nodes", "pods", "services"];
    if !CHECKED.contains(&kind.plural) {
        return Ok(());
    }
    let metadata = &object["metadata"];
    let mut bare = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": {"name": metadata["name"]},
    });
    for field in ["namespace", "labels", "annotations"] {
        if !metadata[field].is_null() {
            bare["metadata"][field] = metadata[field].clone();
        }
    }
    let text = bare.to_string();
    let source = yaml::Source::new("request", text);
    let documents =
        yaml::parse(&source).map_err(|error| Status::bad_request(format!("{error:?}")))?;
    for document in &documents {
        if let Err(errors) = enforcer::api::manifest::decode(document) {
            let errors: Vec<_> = errors
                .0
                .iter()
                .map(|error| ("metadata".to_owned(), error.message.clone()))
                .collect();
            return Err(Status::invalid(kind, &name(object), &errors));
        }
    }
    Ok(())
}

fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Status {
    let errors: Vec<_> = errors
        .iter()
        .map(|error| (error.path.to_string(), error.body()))
        .collect();
    Status::invalid(kind, name, &errors)
}

fn required(kind: &Kind, name: &str, field: &str) -> Status {
    Status::invalid(
        kind,
        name,
        &[(field.to_owned(), "Required value".to_owned())],
    )
}

/// Unknown fields are lost, as in every typed API.
fn pruned<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, Status> {
    Ok(of(&typed::<T>(object)?))
}

fn typed<T: DeserializeOwned>(object: &Value) -> Result<T, Status> {
    T::deserialize(object)
        .map_err(|error| Status::bad_request(format!("the object cannot be decoded: {error}")))
}

fn of(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("API types are JSON")
}

fn default(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

fn label_with_name(object: &mut Value, name: &str) {
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
}

fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
