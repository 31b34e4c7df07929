//! Many scenario files: paths and folders to scenarios.
//!
//! Below a folder every YAML file that calls itself a scenario (`apiVersion: portcullis.dev/…`) is
//! one; manifests that scenarios use may lie beside them. A file that is named by itself must be one.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use enforcer::{
    diagnostic::{Diagnostic, Diagnostics},
    yaml::Location,
};

use crate::scenario::{self, Options, Scenario};

/// What a scenario file's `apiVersion` begins with.
const API_GROUP: &str = "portcullis.dev/";

/// All scenarios of these files and folders, in the order of the paths and of the names below them.
///
/// # Errors
/// Every mistake in every file; a path that does not exist; two scenarios of one name.
pub fn load(paths: &[PathBuf], options: &Options) -> Result<Vec<Scenario>, Diagnostics> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        if let Err(error) = collect(path, true, &mut files) {
            problems.push(Diagnostic::new(
                "scenario/file",
                format!("`{}` cannot be read: {error}", path.display()),
            ));
        }
    }
    files.dedup();
    let mut scenarios = Vec::new();
    for file in &files {
        match scenario::load_with(file, options) {
            Ok(loaded) => scenarios.extend(loaded),
            Err(diagnostics) => problems.extend(diagnostics.0),
        }
    }
    problems.extend(twice(&scenarios));
    Diagnostics::check(problems)?;
    Ok(scenarios)
}

/// The scenario files at or below a path.
fn collect(path: &Path, is_named: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
        let mut below = entries.collect::<io::Result<Vec<_>>>()?;
        below.sort();
        for path in below {
            collect(&path, false, files)?;
        }
    } else if is_named || is_scenario(path)? {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Whether a file below a folder calls itself a scenario.
fn is_scenario(path: &Path) -> io::Result<bool> {
    if !scenario::is_yaml(path) {
        return Ok(false);
    }
    let text = fs::read_to_string(path)?;
    let mut versions = text
        .lines()
        .filter_map(|line| line.strip_prefix("apiVersion:"));
    Ok(versions.any(|version| {
        version
            .trim()
            .trim_matches(['"', '\''])
            .starts_with(API_GROUP)
    }))
}

/// Names that two files share: `-k` and reports could not tell them apart.
fn twice(scenarios: &[Scenario]) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<&str, &Location> = BTreeMap::new();
    let mut problems = Vec::new();
    for scenario in scenarios {
        if let Some(first) = seen.insert(&scenario.name, &scenario.location) {
            problems.push(
                Diagnostic::new(
                    "scenario/duplicate-name",
                    format!("two scenarios are called `{}`", scenario.name),
                )
                .at(scenario.location.clone(), "this one")
                .also(first.clone(), "and this one"),
            );
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn manifests_beside_scenarios_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        crate::demo::write(folder.path()).unwrap();
        let scenarios = load(&[folder.path().to_owned()], &Options::default()).unwrap();
        assert_eq!(scenarios.len(), 1);
    }

    #[test]
    fn a_named_file_must_be_a_scenario() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        fs::write(&file, "apiVersion: v1\nkind: Namespace\n").unwrap();
        assert!(load(&[file], &Options::default()).is_err());
    }

    #[test]
    fn a_name_is_had_once() {
        let folder = tempfile::tempdir().unwrap();
        crate::demo::write(folder.path()).unwrap();
        fs::copy(
            folder.path().join("demo.yaml"),
            folder.path().join("again.yaml"),
        )
        .unwrap();
        let error = load(&[folder.path().to_owned()], &Options::default()).unwrap_err();
        assert_eq!(error.0[0].code, "scenario/duplicate-name");
    }

    #[test]
    fn a_path_that_does_not_exist_is_named() {
        let error = load(&["no/such/file.yaml".into()], &Options::default()).unwrap_err();
        assert!(error.0[0].message.contains("no/such/file.yaml"));
    }
}
