//! Objects, versions and history.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value, json};

use super::kind::Kind;

/// Where an object is: plural, namespace (empty if it has none), name.
pub(crate) type Key = (&'static str, String, String);

/// Everything there is.
#[derive(Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    version: u64,
    /// Versions up to this one are forgotten.
    compacted: u64,
    history: Vec<Change>,
    /// What unfinished lists will still say, by their tokens.
    pub(super) continued: HashMap<String, Continued>,
    /// The resources of the open watches.
    pub(super) watches: Vec<&'static str>,
    /// How often what was asked for.
    pub(super) requests: BTreeMap<(String, String), usize>,
    /// What each manager applied of an object (server-side apply).
    pub(super) applied: HashMap<(Key, String), Value>,
}

/// The rest of a list.
pub(super) struct Continued {
    pub(super) version: u64,
    pub(super) rest: Vec<Arc<Value>>,
}

/// One change.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) plural: &'static str,
    /// The object afterwards; before, if it is gone.
    pub(crate) object: Arc<Value>,
    /// The object before.
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) is_gone: bool,
}

/// The version is forgotten.
pub(crate) struct Compacted;

impl Store {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
        self.continued.clear();
    }

    /// As after a backup of some time ago was restored: versions are given anew from there.
    pub(crate) fn rewind(&mut self, version: u64) {
        self.version = version;
        self.compact();
    }

    pub(crate) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&key(kind, namespace, name)).cloned()
    }

    /// The objects of a kind, of one namespace or all.
    pub(crate) fn all(&self, kind: &Kind, namespace: &str) -> Vec<Arc<Value>> {
        self.objects
            .range((kind.plural, String::new(), String::new())..)
            .take_while(|((plural, ..), _)| *plural == kind.plural)
            .filter(|((_, ns, _), _)| namespace.is_empty() || ns == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Everything that lies in a namespace.
    pub(crate) fn inside(&self, namespace: &str) -> Vec<(&'static Kind, String)> {
        self.objects
            .keys()
            .filter(|(_, ns, _)| ns == namespace)
            .filter_map(|(plural, _, name)| Some((Kind::of_plural(plural)?, name.clone())))
            .collect()
    }

    /// Stores an object under the next version.
    pub(crate) fn put(&mut self, kind: &Kind, namespace: &str, name: &str, object: Value) -> Value {
        self.version += 1;
        let object = Arc::new(at_version(object, self.version));
        let key = key(kind, namespace, name);
        let before = self.objects.insert(key, Arc::clone(&object));
        self.history.push(Change {
            version: self.version,
            plural: kind.plural,
            object: Arc::clone(&object),
            before,
            is_gone: false,
        });
        (*object).clone()
    }

    /// Removes an object under the next version.
    pub(crate) fn remove(&mut self, kind: &Kind, namespace: &str, name: &str) -> Option<Value> {
        let key = key(kind, namespace, name);
        let before = self.objects.remove(&key)?;
        self.applied.retain(|(of, _), _| *of != key);
        self.version += 1;
        let object = Arc::new(at_version((*before).clone(), self.version));
        self.history.push(Change {
            version: self.version,
            plural: kind.plural,
            object: Arc::clone(&object),
            before: Some(before),
            is_gone: true,
        });
        Some((*object).clone())
    }

    /// The changes of a kind after a version.
    pub(crate) fn since(&self, kind: &Kind, version: u64) -> Result<Vec<Change>, Compacted> {
        if version < self.compacted {
            return Err(Compacted);
        }
        let first = self
            .history
            .partition_point(|change| change.version <= version);
        Ok(self.history[first..]
            .iter()
            .filter(|change| change.plural == kind.plural)
            .cloned()
            .collect())
    }
}

pub(super) fn key(kind: &Kind, namespace: &str, name: &str) -> Key {
    let plural = Kind::of_plural(kind.plural).map_or("", |kind| kind.plural);
    (plural, namespace.to_owned(), name.to_owned())
}

fn at_version(mut object: Value, version: u64) -> Value {
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}
