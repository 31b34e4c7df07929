//! Results by topic: the folder that a scenario lies in.

use std::{collections::BTreeMap, path::Path};

use crate::report::{Counts, RunReport, ScenarioReport};

/// The scenarios of one topic.
#[derive(Clone, Debug)]
pub(super) struct Topic<'a> {
    /// The name of the folder.
    pub(super) name: &'a str,
    /// In the order of the report.
    pub(super) scenarios: Vec<&'a ScenarioReport>,
}

/// The topics in the order of their names.
pub(super) fn topics(report: &RunReport) -> Vec<Topic<'_>> {
    let mut topics: BTreeMap<&str, Vec<&ScenarioReport>> = BTreeMap::new();
    for scenario in &report.scenarios {
        topics.entry(topic_of(scenario)).or_default().push(scenario);
    }
    let topics = topics.into_iter();
    topics
        .map(|(name, scenarios)| Topic { name, scenarios })
        .collect()
}

/// The folder's name; a scenario beside the program has none.
fn topic_of(scenario: &ScenarioReport) -> &str {
    let folder = Path::new(&scenario.file).parent();
    let name = folder.and_then(Path::file_name);
    name.and_then(|name| name.to_str()).unwrap_or("(no folder)")
}

impl Topic<'_> {
    /// How its scenarios ended.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for scenario in &self.scenarios {
            counts.add(scenario);
        }
        counts
    }
}
