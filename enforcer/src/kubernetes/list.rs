//! One complete list, in pages.

use std::{pin::pin, time::Duration};

use futures::AsyncBufReadExt as _;
use kube::core::{Request, params::ListParams};
use tokio::time::timeout;

use super::{
    Sink, WatchError,
    follow::Lane,
    object::Kind,
    page::{PageMetadata, PageReader},
};

/// Objects per page, as most clients have it.
const PAGE: u32 = 500;
/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(60);
const VERB: &str = "list";

/// Everything there was at one moment.
pub(super) struct Listed<T> {
    /// The objects.
    pub(super) all: Vec<T>,
    /// The moment, to watch from.
    pub(super) version: String,
}

/// Lists everything. Without a version of our own, so that the answer is as new as the store
/// itself: an older one could take back what is enforced already.
pub(super) async fn list<K: Kind, S: Sink>(
    lane: &Lane<S>,
    kind: &mut K,
) -> Result<Listed<K::Kept>, WatchError> {
    let mut parameters = ListParams {
        field_selector: lane.resource.field_selector(&lane.node),
        limit: Some(PAGE),
        ..ListParams::default()
    };
    let mut all = Vec::new();
    loop {
        let page = page(lane, &parameters, |object| {
            all.push(kind.keep(serde_json::from_slice(object)?));
            Ok(())
        });
        let metadata = timeout(PATIENCE, page)
            .await
            .map_err(|_| WatchError::Silent {
                verb: VERB,
                resource: lane.resource,
                patience: PATIENCE,
            })??;
        lane.heard();
        match metadata.more.filter(|more| !more.is_empty()) {
            Some(more) => parameters.continue_token = Some(more),
            None => {
                all.shrink_to_fit();
                let version = metadata.version.unwrap_or_default();
                return Ok(Listed { all, version });
            }
        }
    }
}

async fn page<S: Sink>(
    lane: &Lane<S>,
    parameters: &ListParams,
    mut each: impl FnMut(&[u8]) -> Result<(), serde_json::Error>,
) -> Result<PageMetadata, WatchError> {
    let of_request = |error| WatchError::of_request(VERB, lane.resource, error);
    let unreadable = |source| WatchError::Unreadable {
        verb: VERB,
        resource: lane.resource,
        source,
    };
    let request = Request::new(lane.resource.path())
        .list(parameters)
        .map_err(|error| of_request(kube::Error::BuildRequest(error)))?;
    let body = lane.client.request_stream(request).await;
    let mut body = pin!(body.map_err(of_request)?);
    let mut reader = PageReader::default();
    loop {
        let broken = |error| of_request(kube::Error::ReadEvents(error));
        let bytes = body.fill_buf().await.map_err(broken)?;
        if bytes.is_empty() {
            return reader.end().map_err(unreadable);
        }
        reader.feed(bytes, &mut each).map_err(unreadable)?;
        let length = bytes.len();
        body.consume_unpin(length);
    }
}
