//! Kubernetes events: a policy that cannot be honoured says so where its owner looks.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Client, core::Request, core::params::PostParams};

use super::{Complaint, Fault};
use crate::policy::PolicyRef;

/// Who says it, as events name programs.
const CONTROLLER: &str = "portcullis.dev/agent";
/// Longest note in bytes, name of an object, and name of an instance (API validation).
const NOTE_MAX: usize = 1024;
const NAME_MAX: usize = 253;
const INSTANCE_MAX: usize = 128;

/// The rule of a ClusterRole that allows to publish events.
pub const EVENT_RULE: &str =
    "- apiGroups: [\"events.k8s.io\"]\n  resources: [events]\n  verbs: [create]";

/// Why an event is not published. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The server does not allow it (403).
    #[error(
        "publish an event: {message}; either run with --no-events, or a ClusterRole bound to this \
         user needs the rule\n{EVENT_RULE}"
    )]
    Forbidden {
        /// What the server said.
        message: String,
    },
    /// The namespace ends, and the policy with it; or it has gone already.
    #[error("publish an event: its namespace is gone")]
    NoNamespace,
    /// Anything else.
    #[error("publish an event")]
    Other(#[source] Box<kube::Error>),
}

/// The name of the event about a complaint: the same for every agent that has the same complaint,
/// so that of all agents' events there is one.
pub fn event_name(policy: &PolicyRef, complaint: &Complaint) -> String {
    let mut hasher = DefaultHasher::new();
    complaint.hash(&mut hasher);
    let suffix = format!(".{:016x}", hasher.finish());
    let mut name = policy.name.to_string();
    name.truncate(NAME_MAX - suffix.len());
    // A label of the name must not end in `-`.
    let readable = name.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
    format!("{readable}{suffix}")
}

/// Publishes the event about a complaint. Says whether it is new: another agent, or this one some
/// time ago, may have published it.
///
/// # Errors
/// See [`PublishError`].
pub async fn publish(
    client: &Client,
    node: &str,
    policy: &PolicyRef,
    complaint: &Complaint,
) -> Result<bool, PublishError> {
    let other = |error| PublishError::Other(Box::new(error));
    let path = format!(
        "/apis/events.k8s.io/v1/namespaces/{}/events",
        policy.namespace
    );
    let body = serde_json::to_vec(&event(node, policy, complaint))
        .map_err(|error| other(kube::Error::SerdeError(error)))?;
    let request = Request::new(path)
        .create(&PostParams::default(), body)
        .map_err(|error| other(kube::Error::BuildRequest(error)))?;
    match client.request_text(request).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(PublishError::NoNamespace),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            if causes
                .into_iter()
                .any(|cause| cause.reason == "NamespaceTerminating")
            {
                return Err(PublishError::NoNamespace);
            }
            let message = status.message.clone();
            Err(PublishError::Forbidden { message })
        }
        Err(error) => Err(other(error)),
    }
}

fn event(node: &str, policy: &PolicyRef, complaint: &Complaint) -> Event {
    let reason = match complaint.fault {
        Fault::Unsupported => "PolicyUnsupported",
        Fault::Invalid => "PolicyInvalid",
    };
    Event {
        metadata: ObjectMeta {
            name: Some(event_name(policy, complaint)),
            namespace: Some(policy.namespace.to_string()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(shortened(node, INSTANCE_MAX)),
        action: Some("Enforce".to_owned()),
        reason: Some(reason.to_owned()),
        type_: Some("Warning".to_owned()),
        note: Some(shortened(&complaint.reasons.join("\n"), NOTE_MAX)),
        regarding: Some(ObjectReference {
            api_version: Some("networking.k8s.io/v1".to_owned()),
            kind: Some(policy.kind.to_string()),
            namespace: Some(policy.namespace.to_string()),
            name: Some(policy.name.to_string()),
            uid: Some(complaint.uid.to_string()),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

/// At most so many bytes of a text.
fn shortened(text: &str, longest: usize) -> String {
    const MORE: &str = "...";
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest - MORE.len());
    format!("{}{MORE}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(reason: &str) -> Complaint {
        Complaint {
            uid: "1".into(),
            fault: Fault::Invalid,
            reasons: vec![reason.into()],
        }
    }

    #[test]
    fn a_name_fits_and_ends_well() {
        let long = format!("{}-.{}", "x".repeat(234), "y".repeat(17));
        let policy = PolicyRef::network_policy("n", &long);
        let name = event_name(&policy, &complaint("a"));
        assert!(name.len() <= NAME_MAX, "{name}");
        assert!(name.contains("xx."), "{name}");
        assert_ne!(name, event_name(&policy, &complaint("b")));
    }

    #[test]
    fn a_note_is_not_longer_than_the_server_takes() {
        let policy = PolicyRef::network_policy("n", "p");
        let event = event(&"n".repeat(200), &policy, &complaint(&"é".repeat(1000)));
        assert!(event.note.expect("it has a note").len() <= NOTE_MAX);
        assert_eq!(event.reporting_instance.map(|name| name.len()), Some(128));
    }
}
