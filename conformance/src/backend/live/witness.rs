//! Hears of deletions. The answer to one does not always say at which version the object has gone,
//! and whoever waits until others know of it must know.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::TryStreamExt;
use kube::{
    Client, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
    core::{ObjectList, Request},
};
use tokio::task::AbortHandle;

use super::{
    Live, LiveError,
    objects::{Object, called, collection},
};

/// How long a server may take to tell of a deletion that it has answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to watch.
const PAUSE: Duration = Duration::from_millis(100);

/// Watches one resource in all namespaces, until it is dropped.
pub struct Witness {
    seen: Arc<Seen>,
    task: AbortHandle,
}

#[derive(Default)]
struct Seen {
    /// When objects were deleted last, by namespace and name.
    gone: Mutex<BTreeMap<(String, String), u64>>,
    changed: Condvar,
}

impl Seen {
    fn gone(&self) -> MutexGuard<'_, BTreeMap<(String, String), u64>> {
        // Nothing here can be left half done.
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness {
    /// From now on.
    ///
    /// # Errors
    /// [`LiveError::Request`] if the resource cannot be listed.
    pub fn start<K: Object>(live: &Live) -> Result<Self, LiveError> {
        let client = live.client().clone();
        let version = live.ask(newest::<K>(&client))?;
        let seen = Arc::new(Seen::default());
        let task = live
            .handle()
            .spawn(watch::<K>(client, version, Arc::clone(&seen)));
        Ok(Self {
            seen,
            task: task.abort_handle(),
        })
    }

    /// At which version an object was deleted that was there at version `after`. Waits until the
    /// server has told of it.
    ///
    /// # Errors
    /// [`LiveError::Late`].
    pub fn gone<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        after: u64,
    ) -> Result<u64, LiveError> {
        let key = (namespace.to_owned(), name.to_owned());
        let at = |gone: &BTreeMap<_, u64>| gone.get(&key).copied().filter(|at| *at > after);
        let waited = self
            .seen
            .changed
            .wait_timeout_while(self.seen.gone(), PATIENCE, |gone| at(gone).is_none());
        let gone = waited.unwrap_or_else(PoisonError::into_inner).0;
        at(&gone).ok_or_else(|| LiveError::Late {
            what: format!("the end of {}", called::<K>(namespace, name)),
            patience: PATIENCE,
            hint: String::new(),
        })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The version of the whole resource.
async fn newest<K: Object>(client: &Client) -> Result<String, LiveError> {
    let failed = |error| LiveError::request("list", K::plural(&()), error);
    let request = Request::new(collection::<K>("")).list(&ListParams::default().limit(1));
    let request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
    let list = client.request::<ObjectList<K>>(request).await;
    let metadata = list.map_err(failed)?.metadata;
    Ok(metadata.resource_version.unwrap_or_default())
}

async fn watch<K: Object>(client: Client, mut version: String, seen: Arc<Seen>) {
    loop {
        if let Err(error) = watch_once::<K>(&client, &mut version, &seen).await {
            if super::error::code(&error) == Some(410)
                && let Ok(newer) = newest::<K>(&client).await
            {
                version = newer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn watch_once<K: Object>(
    client: &Client,
    version: &mut String,
    seen: &Seen,
) -> Result<(), kube::Error> {
    let parameters = WatchParams::default();
    let request = Request::new(collection::<K>(""))
        .watch(&parameters, version)
        .map_err(kube::Error::BuildRequest)?;
    let events = client.request_events::<K>(request).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                *version = object.resource_version().unwrap_or_default();
            }
            WatchEvent::Deleted(object) => {
                *version = object.resource_version().unwrap_or_default();
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                seen.gone().insert(key, version.parse().unwrap_or_default());
                seen.changed.notify_all();
            }
            WatchEvent::Bookmark(bookmark) => {
                version.clone_from(&bookmark.metadata.resource_version);
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
    }
    Ok(())
}
