//! What is promised to whoever runs the agent, and the tests that hold it: every name in the table
//! of `enforcer/deploy/README.md` must be that of a test or of a file.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::process::root;

const PAGE: &str = "enforcer/deploy/README.md";
const BEGIN: &str = "## What is promised when";
/// Where tests are.
const FOLDERS: [&str; 4] = ["conformance", "enforcer", "netsim", "xtask"];

/// Adds what is promised and not held.
pub(crate) fn check(findings: &mut Vec<String>) -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE)).context("failed to read the promises")?;
    let mut sources = String::new();
    for folder in FOLDERS {
        gather(&root().join(folder), &mut sources)?;
    }
    let is_there = |name: &str| {
        root().join(name).is_file()
            || sources.contains(&format!("fn {name}("))
            || sources.contains(&format!("\"{name}\""))
    };
    findings.extend(broken(&page, is_there));
    Ok(())
}

fn gather(folder: &Path, sources: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

fn broken(page: &str, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let rows: Vec<_> = page
        .lines()
        .skip_while(|line| *line != BEGIN)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| ") && !line.starts_with("| moment"))
        .collect();
    if rows.is_empty() {
        return vec![format!("{PAGE} has no table under `{BEGIN}`")];
    }
    let mut findings = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let names = cells.last().copied().unwrap_or_default().split('`');
        let mut names = names.skip(1).step_by(2).peekable();
        if cells.len() != 3 || names.peek().is_none() {
            findings.push(format!("{PAGE}: no test holds the promise in `{row}`"));
        }
        for name in names.filter(|name| !is_there(name)) {
            findings.push(format!(
                "{PAGE}: `{name}` is neither a test nor a file: name what holds the promise now"
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## What is promised when\n\n| moment | promise | held by |\n|---|---|---|\n\
                        | it starts | nothing leaks | `a` `b/c.yaml` |\n## Other\n| x | y | `z` |\n";

    #[test]
    fn what_is_held_is_no_finding() {
        assert_eq!(broken(PAGE, |_| true), [""; 0]);
    }

    #[test]
    fn a_test_that_has_gone_is_missed() {
        let findings = broken(PAGE, |name| name == "a");
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("`b/c.yaml`"), "{findings:?}");
    }

    #[test]
    fn a_promise_without_a_test_is_none() {
        let page = PAGE.replace("`a` `b/c.yaml`", "we hope");
        assert_eq!(broken(&page, |_| true).len(), 1);
        assert_eq!(broken("", |_| true).len(), 1);
    }
}
