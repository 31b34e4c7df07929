//! The tree of places beside the tree of values.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::source::byte_range;

/// The place of a value and of everything in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// From the first byte to the last; of an alias, the place of what it stands for.
    pub(super) span: Range<usize>,
    pub(super) children: Children,
}

/// What lies inside a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Children {
    /// A scalar.
    #[default]
    None,
    /// A list.
    Items(Vec<Node>),
    /// A mapping, in the order of the file.
    Entries(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

impl Node {
    /// The entry of this key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.children {
            Children::Entries(entries) => entries.iter().find(|entry| entry.key == key),
            Children::None | Children::Items(_) => None,
        }
    }

    /// The item of this index.
    pub(super) fn item(&self, index: usize) -> Option<&Node> {
        match &self.children {
            Children::Items(items) => items.get(index),
            Children::None | Children::Entries(_) => None,
        }
    }
}

/// A value with its places as the parser yields them.
pub(super) struct Tree(Spanned<Content>);

enum Content {
    Scalar(Value),
    List(Vec<Tree>),
    Mapping(Vec<(Spanned<String>, Tree)>),
}

impl Tree {
    /// Splits the tree into the value and the places. Of a container the parser gives the start
    /// only; its end is that of its last part, or its closing bracket in `text`.
    pub(super) fn finish(self, text: &str) -> (Value, Node) {
        let span = byte_range(self.0.defined.span()).unwrap_or_default();
        match self.0.value {
            Content::Scalar(value) => {
                let end = span.start + text.get(span.clone()).map_or(0, |t| t.trim_end().len());
                let node = Node {
                    span: span.start..end,
                    children: Children::None,
                };
                (value, node)
            }
            Content::List(items) => {
                let (values, nodes): (Vec<_>, Vec<_>) =
                    items.into_iter().map(|item| item.finish(text)).unzip();
                let end = end_of(text, &span, ']', nodes.iter().map(|node| &node.span));
                let node = Node {
                    span: span.start..end,
                    children: Children::Items(nodes),
                };
                (Value::Array(values), node)
            }
            Content::Mapping(parsed) => {
                let mut values = Map::new();
                let mut entries = Vec::with_capacity(parsed.len());
                for (key, tree) in parsed {
                    let (value, node) = tree.finish(text);
                    values.insert(key.value.clone(), value);
                    entries.push(Entry {
                        key_span: byte_range(key.defined.span()).unwrap_or_default(),
                        key: key.value,
                        node,
                    });
                }
                let parts = entries.iter().flat_map(|e| [&e.key_span, &e.node.span]);
                let end = end_of(text, &span, '}', parts);
                let node = Node {
                    span: span.start..end,
                    children: Children::Entries(entries),
                };
                (Value::Object(values), node)
            }
        }
    }
}

/// Where a container ends. Parts that stand before its start came from an alias.
fn end_of<'a>(
    text: &str,
    start: &Range<usize>,
    closing: char,
    parts: impl Iterator<Item = &'a Range<usize>>,
) -> usize {
    let is_flow = start.end > start.start;
    let last = parts
        .filter(|part| part.start >= start.start)
        .map(|part| part.end)
        .max()
        .unwrap_or(start.end);
    if !is_flow {
        return last;
    }
    // Only blanks, commas and comments can stand between the last part and the bracket.
    let mut in_comment = false;
    for (offset, character) in text[last..].char_indices() {
        match character {
            '\n' => in_comment = false,
            '#' => in_comment = true,
            c if c == closing && !in_comment => return last + offset + c.len_utf8(),
            _ => {}
        }
    }
    last
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = mapping.next_key()? {
            entries.push((key, mapping.next_value()?));
        }
        Ok(Content::Mapping(entries))
    }
}
