//! One watch, from its start to its end.

use std::{pin::pin, time::Duration};

use futures::TryStreamExt;
use kube::core::{Request, WatchEvent, params::WatchParams};
use tokio::time::timeout;

use super::{
    Sink, WatchError,
    follow::Lane,
    object::{HasVersion, Kind},
};

/// How long the server may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// When the server ends the watch by itself, at most. Without that nobody would notice a server
/// that holds the connection and says nothing.
const LENGTH: Duration = Duration::from_secs(290);
/// How much later than announced it may end.
const GRACE: Duration = Duration::from_secs(10);
const VERB: &str = "watch";

/// Watches from `version` on until the server ends it; `version` is then where it ended, also after
/// an error.
pub(super) async fn watch<K: Kind, S: Sink>(
    lane: &Lane<S>,
    kind: &mut K,
    version: &mut String,
) -> Result<(), WatchError> {
    let resource = lane.resource;
    let of_request = |error| WatchError::of_request(VERB, resource, error);
    let silent = |patience| WatchError::Silent {
        verb: VERB,
        resource,
        patience,
    };
    // Not all agents of a cluster at the same moment.
    let length = LENGTH.mul_f64(1.0 - 0.2 * lane.jitter());
    let parameters = WatchParams {
        field_selector: resource.field_selector(&lane.node),
        timeout: u32::try_from(length.as_secs()).ok(),
        bookmarks: true,
        ..WatchParams::default()
    };
    let request = Request::new(resource.path())
        .watch(&parameters, version)
        .map_err(|error| of_request(kube::Error::BuildRequest(error)))?;
    let events = timeout(PATIENCE, lane.client.request_events::<K::Object>(request))
        .await
        .map_err(|_| silent(PATIENCE))?
        .map_err(of_request)?;
    lane.heard();
    let mut events = pin!(events);
    while let Some(event) = timeout(length + GRACE, events.try_next())
        .await
        .map_err(|_| silent(length + GRACE))?
        .map_err(of_request)?
    {
        lane.heard();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                remember(version, object.version());
                lane.apply::<K>(kind.keep(object));
            }
            WatchEvent::Deleted(object) => {
                remember(version, object.version());
                lane.delete::<K>(kind.keep(object));
            }
            WatchEvent::Bookmark(bookmark) => {
                remember(version, &bookmark.metadata.resource_version);
            }
            WatchEvent::Error(status) => {
                return Err(WatchError::of_status(VERB, resource, &status));
            }
        }
    }
    Ok(())
}

fn remember(version: &mut String, newer: &str) {
    if !newer.is_empty() {
        newer.clone_into(version);
    }
}
