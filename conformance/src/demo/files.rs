//! `portcullis demo --write DIR`: the same as files to play with.

use std::{fs, io, path::Path};

use enforcer::{
    diagnostic::Diagnostics,
    yaml::{self, FieldPath, Source},
};

use super::SCENARIO;

/// Writes the scenario, and its policies as manifests of their own. Existing files are kept.
///
/// # Errors
/// If a file exists already or cannot be written.
pub fn write(folder: &Path) -> io::Result<Vec<String>> {
    let policies = folder.join("policies");
    fs::create_dir_all(&policies)?;
    let mut files = vec![(folder.join("demo.yaml"), SCENARIO.to_owned())];
    for (name, manifest) in manifests().map_err(io::Error::other)? {
        files.push((policies.join(format!("{name}.yaml")), manifest));
    }
    let mut written = Vec::new();
    for (path, text) in files {
        let mut file = fs::File::create_new(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

/// The policies of the scenario by their names, ready for `kubectl apply`: their very text, moved
/// to the left.
fn manifests() -> Result<Vec<(String, String)>, Diagnostics> {
    let documents = yaml::parse(&Source::new("demo.yaml", SCENARIO))?;
    let policies = FieldPath::root().key("spec").key("policies");
    let mut manifests = Vec::new();
    for document in &documents {
        for name in document.keys(&policies) {
            let location = document.location(&policies.key(name));
            let indent = " ".repeat(location.column() - 1);
            let lines = location.text().trim_end().lines();
            let text: String = lines
                .map(|line| format!("{}\n", line.strip_prefix(&indent).unwrap_or(line)))
                .collect();
            manifests.push((name.to_owned(), text));
        }
    }
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_becomes_a_manifest() {
        let manifests = manifests().unwrap();
        let names: Vec<_> = manifests.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["default-deny-ingress", "allow-x-to-y-80"]);
        assert!(
            manifests[0]
                .1
                .starts_with("apiVersion: networking.k8s.io/v1\n")
        );
    }

    #[test]
    fn existing_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        assert!(write(folder.path()).is_err());
    }
}
