//! YAML files that a scenario names: real manifests, as people ship them.

use std::{fs, path::Path};

use enforcer::{
    api::manifest::{self, Manifest},
    diagnostic::Diagnostic,
    yaml::{self, Document, FieldPath, Location, Source},
};

use super::Reader;

impl Reader {
    /// The objects of a file, or of every YAML file of a folder. Problems are reported, those of
    /// the path itself at `at`.
    pub(super) fn objects_of_path(&mut self, at: &FieldPath, path: &str) -> Vec<Manifest> {
        let location = self.at(at);
        let mut objects = Vec::new();
        for document in self.documents_of_path(&location, path) {
            match manifest::decode(&document) {
                Ok(found) => objects.extend(found),
                Err(errors) => self.problems.extend(errors.0),
            }
        }
        objects
    }

    /// The one document of a file.
    pub(super) fn one_document(&mut self, at: &FieldPath, path: &str) -> Option<Document> {
        let location = self.at(at);
        let before = self.problems.len();
        let mut documents = self.documents_of_path(&location, path);
        if documents.len() == 1 {
            return documents.pop();
        }
        if self.problems.len() == before {
            let problem = Diagnostic::new(
                "scenario/manifest",
                format!("`{path}` has {} documents", documents.len()),
            )
            .at(location, "expected one manifest");
            self.report(problem);
        }
        None
    }

    fn documents_of_path(&mut self, location: &Location, path: &str) -> Vec<Document> {
        let whole = self.folder.join(path);
        let files = match files_of(&whole) {
            Ok(files) => files,
            Err(error) => {
                self.report_file(location, path, &error);
                return Vec::new();
            }
        };
        if files.is_empty() {
            let problem = Diagnostic::new("scenario/file", format!("`{path}` has no YAML files"))
                .at(location.clone(), "");
            self.report(problem);
        }
        let mut documents = Vec::new();
        for file in files {
            match fs::read_to_string(&file) {
                Ok(text) => {
                    let source = Source::new(file.display().to_string(), text);
                    match yaml::parse(&source) {
                        Ok(found) => documents.extend(found),
                        Err(errors) => self.problems.extend(errors.0),
                    }
                }
                Err(error) => self.report_file(location, path, &error),
            }
        }
        documents
    }

    fn report_file(&mut self, location: &Location, path: &str, error: &std::io::Error) {
        let problem = Diagnostic::new("scenario/file", format!("`{path}` cannot be read: {error}"))
            .at(location.clone(), "")
            .note(format!("paths start at {}", display(&self.folder)));
        self.report(problem);
    }
}

/// A folder as people write it.
fn display(folder: &Path) -> String {
    let text = folder.display().to_string();
    if text.is_empty() {
        "the current folder".to_owned()
    } else {
        text
    }
}

/// The file, or the YAML files of the folder in the order of their names.
fn files_of(path: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if super::super::is_yaml(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
