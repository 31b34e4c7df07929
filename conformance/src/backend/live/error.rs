//! What can go wrong with objects in an API server.

use std::time::Duration;

use enforcer::api::FieldError;
use kube::config::KubeconfigError;

use super::refusal::sentences;

/// Why something could not be done with an API server. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The kubeconfig, or the context in it, cannot be used.
    #[error("read {name}")]
    Kubeconfig {
        /// Which.
        name: String,
        /// Why.
        source: Box<KubeconfigError>,
    },
    /// Connections cannot even be prepared.
    #[error("prepare connections to {server}")]
    Prepare {
        /// The server.
        server: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers.
    #[error("reach the API server at {server}: is it running, and is it the right kubeconfig?")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Something is not allowed that a run needs.
    #[error("get the rights that this needs: {what}\n\nThis ClusterRole grants them:\n\n{role}")]
    Forbidden {
        /// Verbs and resources.
        what: String,
        /// A manifest.
        role: String,
    },
    /// A namespace of a scenario exists and is not ours.
    #[error(
        "create namespace {0}: it is already there, and not ours (it has no label {label}); nothing was touched",
        label = super::RUN
    )]
    NamespaceTaken(String),
    /// Something else that a run must create exists and is not ours.
    #[error("create {0}: it is already there, and not ours (it has no label {label})", label = super::RUN)]
    Taken(String),
    /// The server refuses an object.
    #[error("write {object}: the API server refuses it: {}", sentences(.errors))]
    Refused {
        /// Its kind and name.
        object: String,
        /// Why.
        errors: Vec<FieldError>,
    },
    /// The server refuses a request.
    #[error("{verb} {object}: the API server answers {code}: {message}")]
    Answered {
        /// What was to be done.
        verb: &'static str,
        /// With which object.
        object: String,
        /// The HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// A request failed in another way.
    #[error("{verb} {object}")]
    Request {
        /// What was to be done.
        verb: &'static str,
        /// With which object.
        object: String,
        /// Why it was not.
        source: Box<kube::Error>,
    },
    /// Something has not come about in time.
    #[error("see {what} within {} s{hint}", patience.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        patience: Duration,
        /// What is known about it; empty, or begins with `: `.
        hint: String,
    },
    /// The person has pressed Ctrl-C, or the process was told to end.
    #[error("go on: it was interrupted")]
    Interrupted,
    /// The machine is out of threads or descriptors.
    #[error("start a thread for the connection")]
    Thread(#[source] std::io::Error),
}

impl LiveError {
    pub(in crate::backend) fn request(
        verb: &'static str,
        object: impl Into<String>,
        source: kube::Error,
    ) -> Self {
        let object = object.into();
        match source {
            kube::Error::Api(status) => Self::Answered {
                verb,
                object,
                code: status.code,
                message: status.message.clone(),
            },
            source => Self::Request {
                verb,
                object,
                source: Box::new(source),
            },
        }
    }

    /// The HTTP status of the server's answer, if it is about one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Answered { code, .. } => Some(*code),
            Self::Refused { .. } => Some(422),
            _ => None,
        }
    }

    /// Whether what was to be changed does not exist.
    pub fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether the person's arguments are to blame, not the machine or the cluster.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Kubeconfig { .. })
    }
}

/// The HTTP status of a server's answer.
pub(super) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
