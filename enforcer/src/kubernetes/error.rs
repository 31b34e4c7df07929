//! What goes wrong between the agent and the API server, and what to do about it.

use std::time::Duration;

use kube::core::Status;

use super::Resource;

/// Why a list or a watch failed. Nothing follows from it but another attempt. Reads after
/// "failed to".
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The server knows who asks and does not allow it (403).
    #[error("{verb} {resource}: {message}; a ClusterRole bound to this user needs the rule\n{}", resource.rule())]
    Forbidden {
        /// `list` or `watch`.
        verb: &'static str,
        /// Of what.
        resource: Resource,
        /// What the server said.
        message: String,
    },
    /// The server does not know who asks (401).
    #[error(
        "{verb} {resource}: {message} (401): the token or certificate has expired or belongs to \
         another cluster"
    )]
    Unauthorized {
        /// `list` or `watch`.
        verb: &'static str,
        /// Of what.
        resource: Resource,
        /// What the server said.
        message: String,
    },
    /// The server no longer knows, or does not yet know, the moment to watch from.
    #[error("{verb} {resource}: {message} ({code}); listing again")]
    Gone {
        /// `list` or `watch`.
        verb: &'static str,
        /// Of what.
        resource: Resource,
        /// What the server said.
        message: String,
        /// 410 or another.
        code: u16,
    },
    /// The server said something else.
    #[error("{verb} {resource}: {message} ({code})")]
    Refused {
        /// `list` or `watch`.
        verb: &'static str,
        /// Of what.
        resource: Resource,
        /// What the server said.
        message: String,
        /// The HTTP status.
        code: u16,
    },
    /// There was no answer in time.
    #[error("{verb} {resource}: no answer within {} s", patience.as_secs())]
    Silent {
        /// `list` or `watch`.
        verb: &'static str,
        /// Of what.
        resource: Resource,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The answer is not what an API server says.
    #[error("{verb} {resource}: the answer cannot be read")]
    Unreadable {
        /// `list` or `watch`.
        verb: &'static str,
        /// Of what.
        resource: Resource,
        /// Why.
        source: serde_json::Error,
    },
    /// The server could not be reached, or the connection broke.
    #[error("{verb} {resource}")]
    Connection {
        /// `list` or `watch`.
        verb: &'static str,
        /// Of what.
        resource: Resource,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl WatchError {
    /// What a failed request means.
    pub(super) fn of_request(verb: &'static str, resource: Resource, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(verb, resource, &status),
            kube::Error::SerdeError(source) => Self::Unreadable {
                verb,
                resource,
                source,
            },
            other => Self::Connection {
                verb,
                resource,
                source: Box::new(other),
            },
        }
    }

    /// What the server's own words mean.
    pub(super) fn of_status(verb: &'static str, resource: Resource, status: &Status) -> Self {
        let message = if status.message.is_empty() {
            status.reason.clone()
        } else {
            status.message.clone()
        };
        let code = status.code;
        match code {
            401 => Self::Unauthorized {
                verb,
                resource,
                message,
            },
            403 => Self::Forbidden {
                verb,
                resource,
                message,
            },
            // 400 and 422: a version that this server never gave, as after a restored backup;
            // 404: the resource has been away; 504: a version of the future.
            400 | 404 | 410 | 422 | 504 => Self::Gone {
                verb,
                resource,
                message,
                code,
            },
            _ => Self::Refused {
                verb,
                resource,
                message,
                code,
            },
        }
    }

    /// Whether to watch from the same moment again is pointless.
    pub(super) fn needs_list(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Unreadable { .. })
    }

    /// The error and all its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let next = error.to_string();
            // Many errors below repeat their source in their own text.
            if !text.contains(&next) {
                text = format!("{text}: {next}");
            }
            source = error.source();
        }
        text
    }
}
