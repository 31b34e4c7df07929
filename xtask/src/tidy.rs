//! Rules of the repository that no compiler knows. Every message says what to do.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use crate::{
    process::{root, say},
    promises,
};

/// No file of ours is longer: a reader keeps one concept in mind, not five.
const LONGEST_FILE: usize = 700;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["common", "helper", "helpers", "manager", "misc", "utils"];

pub(crate) fn run() -> Result<()> {
    let mut findings = Vec::new();
    for folder in ["conformance", "enforcer", "netsim", "xtask"] {
        visit(&root().join(folder), &mut findings)?;
    }
    reasons(&mut findings)?;
    promises::check(&mut findings)?;
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        say(&format!("tidy: {finding}"));
    }
    bail!("{} findings", findings.len())
}

fn visit(folder: &Path, findings: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, findings)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source(&path, &fs::read_to_string(&path)?, findings);
        }
    }
    Ok(())
}

fn source(path: &Path, text: &str, findings: &mut Vec<String>) {
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        findings.push(format!(
            "{shown} has {lines} lines, more than {LONGEST_FILE}: split it by concept"
        ));
    }
    let name = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("");
    if EMPTY_NAMES.contains(&name) {
        findings.push(format!(
            "{shown}: `{name}` says nothing: name the file after the concept in it"
        ));
    }
    if !text.starts_with("//!") {
        findings.push(format!(
            "{shown} has no module documentation: start it with `//!` and say what is in it"
        ));
    }
}

/// Every dependency of the workspace carries its reason.
fn reasons(findings: &mut Vec<String>) -> Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let dependencies = manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with("[workspace."));
    for line in dependencies {
        let is_entry = line.contains(" = ") && !line.starts_with('#');
        if is_entry && !line.contains(" # ") && !line.contains("{ path = ") {
            findings.push(format!(
                "Cargo.toml: `{line}` has no reason: end the line with `# why it earns its place`"
            ));
        }
    }
    Ok(())
}
