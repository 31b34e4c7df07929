//! A page of a list, read object by object: of its megabytes only one object is ever in memory.

use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// What a page says beside its objects.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct PageMetadata {
    /// The moment of the whole list.
    #[serde(rename = "resourceVersion")]
    pub(super) version: Option<String>,
    /// Where the next page begins; empty or absent on the last.
    #[serde(rename = "continue")]
    pub(super) more: Option<String>,
}

/// A page without its objects.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    metadata: PageMetadata,
    // An answer without it is no list, and must not be taken for an empty one.
    #[serde(rename = "items", deserialize_with = "present")]
    _items: Option<Vec<IgnoredAny>>,
}

/// Null is as good as an empty list, but not no list at all.
fn present<'de, D: Deserializer<'de>>(items: D) -> Result<Option<Vec<IgnoredAny>>, D::Error> {
    Option::deserialize(items)
}

/// Takes the bytes of a page in as they come.
#[derive(Debug, Default)]
pub(super) struct PageReader {
    /// Open braces and brackets.
    depth: usize,
    /// Whether the list of objects is open: an array right inside the page.
    is_in_items: bool,
    is_in_text: bool,
    is_escaped: bool,
    /// The object that is being read.
    object: Vec<u8>,
    /// Everything else.
    envelope: Vec<u8>,
}

impl PageReader {
    /// Takes some bytes in, and calls `each` with every object that is complete.
    ///
    /// # Errors
    /// Whatever `each` says.
    pub(super) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let was_in_object = self.is_in_object();
            let (taken, has_ended) = self.step(bytes);
            let (part, rest) = bytes.split_at(taken);
            bytes = rest;
            if was_in_object || self.is_in_object() {
                self.object.extend_from_slice(part);
            } else if !self.is_between() || part != b"," {
                self.envelope.extend_from_slice(part);
            }
            if has_ended {
                each(&self.object)?;
                self.object.clear();
            }
        }
        Ok(())
    }

    /// What the page says beside its objects, at its end.
    ///
    /// # Errors
    /// It is no page, or not all of one.
    pub(super) fn end(self) -> Result<PageMetadata, serde_json::Error> {
        let envelope: Envelope = serde_json::from_slice(&self.envelope)?;
        Ok(envelope.metadata)
    }

    fn is_in_object(&self) -> bool {
        self.is_in_items && self.depth > 2
    }

    /// Whether it stands between two objects.
    fn is_between(&self) -> bool {
        self.is_in_items && self.depth == 2
    }

    /// Goes to after the next byte that means something. Says how many bytes that is and whether an
    /// object ended with them.
    fn step(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.is_escaped {
            self.is_escaped = false;
            return (1, false);
        }
        let is_between = self.is_between();
        let found = if self.is_in_text {
            bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))
        } else {
            bytes.iter().position(|byte| {
                matches!(byte, b'"' | b'{' | b'}' | b'[' | b']') || is_between && *byte == b','
            })
        };
        let Some(at) = found else {
            return (bytes.len(), false);
        };
        // What is before it belongs to where it stands, not to where it leads.
        if at > 0 && is_between {
            return (at, false);
        }
        let mut has_ended = false;
        match bytes[at] {
            b'"' => self.is_in_text = !self.is_in_text,
            b'\\' => self.is_escaped = true,
            b'{' => self.depth += 1,
            b'[' => {
                self.depth += 1;
                self.is_in_items |= self.depth == 2;
            }
            b'}' | b']' => {
                has_ended = self.is_in_items && self.depth == 3;
                self.is_in_items &= self.depth != 2;
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
        (at + 1, has_ended)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Fed in pieces of some size.
    fn read(text: &[u8], size: usize) -> (Vec<Value>, Result<PageMetadata, serde_json::Error>) {
        let mut objects = Vec::new();
        let mut reader = PageReader::default();
        for piece in text.chunks(size) {
            reader
                .feed(piece, |object| {
                    objects.push(serde_json::from_slice(object)?);
                    Ok::<_, serde_json::Error>(())
                })
                .expect("every object is whole");
        }
        (objects, reader.end())
    }

    fn pages() -> Vec<Value> {
        vec![
            json!({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": []}),
            json!({"metadata": {"resourceVersion": "7", "continue": "x"}, "items": [{"a": 1}]}),
            json!({"items": [{"a": "]},{[\\\"\"\\"}, {}, {"b": [[{"c": []}], {"d": "é\u{1}"}]}]}),
            json!({"metadata": {"x": [{"y": 1}]}, "items": null}),
        ]
    }

    #[test]
    fn objects_and_metadata_are_what_they_are_in_one_piece() {
        for page in pages() {
            for text in [page.to_string(), format!("{page:#}")] {
                for size in [1, 2, 3, 7, 1000] {
                    let (objects, metadata) = read(text.as_bytes(), size);
                    let items = page["items"].as_array().cloned().unwrap_or_default();
                    assert_eq!(objects, items, "{text} in pieces of {size}");
                    let metadata = metadata.expect("it is a page");
                    let version = page["metadata"]["resourceVersion"].as_str();
                    assert_eq!(metadata.version.as_deref(), version);
                    assert_eq!(
                        metadata.more.as_deref(),
                        page["metadata"]["continue"].as_str()
                    );
                }
            }
        }
    }

    #[test]
    fn an_answer_without_items_is_no_list() {
        for text in [
            "{}",
            "[]",
            "null",
            "{\"metadata\": {\"resourceVersion\": \"7\"}}",
        ] {
            assert!(read(text.as_bytes(), 1000).1.is_err(), "{text}");
        }
    }

    #[test]
    fn half_a_page_is_none() {
        for page in pages() {
            let text = page.to_string();
            for end in 0..text.len() {
                let mut reader = PageReader::default();
                let fed = reader.feed(&text.as_bytes()[..end], |_| Ok::<_, ()>(()));
                fed.expect("nothing is wrong yet");
                assert!(reader.end().is_err(), "{}", &text[..end]);
            }
        }
    }

    proptest! {
        #[test]
        fn texts_may_hold_anything(texts in proptest::collection::vec(".*", 0..5), size in 1_usize..9) {
            let items: Vec<_> = texts.iter().map(|text| json!({"t": text, text: [text]})).collect();
            let page = json!({"items": items}).to_string();
            let (objects, metadata) = read(page.as_bytes(), size);
            prop_assert_eq!(objects, items);
            prop_assert!(metadata.is_ok());
        }
    }
}
