//! One complete list, in pages.

use std::time::Duration;

use kube::core::{Request, params::ListParams};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    Sink, WatchError,
    follow::Lane,
    object::{HasVersion, Kind},
};

/// Objects per page. A pod is 5 to 10 KiB of JSON, and a page is in memory twice while it is
/// decoded.
const PAGE: u32 = 250;
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

/// A page as the server sends it. Own, because kube's type reads every object twice.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageMetadata {
    #[serde(rename = "resourceVersion")]
    version: Option<String>,
    #[serde(rename = "continue")]
    more: Option<String>,
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
        let page: Page<K::Object> =
            timeout(PATIENCE, page(lane, &parameters))
                .await
                .map_err(|_| WatchError::Silent {
                    verb: VERB,
                    resource: lane.resource,
                    patience: PATIENCE,
                })??;
        lane.heard();
        let items = page.items.unwrap_or_default();
        all.extend(items.into_iter().map(|object| kind.keep(object)));
        match page.metadata.more.filter(|more| !more.is_empty()) {
            Some(more) => parameters.continue_token = Some(more),
            None => {
                all.shrink_to_fit();
                let version = page.metadata.version.unwrap_or_default();
                return Ok(Listed { all, version });
            }
        }
    }
}

async fn page<T: serde::de::DeserializeOwned + HasVersion, S: Sink>(
    lane: &Lane<S>,
    parameters: &ListParams,
) -> Result<Page<T>, WatchError> {
    let of_request = |error| WatchError::of_request(VERB, lane.resource, error);
    let request = Request::new(lane.resource.path())
        .list(parameters)
        .map_err(|error| of_request(kube::Error::BuildRequest(error)))?;
    let text = lane
        .client
        .request_text(request)
        .await
        .map_err(of_request)?;
    serde_json::from_str(&text).map_err(|source| WatchError::Unreadable {
        verb: VERB,
        resource: lane.resource,
        source,
    })
}
