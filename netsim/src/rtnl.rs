//! Links, addresses, routes and neighbours: the only module that speaks rtnetlink.
//!
//! - [`change`]: one change, as data;
//! - [`apply`]: the changes of many namespaces, made from one thread that visits them;
//! - [`listing`]: what a namespace has, for people.
//!
//! The runtime that `rtnetlink` needs lives and dies inside a call.

use std::{io, time::Duration};

use futures::{Stream, StreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::{
    Handle,
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, State},
    },
};
use tokio::runtime::{self, Runtime};

use crate::netns::{self, Netns};

pub(crate) mod change;
pub(crate) mod listing;

pub(crate) use change::{Change, LOOPBACK, Route, Veth};

/// Answers wait in the socket's buffer until we read them; it holds a few hundred.
const IN_FLIGHT: usize = 64;

const LINK_WATCH_PAUSE: Duration = Duration::from_millis(1);
const LINK_WATCH_PATIENCE: Duration = Duration::from_secs(5);

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
        .enable_all()
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
            for (change, answer) in answers {
                let up = match read(answer).await {
                    Err(error) if change.forgives(&error) => false,
                    answer => answer.map_err(|error| refused(change, error))?,
                };
                if let (Change::AwaitUp { .. }, false) = (change, up) {
                    await_up(&mut handle, change)
                        .await
                        .map_err(|error| refused(change, error))?;
                }
            }
        }
        connection.abort();
        Ok(())
    })
}

/// Reads one answer to its end: whether it is about a link that is up.
async fn read(
    mut answer: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
) -> io::Result<bool> {
    let mut up = false;
    while let Some(message) = answer.next().await {
        match message.payload {
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                up = link
                    .attributes
                    .contains(&LinkAttribute::OperState(State::Up));
            }
            _ => {}
        }
    }
    Ok(up)
}

/// Since Linux 6.14 asking for a link makes the link watch look at once. Older kernels take a moment.
async fn await_up(handle: &mut Handle, change: &Change<'_>) -> io::Result<()> {
    let asking = async {
        loop {
            tokio::time::sleep(LINK_WATCH_PAUSE).await;
            let answer = handle.request(change.message()).map_err(io::Error::other)?;
            if read(answer).await? {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(LINK_WATCH_PATIENCE, asking).await?
}
