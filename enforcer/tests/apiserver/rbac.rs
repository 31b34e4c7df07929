//! Who may do what.

use serde_json::Value;

use super::{kind::Kind, store::Store};

/// What somebody wants to do.
pub(super) struct Request<'a> {
    pub(super) user: &'a str,
    pub(super) verb: &'a str,
    pub(super) kind: &'a Kind,
    pub(super) subresource: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// Whether a role that is bound to the user allows it.
pub(super) fn allows(store: &Store, request: &Request<'_>) -> bool {
    let bindings = [
        ("clusterrolebindings", ""),
        ("rolebindings", request.namespace),
    ];
    bindings.iter().any(|(plural, namespace)| {
        let Some(kind) = Kind::of_plural(plural) else {
            return false;
        };
        if kind.is_namespaced && namespace.is_empty() {
            return false;
        }
        store
            .all(kind, namespace)
            .iter()
            .filter(|binding| names(binding, request.user))
            .any(|binding| {
                let role = &binding["roleRef"];
                let plural = match role["kind"].as_str() {
                    Some("Role") => "roles",
                    _ => "clusterroles",
                };
                let name = role["name"].as_str().unwrap_or_default();
                let place = if plural == "roles" { *namespace } else { "" };
                Kind::of_plural(plural)
                    .and_then(|kind| store.get(kind, place, name))
                    .is_some_and(|role| items(&role["rules"]).any(|rule| covers(rule, request)))
            })
    })
}

fn names(binding: &Value, user: &str) -> bool {
    items(&binding["subjects"]).any(|subject| {
        let text = |field: &str| subject[field].as_str().unwrap_or_default();
        match text("kind") {
            "ServiceAccount" => {
                user == format!(
                    "system:serviceaccount:{}:{}",
                    text("namespace"),
                    text("name")
                )
            }
            "User" => user == text("name"),
            "Group" => text("name") == "system:authenticated" && user != "system:anonymous",
            _ => false,
        }
    })
}

fn covers(rule: &Value, request: &Request<'_>) -> bool {
    let resource = if request.subresource.is_empty() {
        request.kind.plural.to_owned()
    } else {
        format!("{}/{}", request.kind.plural, request.subresource)
    };
    let has =
        |field: &str, wanted: &str| items(&rule[field]).any(|item| item == "*" || item == wanted);
    let is_named = rule["resourceNames"].as_array().is_none_or(Vec::is_empty)
        || items(&rule["resourceNames"]).any(|name| name == request.name);
    has("apiGroups", request.kind.group)
        && has("resources", &resource)
        && has("verbs", request.verb)
        && is_named
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
