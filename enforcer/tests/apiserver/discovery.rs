//! What is asked before anything else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kind::Kind;

/// The answer to a path that is not about objects; none if there is none.
pub(super) fn answer(path: &[&str]) -> Option<Value> {
    match path {
        ["version"] => Some(json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0"})),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => {
            let groups: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.group).collect();
            let groups = groups
                .into_iter()
                .filter(|group| !group.is_empty())
                .map(group);
            Some(json!({
                "kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>(),
            }))
        }
        ["apis", name] => Some(group(name)),
        ["api", version] => resources("", version),
        ["apis", group, version] => resources(group, version),
        _ => None,
    }
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let verbs = [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ];
    let kinds: Vec<_> = Kind::ALL
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
        .map(|kind| {
            json!({
                "name": kind.plural, "singularName": kind.kind.to_lowercase(),
                "namespaced": kind.is_namespaced, "kind": kind.kind, "verbs": verbs,
            })
        })
        .collect();
    let name = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    (!kinds.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": kinds})
    })
}
