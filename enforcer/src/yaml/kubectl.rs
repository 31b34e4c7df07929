//! kubectl's reading of bare words.
//!
//! kubectl converts manifests to JSON by the rules of YAML 1.1, where `yes`, `no`, `on`, `off`, `y`
//! and `n` are booleans unless quoted. A namespace called `y` must be quoted there, or the API
//! server refuses the object; and `hostNetwork: yes` means true.

use serde_json::Value;

use super::{
    Document, Location,
    tree::{Children, Node},
};

impl Document {
    /// The same document with the bare words that kubectl takes for booleans turned into booleans.
    #[must_use]
    pub fn as_kubectl_reads_it(&self) -> Self {
        self.with_value(reread(self, self.value(), self.root_node()))
    }
}

fn reread(document: &Document, value: &Value, node: &Node) -> Value {
    match (value, &node.children) {
        (Value::Object(map), Children::Entries(entries)) => entries
            .iter()
            .filter_map(|entry| {
                let value = map.get(&entry.key)?;
                Some((entry.key.clone(), reread(document, value, &entry.node)))
            })
            .collect(),
        (Value::Array(items), Children::Items(nodes)) => items
            .iter()
            .zip(nodes)
            .map(|(item, node)| reread(document, item, node))
            .collect(),
        (Value::String(text), Children::None) => {
            let written = Location::new(document.source(), node.span.clone());
            match boolean(text) {
                // A quoted word is written with its quotes.
                Some(boolean) if written.text() == text => Value::Bool(boolean),
                _ => value.clone(),
            }
        }
        _ => value.clone(),
    }
}

/// The boolean that YAML 1.1 sees in a bare word and YAML 1.2 does not.
fn boolean(word: &str) -> Option<bool> {
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}
