//! Values with a short and a long form: `80/tcp` or `{port: 80, protocol: TCP}`.
//!
//! Serde's `untagged` would answer every mistake with "data did not match any variant". Here the
//! kind of the YAML node decides which form is meant, and the error is that of the form.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{
        Error, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer},
    },
};

/// A type whose derived form is its long form, and that also has a short one.
pub(crate) trait Short: Sized {
    /// Both forms in words, after "expected".
    const EXPECTED: &'static str;
    /// What the schema says of the short form.
    const SHORT: &'static str;

    /// Reads the short form.
    fn from_text(text: &str) -> Result<Self, String>;

    /// The schema of the short form.
    fn short_schema() -> Schema {
        json_schema!({ "type": "string", "description": Self::SHORT })
    }
}

/// A value in its short or in its long form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShortOrLong<T>(pub(crate) T);

impl<'de, T: Short + Deserialize<'de>> Deserialize<'de> for ShortOrLong<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms<T>(PhantomData<T>);

        impl<'de, T: Short + Deserialize<'de>> Visitor<'de> for Forms<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
                T::from_text(text).map_err(E::custom)
            }

            /// A plain `80` is a number in YAML.
            fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
                T::from_text(&number.to_string()).map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
                T::from_text(&number.to_string()).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Forms(PhantomData)).map(Self)
    }
}

impl<T: Short + JsonSchema> JsonSchema for ShortOrLong<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ShortOrLong{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [T::short_schema(), long] })
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OneOrMany<T> {
    /// The values.
    pub(crate) items: Vec<T>,
    /// Whether they were written as a list.
    pub(crate) is_list: bool,
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            is_list: true,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<T> Either<T> {
            fn one<E>(item: Result<T, E>) -> Result<OneOrMany<T>, E> {
                Ok(OneOrMany {
                    items: vec![item?],
                    is_list: false,
                })
            }
        }

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one entry or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Self::one(T::deserialize(StrDeserializer::new(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Self::one(T::deserialize(MapAccessDeserializer::new(map)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Ok(OneOrMany {
                    items: Vec::deserialize(SeqAccessDeserializer::new(seq))?,
                    is_list: true,
                })
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// Names alone, or names with details: `[x/a, x/b]` or `{x/a: {…}, x/b: {…}}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamesOrMap<T> {
    /// Name and details, in the order of the file where it is a list.
    pub(crate) entries: Vec<(String, T)>,
    /// Whether they were written as a list of names.
    pub(crate) is_list: bool,
}

impl<T> Default for NamesOrMap<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            is_list: true,
        }
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for NamesOrMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Forms<T> {
            type Value = NamesOrMap<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or a mapping from names to details")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, details)) = map.next_entry::<String, Option<T>>()? {
                    entries.push((name, details.unwrap_or_default()));
                }
                Ok(NamesOrMap {
                    entries,
                    is_list: false,
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let names = Vec::<String>::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(NamesOrMap {
                    entries: names.into_iter().map(|n| (n, T::default())).collect(),
                    is_list: true,
                })
            }
        }

        deserializer.deserialize_any(Forms(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for NamesOrMap<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NamesOrMap{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let details = generator.subschema_for::<Option<T>>();
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "additionalProperties": details },
            ]
        })
    }
}
