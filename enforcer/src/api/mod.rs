//! Kubernetes objects: decoding, defaulting and validation as the API server does them.
//!
//! | module | what is in it |
//! |---|---|
//! | [`manifest`] | from YAML documents to typed objects, strictly |
//! | `default` | what the API server fills in |
//! | `validate`, `selector`, `metadata`, `name` | what it refuses, with its own words |
//! | `address` | addresses and ranges, also in the forms that older servers let through |
//! | `object` | Pod, Namespace and Node as the index keeps them |
//! | `stored` | policies as a server sent them, also a newer one |
//! | `lower` | from NetworkPolicy to the policy model |
//!
//! Start at [`admit_network_policy`] for objects that people write and at
//! [`lower_network_policy`] for objects that a server already accepted. What must never happen:
//! that an object is refused here and accepted by the API server or the other way round, and that
//! a policy opens more because a part of it could not be read.

mod address;
mod default;
mod error;
mod lower;
pub mod manifest;
mod metadata;
mod name;
mod object;
mod selector;
mod stored;
mod validate;

use k8s_openapi::api::networking::v1::NetworkPolicy;

pub use self::{
    default::default_network_policy,
    error::{FieldError, FieldErrorKind},
    lower::{lower_network_policy, lower_stored_network_policy, policy_ref},
    object::{namespace, node, pod},
    stored::{Unknown, network_policy_from_json},
    validate::{validate_network_policy, validate_network_policy_update},
};

/// What the API server does with a policy that someone creates: fills in defaults, then validates.
///
/// # Errors
///
/// Everything for which the API server refuses it.
pub fn admit_network_policy(mut policy: NetworkPolicy) -> Result<NetworkPolicy, Vec<FieldError>> {
    default_network_policy(&mut policy);
    accepted_unless(validate_network_policy(&policy), policy)
}

/// What the API server does with a policy that someone replaces: fills in defaults and the uid,
/// then validates, tolerating what the object had before (semantics 244, 245).
///
/// # Errors
///
/// Everything for which the API server refuses it; the object then stays as it is.
pub fn admit_network_policy_update(
    old: &NetworkPolicy,
    mut new: NetworkPolicy,
) -> Result<NetworkPolicy, Vec<FieldError>> {
    default_network_policy(&mut new);
    if new.metadata.uid.is_none() {
        new.metadata.uid.clone_from(&old.metadata.uid);
    }
    accepted_unless(validate_network_policy_update(old, &new), new)
}

fn accepted_unless(
    errors: Vec<FieldError>,
    policy: NetworkPolicy,
) -> Result<NetworkPolicy, Vec<FieldError>> {
    if errors.is_empty() {
        Ok(policy)
    } else {
        Err(errors)
    }
}
