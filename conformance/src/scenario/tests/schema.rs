//! The schema in the tree is the one that the types say.

use std::{env, fs, path::Path};

use crate::scenario::schema_text;

#[test]
fn the_schema_file_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/scenario.schema.json");
    let text = schema_text();
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "scenarios/scenario.schema.json is not up to date: run `cargo xtask schema`, or the tests \
         with UPDATE_SCHEMA=1"
    );
}

#[test]
fn every_field_has_a_description() {
    let schema = crate::scenario::schema();
    let mut bare = Vec::new();
    look(&schema, "", &mut bare);
    assert!(bare.is_empty(), "without a description: {bare:?}");
}

/// Properties that neither have a description nor are a reference to something that has one.
/// Those of Kubernetes manifests are Kubernetes'.
fn look(schema: &serde_json::Value, path: &str, bare: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        let is_manifest = properties.contains_key("kind") && !properties.contains_key("spec")
            || schema["required"] == serde_json::json!(["apiVersion", "kind", "metadata"]);
        for (name, property) in properties {
            if !is_manifest && property["description"].is_null() {
                bare.push(format!("{path}.{name}"));
            }
        }
    }
    match schema {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                look(value, &format!("{path}/{key}"), bare);
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                look(item, path, bare);
            }
        }
        _ => {}
    }
}
