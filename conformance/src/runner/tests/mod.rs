//! Scenarios played on a cluster whose kernel does what a test wants.

mod background;
mod fake;
mod flows;
mod judges;

use enforcer::options::Options;

use self::fake::Fake;
use super::{Options as How, Play, blank, play::play};
use crate::{
    report::ScenarioReport,
    scenario::{self, Fabric, Scenario},
};

/// Namespace x with pods a and b on n1.
const CLUSTER: &str = "
  cluster:
    nodes: [n1]
    families: ipv4
    grid: {namespaces: [x], pods: [a, b], listen: [80/tcp, 80/udp]}
";

/// A scenario on [`CLUSTER`] of which only the steps are given. They may apply `deny`, which isolates
/// both pods, and `deny-a`, which isolates x/a.
fn scenario(steps: &str) -> Scenario {
    let policies = [("deny", ""), ("deny-a", "matchLabels: {pod: a}")];
    let used = policies
        .into_iter()
        .filter(|(name, _)| steps.contains(&format!("[{name}]")));
    let policies: String = used
        .map(|(name, labels)| {
            format!(
                "    {name}:
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {{namespace: x, name: {name}}}
      spec: {{podSelector: {{{labels}}}}}
"
            )
        })
        .collect();
    let requires = match steps.contains("Agents") {
        true => "\n  requires: [agents]",
        false => "",
    };
    let text = format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:{requires}{CLUSTER}  policies:\n{policies}  steps:{steps}"
    );
    match scenario::load_text("s.yaml", &text, &scenario::Options::default()) {
        Ok(mut plays) => plays.remove(0),
        Err(errors) => panic!("{errors}"),
    }
}

/// Plays it.
fn played(scenario: &Scenario, fake: &mut Fake) -> ScenarioReport {
    let how = How::default();
    let one = Play {
        scenario,
        fabric: Fabric::Bridge,
    };
    let mut report = blank(one, how);
    play(scenario, how, fake, &mut report);
    report
}

/// The messages of all steps, with the lines below them.
fn problems(report: &ScenarioReport) -> Vec<String> {
    let problems = report.steps.iter().flat_map(|step| &step.problems);
    problems.map(|problem| problem.message.clone()).collect()
}

fn fake() -> Fake {
    Fake::new(Options::default())
}
