//! What the agent enforces: what it serves, and the command that prints it.

use std::{fmt::Write as _, time::Duration};

use enforcer::{
    agent::{Agent, Unsettled},
    cluster::PodRef,
    plan::describe,
};
use serde_json::Value;

use crate::{
    Exit, Outcome,
    arguments::{Dump, Output},
    ask::ask,
    say,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is nothing to show. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub(crate) enum DumpError {
    /// The agent is busy or has ended.
    #[error(transparent)]
    NoAnswer(#[from] Unsettled),
    /// The pod is not one of the node's.
    #[error(
        "explain {pod}: no running pod of this name is known on node {node} (hostNetwork pods are never judged)"
    )]
    NotHere {
        /// The pod.
        pod: PodRef,
        /// The node.
        node: String,
    },
}

/// What is enforced for the pods of the node, or for one.
pub(crate) fn gather(agent: &Agent, pod: Option<PodRef>) -> Result<Value, DumpError> {
    let only = pod.clone();
    let description = agent.ask(PATIENCE, move |enforcer| {
        describe(enforcer.plan(), enforcer.cluster(), only.as_ref())
    })?;
    if let Some(pod) = pod
        && description.pods.is_empty()
    {
        let node = description.node;
        return Err(DumpError::NotHere { pod, node });
    }
    Ok(serde_json::to_value(description).expect("the types have string keys"))
}

/// Asks the running agent and prints what it says.
pub(crate) fn dump(arguments: &Dump) -> Outcome {
    let path = match &arguments.explain {
        None => "/debug/dump".to_owned(),
        Some(pod) => format!("/debug/dump?pod={pod}"),
    };
    let dump = ask(arguments.bind, &path)?;
    match arguments.output {
        Output::Json => say(&format!("{dump:#}")),
        Output::Text => say(text(&dump).trim_end()),
    }
    Ok(Exit::Yes)
}

fn text(dump: &Value) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = |value: &Value| -> String {
        let items = value.as_array().into_iter().flatten();
        let items: Vec<_> = items.map(word).collect();
        items.join(", ")
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "node {}: established={} unprogrammed={} deny={}",
        word(&dump["node"]),
        word(&dump["established"]),
        word(&dump["unprogrammed"]),
        word(&dump["deny"])
    );
    for pod in dump["pods"].as_array().into_iter().flatten() {
        let addresses = list(&pod["addresses"]);
        let addresses = if addresses.is_empty() {
            "no address yet".to_owned()
        } else {
            addresses
        };
        let _ = writeln!(text, "{} ({addresses})", word(&pod["pod"]));
        for (direction, from) in [("ingress", "from"), ("egress", "to")] {
            let side = &pod[direction];
            if side.is_null() {
                let _ = writeln!(
                    text,
                    "  {direction}: isolated by nothing, everything passes"
                );
                continue;
            }
            let by = list(&side["isolatedBy"]);
            let _ = writeln!(
                text,
                "  {direction}: isolated by {by} (profile {})",
                word(&side["profile"])
            );
            let passes = side["passes"].as_array().map_or(&[][..], Vec::as_slice);
            for passing in passes {
                let pod = passing["pod"]
                    .as_str()
                    .map(|pod| format!(" ({pod})"))
                    .unwrap_or_default();
                let ports = list(&passing["ports"]);
                let _ = writeln!(text, "    {from} {}{pod}: {ports}", word(&passing["peer"]));
            }
            if passes.is_empty() {
                let _ = writeln!(text, "    nothing passes");
            }
        }
    }
    text
}
