//! Links, addresses, routes and neighbours: the only module that speaks rtnetlink.
//!
//! - [`change`]: one change, as data;
//! - [`apply`]: the changes of many namespaces, made from one thread that visits them;
//! - [`listing`]: what a namespace has, for people.
//!
//! The runtime that `rtnetlink` needs lives and dies inside a call.

use std::io;

use futures::StreamExt;
use netlink_packet_core::NetlinkPayload;
use tokio::runtime::{self, Runtime};

use crate::netns::{self, Netns};

pub(crate) mod change;
pub(crate) mod listing;

pub(crate) use change::{Change, LOOPBACK, Route, Veth};

/// Answers wait in the socket's buffer until we read them; it holds a few hundred.
const IN_FLIGHT: usize = 64;

/// The changes of one namespace, in order.
#[derive(Debug, Clone)]
pub(crate) struct Work<'a> {
    pub(crate) namespace: &'a Netns,
    /// Whose namespace it is, for the error.
    pub(crate) owner: String,
    pub(crate) changes: Vec<Change<'a>>,
}

/// Why a namespace is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum RtnlError {
    /// The kernel refuses a change.
    #[error("{change} of {owner}")]
    Refused {
        /// What was to be done.
        change: String,
        /// In whose namespace.
        owner: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// A list of what exists cannot be had.
    #[error("list the {what}")]
    List {
        /// What was asked for.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel cannot be asked at all.
    #[error("talk to the kernel's routing")]
    Socket(#[source] io::Error),
}

/// Makes the changes, one namespace after the other. What was done before an error stays.
pub(crate) fn apply(work: &[Work<'_>]) -> Result<(), RtnlError> {
    if work.is_empty() {
        return Ok(());
    }
    netns::on_own_thread(|| {
        let runtime = start()?;
        for one in work {
            one.namespace.settle().map_err(RtnlError::Socket)?;
            apply_one(&runtime, one)?;
        }
        Ok(())
    })
    .map_err(RtnlError::Socket)?
}

fn start() -> Result<Runtime, RtnlError> {
    runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(RtnlError::Socket)
}

fn apply_one(runtime: &Runtime, work: &Work<'_>) -> Result<(), RtnlError> {
    runtime.block_on(async {
        let (connection, mut handle, _) = rtnetlink::new_connection().map_err(RtnlError::Socket)?;
        let connection = tokio::spawn(connection);
        let refused = |change: &Change<'_>, source| RtnlError::Refused {
            change: change.to_string(),
            owner: work.owner.clone(),
            source,
        };
        for changes in work.changes.chunks(IN_FLIGHT) {
            let mut answers = Vec::with_capacity(changes.len());
            for change in changes {
                let answer = handle
                    .request(change.message())
                    .map_err(|error| refused(change, io::Error::other(error)))?;
                answers.push((change, answer));
            }
            for (change, mut answer) in answers {
                while let Some(message) = answer.next().await {
                    if let NetlinkPayload::Error(error) = message.payload {
                        return Err(refused(change, error.to_io()));
                    }
                }
            }
        }
        connection.abort();
        Ok(())
    })
}
