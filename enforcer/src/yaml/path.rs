//! Paths to fields, as the Kubernetes API server writes them.

use std::fmt;

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// An entry of a mapping.
    Key(String),
    /// An item of a list, counted from 0.
    Index(usize),
}

/// A path from an object to one of its fields. Displays as `spec.ingress[0].ports[1].endPort`; a
/// key that is no plain word stands in brackets, as in `metadata.labels[app.kubernetes.io/name]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    segments: Vec<Segment>,
}

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The entry `key` of this mapping.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.then(Segment::Key(key.into()))
    }

    /// The item `index` of this list, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Segment::Index(index))
    }

    /// The path with one more step.
    #[must_use]
    pub fn then(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.segments.push(segment);
        path
    }

    /// The steps from the object on.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self {
            segments: segments.into_iter().collect(),
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if !is_word(key) => write!(f, "[{key}]")?,
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Reads the form that Display writes. What stands in brackets is an index if it is a number.
impl From<&str> for FieldPath {
    fn from(text: &str) -> Self {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let end = inner.find(']').unwrap_or(inner.len());
                segments.push(match inner[..end].parse() {
                    Ok(index) => Segment::Index(index),
                    Err(_) => Segment::Key(inner[..end].to_owned()),
                });
                rest = inner.get(end + 1..).unwrap_or("");
            } else {
                let word = rest.strip_prefix('.').unwrap_or(rest);
                let end = word.find(['.', '[']).unwrap_or(word.len());
                segments.push(Segment::Key(word[..end].to_owned()));
                rest = &word[end..];
            }
        }
        Self { segments }
    }
}

/// Whether a key can stand in a path without brackets.
fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !key.chars().all(|c| c.is_ascii_digit())
}
