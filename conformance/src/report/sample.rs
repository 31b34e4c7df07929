//! A small run for tests.

use std::time::Duration;

use enforcer::options::Options;

use super::{
    CellFailure, Conclusion, Environment, Opinion, Outcomes, Problem, RunReport, SCHEMA,
    ScenarioReport, StepReport,
};
use crate::cell::{Cell, Endpoint, Family, Outcome, Port, Protocol};

pub(super) fn run(scenarios: Vec<ScenarioReport>) -> RunReport {
    RunReport {
        schema: SCHEMA,
        started: "2026-01-02T03:04:05Z".parse().unwrap(),
        duration: Duration::from_millis(2400),
        environment: Environment {
            version: "0.1.0".to_owned(),
            backend: "sim".to_owned(),
            kernel: "6.1.0".to_owned(),
            workers: 2,
            root: false,
        },
        scenarios,
    }
}

pub(super) fn scenario(id: &str, conclusion: Conclusion) -> ScenarioReport {
    ScenarioReport {
        id: id.to_owned(),
        title: "a default deny and one allow".to_owned(),
        file: "scenarios/shop.yaml".to_owned(),
        line: 3,
        tags: vec!["union".to_owned()],
        covers: vec![2, 130],
        requires: Vec::new(),
        fabric: Some("bridge".to_owned()),
        family: "ipv4".to_owned(),
        options: Options::default(),
        conclusion,
        duration: Duration::from_millis(310),
        steps: vec![step("everything is denied", 9)],
        look: Vec::new(),
    }
}

pub(super) fn step(name: &str, line: usize) -> StepReport {
    StepReport {
        name: name.to_owned(),
        line,
        checks: 12,
        duration: Duration::from_millis(150),
        outcomes: Outcomes {
            allowed: 8,
            denied: 4,
            ..Outcomes::default()
        },
        ..StepReport::default()
    }
}

pub(super) fn pod(namespace: &str, name: &str) -> Endpoint {
    Endpoint::Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

pub(super) fn cell(source: &str, destination: &str) -> Cell {
    let endpoint = |text: &str| {
        let (namespace, name) = text.split_once('/').unwrap();
        pod(namespace, name)
    };
    Cell {
        source: endpoint(source),
        destination: endpoint(destination),
        port: Port {
            number: Some(5432),
            protocol: Protocol::Tcp,
        },
        family: Family::Ipv4,
    }
}

/// The oracle, the plans and the kernel all deny what the scenario allows.
pub(super) fn denied(source: &str, destination: &str) -> CellFailure {
    let opinion = |reason: &str| Opinion {
        outcomes: vec![Outcome::Denied],
        reasons: vec![reason.to_owned()],
    };
    CellFailure {
        cell: cell(source, destination),
        expected: vec![Outcome::Allowed],
        actual: Outcome::Denied,
        expected_at: Some("scenarios/shop.yaml:34:15".to_owned()),
        served_by: None,
        source_seen: None,
        oracle: opinion("shop/db is isolated for ingress by shop/default-deny, shop/allow-db"),
        plan: opinion("the plan of n1 denies it"),
        judges_agree: true,
        explanation: vec![
            "ingress of shop/db".to_owned(),
            "isolated by  shop/default-deny".to_owned(),
            "             shop/allow-db".to_owned(),
            "nearest rule shop/allow-db ingress[0].from[1]: ops/tool has access=db".to_owned(),
        ],
    }
}

/// A scenario whose second step fails.
pub(super) fn failing() -> ScenarioReport {
    let mut scenario = scenario("shop-db[ipv4]", Conclusion::Failed);
    let mut step = step("a label opens it", 31);
    step.failures.push(denied("ops/tool", "shop/db"));
    scenario.steps.push(step);
    scenario
}

/// A scenario about one of whose connections the judges disagree.
pub(super) fn disagreeing() -> ScenarioReport {
    let mut scenario = scenario("named-ports", Conclusion::JudgesDisagree);
    let mut failure = denied("x/a", "y/b");
    failure.expected = vec![Outcome::Denied];
    failure.plan.outcomes = vec![Outcome::Allowed];
    failure.plan.reasons = vec!["the plan of n1 lets it pass".to_owned()];
    failure.judges_agree = false;
    scenario.steps[0].failures.push(failure);
    scenario
}

/// A scenario that met something other than a connection.
pub(super) fn refusing() -> ScenarioReport {
    let mut scenario = scenario("bad-policy", Conclusion::Failed);
    scenario.steps[0].problems.push(Problem {
        message: "the API server should refuse allow-db and accepts it".to_owned(),
        at: Some("scenarios/shop.yaml:12:5".to_owned()),
        details: vec!["expected a refusal at spec.ingress[0].ports[0].endPort".to_owned()],
    });
    scenario
}
