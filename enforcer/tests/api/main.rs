//! Kubernetes objects, as the API server treats them.

mod default;
mod fail_closed;
mod lower;
mod manifest;
mod object;
mod stored;
mod update;
mod validate;

use enforcer::yaml::{Source, parse};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;

/// An object from YAML, as written: no defaults, no validation.
fn object<T: DeserializeOwned>(text: &str) -> T {
    let document = parse(&Source::new("test.yaml", text))
        .expect("good YAML")
        .remove(0);
    document
        .decode()
        .unwrap_or_else(|errors| panic!("the object fits its type: {errors}"))
}

/// The policy `x/p` with this spec in flow style, as written.
fn policy(spec: &str) -> NetworkPolicy {
    object(&format!(
        "metadata: {{namespace: x, name: p}}\nspec: {spec}\n"
    ))
}
