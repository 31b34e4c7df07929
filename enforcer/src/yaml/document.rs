//! A document: a value and the place of everything in it.

use std::{ops::Range, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    FieldPath, Location, Segment, Source,
    decode::Cursor,
    misfit,
    tree::{Children, Node},
};
use crate::diagnostic::Diagnostics;

/// One YAML document, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    source: Arc<Source>,
    value: Value,
    node: Node,
    /// The key under which this part stands, if it is the value of a mapping entry.
    key_span: Option<Range<usize>>,
}

impl Document {
    pub(super) fn new(source: Arc<Source>, value: Value, node: Node) -> Self {
        Self {
            source,
            value,
            node,
            key_span: None,
        }
    }

    /// The same places with another value of the same shape, as when templates were put in: a place
    /// is found by its path, so what the value has more or less has none of its own.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        Self {
            value,
            ..self.clone()
        }
    }

    pub(super) fn root_node(&self) -> &Node {
        &self.node
    }

    /// The value. Mappings are sorted by key; [`Document::keys`] has the order of the file.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The file it stands in.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The keys of the mapping at `path` in the order of the file; none if there is no mapping.
    pub fn keys(&self, path: &FieldPath) -> Vec<&str> {
        match self.find(path).map(|(node, _)| &node.children) {
            Some(Children::Entries(entries)) => {
                entries.iter().map(|entry| entry.key.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The place of the value at `path`; of its nearest existing ancestor where there is none.
    pub fn location(&self, path: &FieldPath) -> Location {
        let (node, _, _) = self.walk(path);
        Location::new(&self.source, node.span.clone())
    }

    /// The place of the key of the mapping entry at `path`. Where there is no such entry, the place
    /// of the nearest existing ancestor: its key, or itself if it has none.
    pub fn key_location(&self, path: &FieldPath) -> Location {
        let (node, key_span, _) = self.walk(path);
        Location::new(&self.source, key_span.unwrap_or(&node.span).clone())
    }

    /// The part at `path`, with its places; paths into it are relative to it.
    pub fn at(&self, path: &FieldPath) -> Option<Self> {
        let value =
            path.segments()
                .iter()
                .try_fold(&self.value, |value, segment| match segment {
                    Segment::Key(key) => value.as_object()?.get(key),
                    Segment::Index(index) => value.as_array()?.get(*index),
                })?;
        let (node, key_span) = self.find(path)?;
        Some(Self {
            source: Arc::clone(&self.source),
            value: value.clone(),
            node: node.clone(),
            key_span: key_span.cloned(),
        })
    }

    /// The items of a list as documents; none if this is no list.
    pub fn items(&self) -> Vec<Self> {
        let length = self.value.as_array().map_or(0, Vec::len);
        (0..length)
            .filter_map(|index| self.at(&FieldPath::root().index(index)))
            .collect()
    }

    /// Reads the document as a `T`, strictly: fields that a struct of `T` does not have are errors,
    /// whether the type denies them or not.
    ///
    /// # Errors
    ///
    /// The first field that does not fit, at its place: an unknown field with the nearest known
    /// one, a wrong type with what was found and what is expected, a missing field at the key of
    /// the mapping that lacks it.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        let cursor = Cursor {
            value: &self.value,
            node: &self.node,
            key_span: self.key_span.as_ref(),
        };
        T::deserialize(cursor).map_err(|error| misfit::diagnostic(&self.source, error).into())
    }

    /// The node at exactly `path`, and the span of its key.
    fn find(&self, path: &FieldPath) -> Option<(&Node, Option<&Range<usize>>)> {
        let (node, key_span, is_complete) = self.walk(path);
        is_complete.then_some((node, key_span))
    }

    /// As far along `path` as the document goes, and whether that is the whole way.
    fn walk(&self, path: &FieldPath) -> (&Node, Option<&Range<usize>>, bool) {
        let mut node = &self.node;
        let mut key_span = self.key_span.as_ref();
        for segment in path.segments() {
            match segment {
                Segment::Key(key) => match node.entry(key) {
                    Some(entry) => {
                        node = &entry.node;
                        key_span = Some(&entry.key_span);
                    }
                    None => return (node, key_span, false),
                },
                Segment::Index(index) => match node.item(*index) {
                    Some(item) => {
                        node = item;
                        key_span = None;
                    }
                    None => return (node, key_span, false),
                },
            }
        }
        (node, key_span, true)
    }
}
