//! How the agent is doing: what it serves, and the command that prints it.

use std::{fmt::Write as _, time::SystemTime};

use enforcer::kubernetes::Resource;
use serde_json::{Value, json};

use crate::{
    Exit, Outcome,
    arguments::{Output, Status},
    ask::ask,
    metrics::Subjects,
    say,
};

/// Everything in one object.
pub(crate) fn state(subjects: &Subjects) -> Value {
    let status = subjects.agent.status();
    let plan = subjects.agent.plan();
    let checks = subjects.readiness.checks();
    let watches = Resource::ALL.map(|resource| {
        let health = subjects.health.of(resource);
        json!({
            "resource": resource.plural(),
            "synced": health.is_synced,
            "lists": health.lists,
            "lastWord": health.last_word.map(time),
            "errors": health.errors,
            "failure": health.failure.map(|failure| json!({
                "since": time(failure.since), "message": failure.message,
            })),
        })
    });
    let drifts = status.recent_drifts.iter().map(|drift| {
        json!({
            "noticed": time(drift.noticed),
            "changes": drift.changes,
            "by": drift.culprits,
            "repaired": drift.repaired.map(time),
        })
    });
    let complaints = subjects.complaints.subscribe();
    let complaints = complaints.borrow();
    let broken = complaints.iter().map(|(policy, complaint)| {
        let reasons: Vec<&str> = complaint.reasons.iter().map(AsRef::as_ref).collect();
        json!({
            "policy": policy.to_string(),
            "fault": complaint.fault.to_string(),
            "reasons": reasons,
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": plan.node(),
        "ready": checks.iter().all(|check| check.wrong.is_none()),
        "checks": checks.iter().map(|check| {
            json!({"name": check.name, "ok": check.wrong.is_none(), "why": check.wrong})
        }).collect::<Vec<_>>(),
        "settled": status.is_settled,
        "commits": status.commits,
        "operations": status.operations,
        "revoked": status.revoked,
        "failure": status.failure.as_ref().map(|failure| json!({
            "since": time(failure.since), "attempts": failure.attempts, "error": *failure.error,
        })),
        "drifts": status.drifts,
        "recentDrifts": drifts.collect::<Vec<_>>(),
        "brokenPolicies": broken.collect::<Vec<_>>(),
        "watches": watches,
    })
}

fn time(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "?".to_owned(), |time| format!("{time:.3}"))
}

/// Asks the running agent and prints what it says.
pub(crate) fn status(arguments: &Status) -> Outcome {
    let state = ask(arguments.bind, "/debug/state")?;
    match arguments.output {
        Output::Json => say(&format!("{state:#}")),
        Output::Text => say(text(&state).trim_end()),
    }
    Ok(if state["ready"] == true {
        Exit::Yes
    } else {
        Exit::No
    })
}

fn text(state: &Value) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let ready = if state["ready"] == true {
        "ready"
    } else {
        "not ready"
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "node {}: {ready}, version {}",
        word(&state["node"]),
        word(&state["version"])
    );
    for check in items(&state["checks"]) {
        let _ = match check["why"].as_str() {
            None => writeln!(text, "  ok      {}", word(&check["name"])),
            Some(why) => writeln!(text, "  FAILED  {}: {why}", word(&check["name"])),
        };
    }
    let _ = writeln!(
        text,
        "{} transactions with {} operations; {} accepted connections are cut",
        state["commits"], state["operations"], state["revoked"]
    );
    for watch in items(&state["watches"]) {
        if let Some(message) = watch["failure"]["message"].as_str() {
            let since = word(&watch["failure"]["since"]);
            let _ = writeln!(text, "since {since} failed to {message}; the rules stay");
        }
    }
    for policy in items(&state["brokenPolicies"]) {
        for reason in items(&policy["reasons"]) {
            let _ = writeln!(
                text,
                "policy {} is {}: {}",
                word(&policy["policy"]),
                word(&policy["fault"]),
                word(&reason)
            );
        }
    }
    for drift in items(&state["recentDrifts"]) {
        let changes: Vec<_> = items(&drift["changes"]).iter().map(word).collect();
        let by: Vec<_> = items(&drift["by"]).iter().map(word).collect();
        let repaired = match drift["repaired"].as_str() {
            Some(when) => format!("repaired {when}"),
            None => "not repaired yet".to_owned(),
        };
        let _ = writeln!(
            text,
            "{} changed by {}: {}; {repaired}",
            word(&drift["noticed"]),
            if by.is_empty() {
                "somebody".to_owned()
            } else {
                by.join(", ")
            },
            changes.join(", "),
        );
    }
    text
}
