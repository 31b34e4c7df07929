//! From a document to a type, with the place of the first thing that does not fit.
//!
//! The words for it are in `misfit`.

use std::ops::Range;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor, value::StrDeserializer,
};
use serde_json::Value;

use super::{
    Segment,
    misfit::DecodeError,
    tree::{Children, Entry, Node},
};

/// A value of a document, about to be read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) value: &'a Value,
    pub(super) node: &'a Node,
    pub(super) key_span: Option<&'a Range<usize>>,
}

impl Cursor<'_> {
    fn refuse_unknown(&self, fields: &'static [&'static str]) -> Result<(), DecodeError> {
        entries(&self.node.children)
            .iter()
            .find(|entry| !fields.contains(&entry.key.as_str()))
            .map_or(Ok(()), |entry| {
                Err(<DecodeError as de::Error>::unknown_field(&entry.key, fields).at_key(entry))
            })
    }
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match (self.value, &self.node.children) {
            (Value::Null, _) => visitor.visit_unit(),
            (Value::Bool(value), _) => visitor.visit_bool(*value),
            (Value::Number(number), _) => {
                if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            (Value::String(text), _) => visitor.visit_str(text),
            (Value::Array(values), children) => visitor.visit_seq(Items {
                values,
                children,
                next: 0,
            }),
            (Value::Object(values), children) => visitor.visit_map(Entries {
                values,
                entries: entries(children),
                current: None,
            }),
        }
        .map_err(|error| error.at(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|error| error.at(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| error.at(self))
    }

    /// Fields that the type does not have are errors, whether it denies them or not: ignoring what
    /// someone wrote is never right.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.refuse_unknown(fields)?;
        self.deserialize_any(visitor)
    }

    /// A variant is its name alone, or a mapping with its name as the only key.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match (self.value, entries(&self.node.children)) {
            (Value::String(text), _) => visitor.visit_enum(text.as_str().into_deserializer()),
            (Value::Object(values), [entry]) => match values.get(&entry.key) {
                Some(value) => visitor.visit_enum(Variant {
                    entry,
                    cursor: Cursor {
                        value,
                        node: &entry.node,
                        key_span: Some(&entry.key_span),
                    },
                }),
                None => Err(de::Error::unknown_variant(&entry.key, variants)),
            },
            _ => Err(DecodeError::no_variant(self.value, variants)),
        }
        .map_err(|error| error.at(self))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn entries(children: &Children) -> &[Entry] {
    match children {
        Children::Entries(entries) => entries,
        Children::None | Children::Items(_) => &[],
    }
}

struct Items<'a> {
    values: &'a [Value],
    children: &'a Children,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let index = self.next;
        let (Some(value), Children::Items(nodes)) = (self.values.get(index), self.children) else {
            return Ok(None);
        };
        self.next += 1;
        let cursor = Cursor {
            value,
            node: &nodes[index],
            key_span: None,
        };
        seed.deserialize(cursor)
            .map(Some)
            .map_err(|error| error.at(cursor).below(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len() - self.next)
    }
}

struct Entries<'a> {
    values: &'a serde_json::Map<String, Value>,
    entries: &'a [Entry],
    current: Option<(&'a Entry, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some((entry, rest)) = self.entries.split_first() else {
            return Ok(None);
        };
        self.entries = rest;
        self.current = self.values.get(&entry.key).map(|value| (entry, value));
        let key: StrDeserializer<'_, DecodeError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at_key(entry))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let (entry, value) = self
            .current
            .take()
            .ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        let cursor = Cursor {
            value,
            node: &entry.node,
            key_span: Some(&entry.key_span),
        };
        seed.deserialize(cursor)
            .map_err(|error| error.at(cursor).below(Segment::Key(entry.key.clone())))
    }
}

struct Variant<'a> {
    entry: &'a Entry,
    cursor: Cursor<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let name: StrDeserializer<'_, DecodeError> = self.entry.key.as_str().into_deserializer();
        let name = seed
            .deserialize(name)
            .map_err(|error| error.at_key(self.entry))?;
        Ok((name, self))
    }
}

impl Variant<'_> {
    fn below(&self, error: DecodeError) -> DecodeError {
        error
            .at(self.cursor)
            .below(Segment::Key(self.entry.key.clone()))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        de::Deserialize::deserialize(self.cursor).map_err(|error| self.below(error))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.cursor)
            .map_err(|error| self.below(error))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.cursor
            .deserialize_seq(visitor)
            .map_err(|error| self.below(error))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.cursor
            .deserialize_struct("", fields, visitor)
            .map_err(|error| self.below(error))
    }
}
