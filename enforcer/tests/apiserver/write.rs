//! Create, update, patch, delete.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::{
    Shared, admit,
    kind::Kind,
    service,
    status::Status,
    store::{self, Store},
};

type Reply = Result<Value, Status>;

/// Creates an object.
pub(super) fn create(
    shared: &Shared,
    kind: &'static Kind,
    namespace: &str,
    object: Value,
) -> Reply {
    let mut store = shared.lock();
    let created = create_in(&mut store, kind, namespace, object, Mode::Real)?;
    drop(store);
    shared.tell();
    Ok(created)
}

/// What would come of creating an object.
pub(super) fn create_dry(
    shared: &Shared,
    kind: &'static Kind,
    namespace: &str,
    object: Value,
) -> Reply {
    create_in(&mut shared.lock(), kind, namespace, object, Mode::Dry)
}

/// Whether a write changes anything (`dryRun=All`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Real,
    Dry,
}

fn create_in(
    store: &mut Store,
    kind: &'static Kind,
    namespace: &str,
    mut object: Value,
    mode: Mode,
) -> Reply {
    check_type(kind, &object)?;
    place_in(kind, namespace, &mut object)?;
    let metadata = &mut object["metadata"];
    if metadata["name"].as_str().unwrap_or_default().is_empty()
        && let Some(prefix) = metadata["generateName"].as_str()
    {
        metadata["name"] = json!(format!("{prefix}{:05x}", store.version() & 0xf_ffff));
    }
    if kind.is_namespaced {
        check_namespace(store, kind, namespace, name_of(&object))?;
    }
    let mut object = admit::created(kind, object)?;
    if kind.plural == "services" {
        object = service::allocated(store, kind, object, None)?;
    }
    let name = name_of(&object).to_owned();
    if store.get(kind, namespace, &name).is_some() {
        return Err(Status::already_exists(kind, &name));
    }
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(format!(
        "00000000-0000-4000-8000-{:012x}",
        store.version() + 1
    ));
    metadata["creationTimestamp"] = json!(timestamp(Duration::ZERO));
    metadata["generation"] = json!(1);
    if mode == Mode::Dry {
        return Ok(object);
    }
    Ok(store.put(kind, namespace, &name, object))
}

/// Replaces an object, or one of its subresources.
pub(super) fn replace(
    shared: &Shared,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    subresource: &str,
    object: Value,
) -> Reply {
    let mut store = shared.lock();
    let at = (namespace, name, subresource);
    let replaced = replace_in(&mut store, kind, at, object, Mode::Real)?;
    drop(store);
    shared.tell();
    Ok(replaced)
}

/// What would come of replacing an object.
pub(super) fn replace_dry(
    shared: &Shared,
    kind: &'static Kind,
    at: (&str, &str, &str),
    object: Value,
) -> Reply {
    replace_in(&mut shared.lock(), kind, at, object, Mode::Dry)
}

fn replace_in(
    store: &mut Store,
    kind: &'static Kind,
    (namespace, name, subresource): (&str, &str, &str),
    mut object: Value,
    mode: Mode,
) -> Reply {
    check_type(kind, &object)?;
    place_in(kind, namespace, &mut object)?;
    if name_of(&object) != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            name_of(&object)
        )));
    }
    let old = store
        .get(kind, namespace, name)
        .ok_or_else(|| Status::not_found(kind, name))?;
    let version = &object["metadata"]["resourceVersion"];
    if version.as_str().is_some_and(|v| !v.is_empty())
        && version != &old["metadata"]["resourceVersion"]
    {
        return Err(Status::conflict(kind, name));
    }
    let uid = &object["metadata"]["uid"];
    if !uid.is_null() && uid != &old["metadata"]["uid"] {
        return Err(Status::conflict(kind, name));
    }
    let mut new = match subresource {
        "" => {
            let mut new = admit::updated(kind, &old, object)?;
            if kind.plural == "services" {
                set(&mut new["metadata"], "uid", old["metadata"]["uid"].clone());
                new = service::allocated(store, kind, new, Some(&old))?;
            }
            if kind.has_status {
                keep(&mut new, &old, "status");
            }
            new
        }
        "status" if kind.has_status => {
            let mut new = (*old).clone();
            keep(&mut new, &object, "status");
            new
        }
        "finalize" if kind.plural == "namespaces" => {
            let mut new = (*old).clone();
            new["spec"]["finalizers"] = object["spec"]["finalizers"].clone();
            new
        }
        other => return Err(Status::not_found(kind, &format!("{name}/{other}"))),
    };
    new["apiVersion"] = json!(kind.api_version());
    new["kind"] = json!(kind.kind);
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ] {
        let value = old["metadata"][field].clone();
        set(&mut new["metadata"], field, value);
    }
    if new == *old || mode == Mode::Dry {
        return Ok(new);
    }
    if new["spec"] != old["spec"] && subresource.is_empty() {
        let generation = old["metadata"]["generation"].as_u64().unwrap_or_default();
        new["metadata"]["generation"] = json!(generation + 1);
    }
    if is_ending(&new) && !is_held(kind, &new) && grace_is_over(&new) {
        return store
            .remove(kind, namespace, name)
            .ok_or_else(|| Status::not_found(kind, name));
    }
    Ok(store.put(kind, namespace, name, new))
}

/// How a patch is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchKind {
    /// RFC 7386. Lists are replaced, also for a strategic patch.
    Merge,
    /// RFC 6902.
    Json,
    /// Server-side apply: what a manager no longer names is taken away, if it was its own.
    Apply,
}

/// Patches an object.
pub(super) fn patch(
    shared: &Shared,
    kind: &'static Kind,
    at: (&str, &str, &str),
    how: PatchKind,
    manager: &str,
    patch: Value,
) -> Reply {
    let (namespace, name, _) = at;
    let mut store = shared.lock();
    let Some(old) = store.get(kind, namespace, name) else {
        if how != PatchKind::Apply {
            return Err(Status::not_found(kind, name));
        }
        let created = create_in(&mut store, kind, namespace, patch.clone(), Mode::Real)?;
        let key = store::key(kind, namespace, name);
        store.applied.insert((key, manager.to_owned()), patch);
        drop(store);
        shared.tell();
        return Ok(created);
    };
    let mut new = (*old).clone();
    match how {
        PatchKind::Merge => merge(&mut new, &patch),
        PatchKind::Json => json_patch(&mut new, &patch)?,
        PatchKind::Apply => {
            let key = (store::key(kind, namespace, name), manager.to_owned());
            if let Some(before) = store.applied.get(&key) {
                take_away(&mut new, before, &patch);
            }
            merge(&mut new, &patch);
            store.applied.insert(key, patch);
        }
    }
    let patched = replace_in(&mut store, kind, at, new, Mode::Real)?;
    drop(store);
    shared.tell();
    Ok(patched)
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (key, value) in fields {
        if value.is_null() {
            set(into, key, Value::Null);
        } else {
            merge(&mut into[key], value);
        }
    }
}

/// Removes what `before` names and `after` does not.
fn take_away(from: &mut Value, before: &Value, after: &Value) {
    let Value::Object(fields) = before else {
        return;
    };
    for (key, value) in fields {
        if after.get(key).is_none() {
            set(from, key, Value::Null);
        } else if value.is_object() {
            take_away(&mut from[key], value, &after[key]);
        }
    }
}

fn json_patch(object: &mut Value, patch: &Value) -> Result<(), Status> {
    let wrong =
        |operation: &Value| Status::new(422, "Invalid", format!("cannot patch: {operation}"));
    for operation in patch.as_array().into_iter().flatten() {
        let path = operation["path"].as_str().unwrap_or_default();
        let (parent, last) = path.rsplit_once('/').ok_or_else(|| wrong(operation))?;
        let last = last.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent).ok_or_else(|| wrong(operation))?;
        let value = operation["value"].clone();
        match (operation["op"].as_str().unwrap_or_default(), parent) {
            ("test", parent) if parent[&last] == value => {}
            ("add" | "replace", Value::Object(fields)) => {
                fields.insert(last, value);
            }
            ("remove", Value::Object(fields)) => {
                fields.remove(&last);
            }
            ("add", Value::Array(items)) if last == "-" => items.push(value),
            _ => return Err(wrong(operation)),
        }
    }
    Ok(())
}

/// Deletes an object, or begins to.
pub(super) fn delete(
    shared: &Shared,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    options: &Value,
) -> Reply {
    let mut store = shared.lock();
    let reply = delete_in(&mut store, kind, namespace, name, options)?;
    if shared.settings.ends_namespaces {
        end_namespace(
            &mut store,
            if kind.is_namespaced { namespace } else { name },
        );
    }
    drop(store);
    shared.tell();
    Ok(reply)
}

fn delete_in(
    store: &mut Store,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    options: &Value,
) -> Reply {
    let old = store
        .get(kind, namespace, name)
        .ok_or_else(|| Status::not_found(kind, name))?;
    for field in ["uid", "resourceVersion"] {
        let wanted = &options["preconditions"][field];
        if !wanted.is_null() && *wanted != old["metadata"][field] {
            return Err(Status::conflict(kind, name));
        }
    }
    let grace = if kind.plural == "pods" {
        grace_of(&old, options)
    } else {
        0
    };
    if grace == 0 && !is_held(kind, &old) {
        return store
            .remove(kind, namespace, name)
            .ok_or_else(|| Status::not_found(kind, name));
    }
    let was = old["metadata"]["deletionGracePeriodSeconds"].as_u64();
    if is_ending(&old) && was.is_none_or(|was| was <= grace) {
        return Ok((*old).clone());
    }
    let mut new = (*old).clone();
    new["metadata"]["deletionTimestamp"] = json!(timestamp(Duration::from_secs(grace)));
    new["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    if kind.plural == "namespaces" {
        new["status"]["phase"] = json!("Terminating");
    }
    Ok(store.put(kind, namespace, name, new))
}

/// A pod that nobody runs needs no grace.
fn grace_of(pod: &Value, options: &Value) -> u64 {
    let is_unbound = pod["spec"]["nodeName"]
        .as_str()
        .unwrap_or_default()
        .is_empty();
    let is_finished =
        ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default());
    if is_unbound || is_finished {
        return 0;
    }
    options["gracePeriodSeconds"]
        .as_u64()
        .or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_u64())
        .unwrap_or(30)
}

/// What the namespace controller does with a namespace that ends: pods get their grace, whatever
/// needs none goes at once, and after the last of them the namespace.
fn end_namespace(store: &mut Store, name: &str) {
    let Some(kind) = Kind::of_plural("namespaces") else {
        return;
    };
    if !store
        .get(kind, "", name)
        .is_some_and(|object| is_ending(&object))
    {
        return;
    }
    for (inner, object) in store.inside(name) {
        // It is there, and without preconditions nothing can be refused.
        let _ = delete_in(store, inner, name, &object, &Value::Null);
    }
    if store.inside(name).is_empty() {
        store.remove(kind, "", name);
    }
}

/// Binds a pod to a node.
pub(super) fn bind(shared: &Shared, namespace: &str, name: &str, binding: &Value) -> Reply {
    let kind = Kind::of_plural("pods").ok_or_else(|| Status::bad_request("no pods"))?;
    let mut store = shared.lock();
    let old = store
        .get(kind, namespace, name)
        .ok_or_else(|| Status::not_found(kind, name))?;
    let mut new = (*old).clone();
    new["spec"]["nodeName"] = binding["target"]["name"].clone();
    store.put(kind, namespace, name, new);
    drop(store);
    shared.tell();
    Ok(
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}

fn check_type(kind: &Kind, object: &Value) -> Result<(), Status> {
    let given = (
        object["apiVersion"].as_str().unwrap_or_default(),
        object["kind"].as_str().unwrap_or_default(),
    );
    if given == (kind.api_version().as_str(), kind.kind) {
        return Ok(());
    }
    Err(Status::bad_request(format!(
        "the API version and kind in the data ({}, {}) do not match the expected ones ({}, {})",
        given.0,
        given.1,
        kind.api_version(),
        kind.kind
    )))
}

fn place_in(kind: &Kind, namespace: &str, object: &mut Value) -> Result<(), Status> {
    if !kind.is_namespaced {
        return Ok(());
    }
    match object["metadata"]["namespace"].as_str().unwrap_or_default() {
        "" => object["metadata"]["namespace"] = json!(namespace),
        given if given == namespace => {}
        _ => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    Ok(())
}

fn check_namespace(store: &Store, kind: &Kind, namespace: &str, name: &str) -> Result<(), Status> {
    let namespaces =
        Kind::of_plural("namespaces").ok_or_else(|| Status::bad_request("no namespaces"))?;
    match store.get(namespaces, "", namespace) {
        None => Err(Status::not_found(namespaces, namespace)),
        Some(found) if is_ending(&found) => {
            let message = format!(
                "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} \
                 because it is being terminated",
                kind.qualified()
            );
            let mut status = Status::new(403, "Forbidden", message);
            status.details = json!({"causes": [{"reason": "NamespaceTerminating"}]});
            Err(status)
        }
        Some(_) => Ok(()),
    }
}

fn is_ending(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn grace_is_over(object: &Value) -> bool {
    object["metadata"]["deletionGracePeriodSeconds"]
        .as_u64()
        .unwrap_or_default()
        == 0
}

/// Whether a finalizer keeps it.
fn is_held(kind: &Kind, object: &Value) -> bool {
    let has_any = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    has_any(&object["metadata"]["finalizers"])
        || kind.plural == "namespaces" && has_any(&object["spec"]["finalizers"])
}

fn keep(new: &mut Value, of: &Value, field: &str) {
    let value = of.get(field).cloned().unwrap_or_default();
    set(new, field, value);
}

/// Sets a field; null removes it.
fn set(object: &mut Value, field: &str, value: Value) {
    if !value.is_null() {
        object[field] = value;
    } else if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A moment from now, as Kubernetes writes it: whole seconds.
fn timestamp(ahead: Duration) -> String {
    let time =
        jiff::Timestamp::try_from(SystemTime::now() + ahead).expect("a time of this century");
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
