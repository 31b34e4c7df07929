//! The report in the shape that the Gateway API's conformance reports have, so that those who
//! collect such reports can read it.
//!
//! *Core* are the scenarios that need nothing but NetworkPolicy, Pods and Namespaces; *extended*
//! those that also need a feature of the cluster (`requires:` in a scenario).

use std::collections::BTreeSet;

use serde::Serialize;

use super::Implementation;
use crate::report::{Conclusion, RunReport, ScenarioReport};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    api_version: &'static str,
    kind: &'static str,
    date: String,
    #[serde(rename = "networkPolicyAPIVersion")]
    network_policy_api_version: &'static str,
    implementation: Maker<'a>,
    mode: &'a str,
    profiles: [Profile<'a>; 1],
}

#[derive(Serialize)]
struct Maker<'a> {
    organization: &'a str,
    project: &'a str,
    url: &'a str,
    version: &'a str,
    contact: &'a [String],
}

#[derive(Serialize)]
struct Profile<'a> {
    name: &'static str,
    core: Part<'a>,
    extended: Extended<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    result: &'static str,
    statistics: Statistics,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_tests: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped_tests: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extended<'a> {
    #[serde(flatten)]
    part: Part<'a>,
    supported_features: BTreeSet<&'a str>,
    unsupported_features: BTreeSet<&'a str>,
}

/// Keys as in the Gateway API's reports.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    failed: usize,
    passed: usize,
    skipped: usize,
}

/// The report as YAML.
pub(super) fn render(report: &RunReport, implementation: &Implementation) -> String {
    let (core, extended): (Vec<_>, Vec<_>) = report
        .scenarios
        .iter()
        .partition(|scenario| scenario.requires.is_empty());
    let record = Record {
        api_version: "portcullis.dev/v1alpha1",
        kind: "ConformanceReport",
        date: report.started.to_string(),
        network_policy_api_version: "networking.k8s.io/v1",
        implementation: Maker {
            organization: &implementation.organization,
            project: &implementation.project,
            url: &implementation.url,
            version: &implementation.version,
            contact: &implementation.contact,
        },
        mode: &report.environment.backend,
        profiles: [Profile {
            name: "NETWORK-POLICY",
            core: part(&core),
            extended: Extended {
                part: part(&extended),
                supported_features: features(&extended, |all| {
                    all.iter().all(|one| !one.conclusion.is_bad())
                        && all.iter().any(|one| one.conclusion == Conclusion::Passed)
                }),
                unsupported_features: features(&extended, |all| {
                    all.iter().any(|one| one.conclusion.is_bad())
                        || all.iter().all(|one| one.conclusion != Conclusion::Passed)
                }),
            },
        }],
    };
    serde_yaml::to_string(&record).expect("the record has only string keys and plain values")
}

fn part<'a>(scenarios: &[&'a ScenarioReport]) -> Part<'a> {
    let names = |wanted: fn(&Conclusion) -> bool| -> Vec<&'a str> {
        let mut names: Vec<&str> = scenarios
            .iter()
            .filter(|scenario| wanted(&scenario.conclusion))
            .map(|scenario| scenario.id.as_str())
            .collect();
        names.dedup();
        names
    };
    let count = |wanted: fn(&Conclusion) -> bool| {
        let all = scenarios.iter();
        all.filter(|scenario| wanted(&scenario.conclusion)).count()
    };
    let is_skipped = |one: &Conclusion| matches!(one, Conclusion::Skipped { .. });
    let statistics = Statistics {
        failed: count(Conclusion::is_bad),
        passed: count(|one| *one == Conclusion::Passed),
        skipped: count(is_skipped),
    };
    Part {
        result: match (statistics.failed, statistics.skipped) {
            (0, 0) => "success",
            (0, _) => "partial",
            _ => "failure",
        },
        statistics,
        failed_tests: names(Conclusion::is_bad),
        skipped_tests: names(is_skipped),
    }
}

/// The features of which all scenarios that need them came out so.
fn features<'a>(
    scenarios: &[&'a ScenarioReport],
    wanted: fn(&[&ScenarioReport]) -> bool,
) -> BTreeSet<&'a str> {
    let all = scenarios.iter().flat_map(|scenario| &scenario.requires);
    let all: BTreeSet<&str> = all.map(String::as_str).collect();
    let needing = |feature: &str| -> Vec<&ScenarioReport> {
        let scenarios = scenarios.iter().copied();
        scenarios
            .filter(|one| one.requires.iter().any(|name| name == feature))
            .collect()
    };
    all.into_iter()
        .filter(|feature| wanted(&needing(feature)))
        .collect()
}
