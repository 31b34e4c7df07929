//! Get, list, watch.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    kind::Kind,
    select::Selection,
    status::Status,
    store::{Change, Continued},
};

/// The parameters of a list or watch.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) selection: Selection,
    pub(super) version: String,
    pub(super) limit: usize,
    pub(super) continued: String,
    pub(super) timeout: Option<Duration>,
    pub(super) bookmarks: bool,
    pub(super) initial_events: bool,
}

/// An object.
pub(super) fn get(
    shared: &Shared,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Value, Status> {
    shared
        .lock()
        .get(kind, namespace, name)
        .map(|object| (*object).clone())
        .ok_or_else(|| Status::not_found(kind, name))
}

/// One page of a list. All pages tell of the same moment.
pub(super) fn list(
    shared: &Shared,
    kind: &Kind,
    namespace: &str,
    query: &Query,
) -> Result<Value, Status> {
    let mut store = shared.lock();
    let (version, mut objects) = if query.continued.is_empty() {
        let asked: u64 = query.version.parse().unwrap_or_default();
        if asked > store.version() {
            let message = format!(
                "Too large resource version: {asked}, current: {}",
                store.version()
            );
            return Err(Status::new(504, "Timeout", message));
        }
        let mut objects = store.all(kind, namespace);
        objects.retain(|object| query.selection.matches(object));
        (store.version(), objects)
    } else {
        let Continued { version, rest } = store.continued.remove(&query.continued).ok_or_else(|| {
            let mut expired = Status::expired(
                "The provided continue parameter is too old to display a consistent list result. \
                 You can start a new list without the continue parameter, or use the continue token \
                 in this response to retrieve the remainder of the results.",
            );
            // Who uses it gets the rest as it is now, which does not fit what came before.
            expired.metadata = json!({"continue": "inconsistent"});
            expired
        })?;
        (version, rest)
    };
    let mut metadata = json!({"resourceVersion": version.to_string()});
    // From the cache (version 0) everything comes at once, as from servers before 1.34.
    if query.limit > 0 && objects.len() > query.limit && query.version != "0" {
        let rest = objects.split_off(query.limit);
        let token = format!("{version}-{}-{}", kind.plural, rest.len());
        metadata["continue"] = json!(token);
        // Nobody counts what a selector leaves out.
        if query.selection.is_everything() {
            metadata["remainingItemCount"] = json!(rest.len());
        }
        store.continued.insert(token, Continued { version, rest });
    }
    drop(store);
    Ok(json!({
        "kind": format!("{}List", kind.kind),
        "apiVersion": kind.api_version(),
        "metadata": metadata,
        "items": objects.iter().map(|object| bare(object)).collect::<Vec<_>>(),
    }))
}

/// Items of typed lists do not say what they are.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

/// The lines of a watch, sent until nobody reads them or it is over.
pub(super) async fn watch(
    shared: Arc<Shared>,
    kind: &'static Kind,
    namespace: String,
    query: Query,
    lines: mpsc::Sender<Vec<u8>>,
) {
    shared.lock().watches.push(kind.plural);
    let _ = watch_until_over(&shared, kind, &namespace, &query, &lines).await;
    let mut store = shared.lock();
    if let Some(position) = store
        .watches
        .iter()
        .position(|plural| *plural == kind.plural)
    {
        store.watches.remove(position);
    }
}

/// Nobody reads any more.
struct Left;

async fn watch_until_over(
    shared: &Shared,
    kind: &'static Kind,
    namespace: &str,
    query: &Query,
    lines: &mpsc::Sender<Vec<u8>>,
) -> Result<(), Left> {
    let mut changed = shared.changed.subscribe();
    let mut faults = shared.faults.subscribe();
    let length = query.timeout.unwrap_or(Duration::from_secs(1800));
    let started = Instant::now();
    let mut next_bookmark = started + shared.settings.bookmarks;
    // Who asks for a version that is yet to come is told nothing, not even bookmarks, until then.
    let asked: u64 = query.version.parse().unwrap_or_default();
    let has_come = || shared.lock().version() >= asked;

    let mut position: u64 = query.version.parse().unwrap_or_default();
    if position == 0 || query.initial_events {
        let (version, objects) = {
            let store = shared.lock();
            (store.version(), store.all(kind, namespace))
        };
        position = version;
        for object in objects
            .iter()
            .filter(|object| query.selection.matches(object))
        {
            send(lines, &json!({"type": "ADDED", "object": **object})).await?;
        }
        if query.initial_events {
            send(lines, &bookmark(kind, position, true)).await?;
        }
    }
    loop {
        let over = faults.borrow_and_update().watch_length.unwrap_or(length);
        changed.borrow_and_update();
        let (version, news) = {
            let store = shared.lock();
            (store.version(), store.since(kind, position))
        };
        // Looked at last, so that nothing is told that happened after the fault.
        let is_silent = faults.borrow().is_silent || faults.borrow().is_down;
        if !is_silent {
            let Ok(news) = news else {
                let gone =
                    Status::expired(format!("too old resource version: {position} ({version})"));
                return send(lines, &json!({"type": "ERROR", "object": gone.json()})).await;
            };
            for change in news {
                position = change.version;
                if let Some(event) = event(&change, namespace, &query.selection) {
                    send(lines, &event).await?;
                }
            }
            position = position.max(version);
        }
        tokio::select! {
            _ = changed.changed() => {}
            _ = faults.changed() => {}
            () = lines.closed() => return Err(Left),
            () = sleep_until(started + over) => {
                if query.bookmarks && !is_silent && has_come() {
                    send(lines, &bookmark(kind, position, false)).await?;
                }
                return Ok(());
            }
            () = sleep_until(next_bookmark), if query.bookmarks => {
                next_bookmark += shared.settings.bookmarks;
                if !is_silent && has_come() {
                    send(lines, &bookmark(kind, position, false)).await?;
                }
            }
        }
    }
}

/// What a watch says of a change: an object that no longer matches is gone for it.
fn event(change: &Change, namespace: &str, selection: &Selection) -> Option<Value> {
    let is_inside = |object: &Value| {
        (namespace.is_empty() || object["metadata"]["namespace"] == namespace)
            && selection.matches(object)
    };
    let was = change
        .before
        .as_ref()
        .is_some_and(|before| is_inside(before));
    let is = !change.is_gone && is_inside(&change.object);
    let kind = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(json!({"type": kind, "object": *change.object}))
}

fn bookmark(kind: &Kind, version: u64, ends_initial_events: bool) -> Value {
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if ends_initial_events {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    json!({"type": "BOOKMARK", "object": {
        "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata,
    }})
}

async fn send(lines: &mpsc::Sender<Vec<u8>>, event: &Value) -> Result<(), Left> {
    let mut line = event.to_string().into_bytes();
    line.push(b'\n');
    lines.send(line).await.map_err(|_| Left)
}
