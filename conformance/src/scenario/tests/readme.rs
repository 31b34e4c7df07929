//! `scenarios/README.md` says all of the language, and nothing that is not so.

use std::{collections::BTreeSet, fs, path::Path};

use crate::scenario::{Options, load_text, schema};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/README.md");
    fs::read_to_string(path).unwrap()
}

#[test]
fn whole_examples_load() {
    let readme = readme();
    let blocks: Vec<&str> = readme
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| block.contains("kind: Scenario"))
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if let Err(errors) = load_text("README.md", block, &Options::default()) {
            panic!("{errors}");
        }
    }
}

#[test]
fn every_code_has_a_paragraph() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scenario");
    let mut codes = BTreeSet::new();
    collect(&folder, &mut codes);
    assert!(codes.len() > 15, "{codes:?}");
    let readme = readme();
    let missing: Vec<_> = codes
        .iter()
        .filter(|code| !readme.contains(&format!("### `{code}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "no paragraph in scenarios/README.md: {missing:?}"
    );
    let of_readme = readme.matches("### `scenario/").count();
    assert_eq!(
        of_readme,
        codes.len(),
        "scenarios/README.md explains codes that there are not"
    );
}

/// The codes that stand as literals in the sources of this module, its tests left out.
fn collect(folder: &Path, codes: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                collect(&path, codes);
            }
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("\"scenario/").skip(1) {
            let code = rest.split('"').next().unwrap();
            codes.insert(format!("scenario/{code}"));
        }
    }
}

#[test]
fn every_key_is_described() {
    let mut keys = BTreeSet::new();
    collect_keys(&schema(), &mut keys);
    let readme = readme();
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| !readme.contains(&format!("{key}:")) && !readme.contains(&format!("`{key}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in scenarios/README.md: {missing:?}"
    );
}

fn collect_keys(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(entries) => {
            if let Some(properties) = entries.get("properties").and_then(|p| p.as_object()) {
                keys.extend(properties.keys().cloned());
            }
            entries.values().for_each(|value| collect_keys(value, keys));
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|value| collect_keys(value, keys));
        }
        _ => {}
    }
}
