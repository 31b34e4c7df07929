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
/// Servers send a bookmark every minute. A watch that lived so long without one is doubtful, and so
/// are some in a row that somebody on the way cuts sooner.
const OVERDUE: Duration = Duration::from_secs(150);
const WORDLESS: u32 = 3;
const VERB: &str = "watch";

/// From where to watch, and how much the server has said since it was first asked.
pub(super) struct Position {
    version: String,
    /// Whether the last watch said anything.
    has_word: bool,
    /// Watches in a row that ended without a word.
    wordless: u32,
    /// Whether the last of them was long enough for a word.
    is_overdue: bool,
}

impl Position {
    pub(super) fn new(version: String) -> Self {
        Self {
            version,
            has_word: false,
            wordless: 0,
            is_overdue: false,
        }
    }

    /// Whether the server should have said something long ago. A server that was restored from a
    /// backup takes a watch from a version that is yet to come, and keeps silent until it is there:
    /// neither events nor bookmarks, nor an error.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_overdue || self.wordless >= WORDLESS
    }

    /// The server has ended a watch after so long.
    pub(super) fn ended(&mut self, lived: Duration) {
        if self.has_word {
            self.wordless = 0;
        } else {
            self.wordless += 1;
            self.is_overdue = lived > OVERDUE;
        }
    }

    fn heard(&mut self, newer: &str) {
        self.has_word = true;
        if !newer.is_empty() {
            newer.clone_into(&mut self.version);
        }
    }
}

/// Watches from `position` on until the server ends it; `position` is then where it ended, also
/// after an error.
pub(super) async fn watch<K: Kind, S: Sink>(
    lane: &Lane<S>,
    kind: &mut K,
    position: &mut Position,
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
        .watch(&parameters, &position.version)
        .map_err(|error| of_request(kube::Error::BuildRequest(error)))?;
    let events = timeout(PATIENCE, lane.client.request_events::<K::Object>(request))
        .await
        .map_err(|_| silent(PATIENCE))?
        .map_err(of_request)?;
    lane.heard();
    position.has_word = false;
    let mut events = pin!(events);
    while let Some(event) = timeout(length + GRACE, events.try_next())
        .await
        .map_err(|_| silent(length + GRACE))?
        .map_err(of_request)?
    {
        lane.heard();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                position.heard(object.version());
                let kept = kind.keep(object);
                lane.apply(kind, kept);
            }
            WatchEvent::Deleted(object) => {
                position.heard(object.version());
                let kept = kind.keep(object);
                lane.delete(kind, kept);
            }
            WatchEvent::Bookmark(bookmark) => {
                position.heard(&bookmark.metadata.resource_version);
            }
            WatchEvent::Error(status) => {
                return Err(WatchError::of_status(VERB, resource, &status));
            }
        }
        lane.told(&position.version);
    }
    Ok(())
}
