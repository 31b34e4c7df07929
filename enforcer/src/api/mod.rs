//! Kubernetes objects: decoding, defaulting and validation as the API server does them.
//!
//! | module | what is in it |
//! |---|---|
//! | [`manifest`] | from YAML documents to typed objects, strictly |
//! | `default` | what the API server fills in |
//! | `validate`, `selector`, `metadata`, `name` | what it refuses, with its own words |
//! | `address` | addresses and ranges, also in the forms that older servers let through |
//! | `object` | Pod, Namespace and Node as the index keeps them |
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
mod validate;

use k8s_openapi::api::networking::v1::NetworkPolicy;

pub use self::{
    default::default_network_policy,
    error::{FieldError, FieldErrorKind},
    lower::{lower_network_policy, policy_ref},
    object::{namespace, node, pod},
    validate::validate_network_policy,
};

/// What the API server does with a policy that someone creates: fills in defaults, then validates.
///
/// # Errors
///
/// Everything for which the API server refuses it.
pub fn admit_network_policy(mut policy: NetworkPolicy) -> Result<NetworkPolicy, Vec<FieldError>> {
    default_network_policy(&mut policy);
    let errors = validate_network_policy(&policy);
    if errors.is_empty() {
        Ok(policy)
    } else {
        Err(errors)
    }
}
