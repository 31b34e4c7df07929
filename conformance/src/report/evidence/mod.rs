//! A run as evidence that others can read, keep and repeat: one folder.
//!
//! | file | for whom |
//! |---|---|
//! | `README.md` | people: the verdict, a table by topic, what did not pass, how to repeat it |
//! | `index.html` | people with a browser: the same, with every scenario; nothing outside the file |
//! | `conformance-report.yaml` | collectors of reports: the shape of the Gateway API's conformance reports |
//! | `junit.xml`, `results.json` | machines: see [`junit`] and [`json`] |
//!
//! `topic` counts by topic, `record` is the YAML, `page` writes for people.

mod page;
mod record;
mod topic;

use std::{fs, path::Path};

use super::{RunReport, WriteError, json, junit, write_file};

/// What was judged, in the words of whoever ran it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Implementation {
    /// Who makes it.
    pub organization: String,
    /// Its name.
    pub project: String,
    /// Where it lives.
    pub url: String,
    /// Its version.
    pub version: String,
    /// Whom to ask: addresses or handles.
    pub contact: Vec<String>,
}

/// What was judged, and how to do it again.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What was judged.
    pub implementation: &'a Implementation,
    /// The command that repeats the run.
    pub command: &'a str,
}

/// Writes all files of the folder, which is made if it is not there.
///
/// # Errors
/// If the folder cannot be made or one of the files cannot be written.
pub fn write(folder: &Path, report: &RunReport, subject: Subject<'_>) -> Result<(), WriteError> {
    fs::create_dir_all(folder).map_err(|source| WriteError {
        path: folder.display().to_string(),
        source,
    })?;
    let topics = topic::topics(report);
    write_file(
        &folder.join("README.md"),
        &page::markdown(report, &topics, subject),
    )?;
    write_file(
        &folder.join("index.html"),
        &page::html(report, &topics, subject),
    )?;
    write_file(
        &folder.join("conformance-report.yaml"),
        &record::render(report, subject.implementation),
    )?;
    junit::write(&folder.join("junit.xml"), report)?;
    json::write(&folder.join("results.json"), report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Conclusion, ScenarioReport, sample};

    fn scenarios() -> Vec<ScenarioReport> {
        let at = |file: &str, requires: &[&str], conclusion: Conclusion| {
            let mut scenario = sample::scenario(file, conclusion);
            scenario.file = format!("scenarios/{file}.yaml");
            scenario.requires = requires.iter().map(ToString::to_string).collect();
            scenario
        };
        let reason = || "no node of the cluster can be told to leave".to_owned();
        vec![
            at("ports/end-port", &[], Conclusion::Passed),
            at("ports/sctp", &["sctp"], Conclusion::Passed),
            sample::failing(),
            at(
                "services/node-port",
                &["services", "node-port"],
                Conclusion::Passed,
            ),
            at("services/cluster-ip", &["services"], Conclusion::Passed),
            at(
                "robustness/kill",
                &["agents"],
                Conclusion::Skipped { reason: reason() },
            ),
        ]
    }

    fn implementation() -> Implementation {
        Implementation {
            organization: "example".to_owned(),
            project: "a <CNI>".to_owned(),
            url: "https://example.org".to_owned(),
            version: "v1.2.3".to_owned(),
            contact: vec!["@someone".to_owned()],
        }
    }

    fn shown(render: impl Fn(&RunReport, &[topic::Topic<'_>], Subject<'_>) -> String) -> String {
        let report = sample::run(scenarios());
        let implementation = implementation();
        let subject = Subject {
            implementation: &implementation,
            command: "portcullis conformance run --backend cluster --report out",
        };
        render(&report, &topic::topics(&report), subject)
    }

    #[test]
    fn people_read_the_verdict_first_then_the_topics() {
        insta::assert_snapshot!(shown(page::markdown));
    }

    #[test]
    fn a_browser_needs_nothing_but_the_page() {
        let page = shown(page::html);
        assert!(!page.contains("<CNI>"), "text is escaped");
        assert!(!page.contains("src=") && !page.contains("<link"));
        insta::assert_snapshot!(page);
    }

    #[test]
    fn collectors_get_the_shape_they_know() {
        let record = record::render(&sample::run(scenarios()), &implementation());
        insta::assert_snapshot!(record);
    }

    #[test]
    fn the_folder_is_made_and_filled() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deep/er");
        let implementation = Implementation::default();
        let subject = Subject {
            implementation: &implementation,
            command: "portcullis test",
        };
        write(&folder, &sample::run(scenarios()), subject).unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let all = [
            "README.md",
            "conformance-report.yaml",
            "index.html",
            "junit.xml",
            "results.json",
        ];
        assert_eq!(names, all);
    }
}
