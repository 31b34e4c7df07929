//! The agent as a process: what it does to a kernel, and what it says.

use std::collections::BTreeSet;

use enforcer::nft::NftBinary;
use libtest_mimic::{Completion, Trial};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    Outcome,
    apiserver::{ApiServer, Settings},
    ensure,
    machine::Machine,
    objects::{deny, namespace, node, pod, running},
    recorder::{NODE, until},
};

pub(crate) fn trials(possible: &Result<(), String>) -> Vec<Trial> {
    let nft = NftBinary::find().map_err(|error| format!("failed to {error}"));
    let possible = possible.clone().and(nft.map(drop));
    let trial = |name: &str, test: fn() -> Outcome| {
        let possible = possible.clone();
        Trial::ignorable_test(name, move || match possible {
            Err(reason) => Ok(Completion::ignored_with(reason)),
            Ok(()) => test().map(|()| Completion::Completed),
        })
    };
    vec![
        trial("a_policy_gets_into_the_kernel_and_out_again", enforces),
        trial("rules_stay_when_the_agent_is_stopped_or_killed", rules_stay),
        trial("a_restart_catches_up_in_one_step", restart),
        trial("without_an_api_server_the_old_rules_stay", no_server),
        trial("an_outage_changes_nothing_and_is_caught_up", outage),
        trial("not_ready_says_why", not_ready),
        trial("another_enforcer_is_refused", other_enforcer),
        trial("cleanup_leaves_everything_else_as_it_was", cleanup),
        trial("both_dataplanes_enforce", nft_dataplane),
        trial("what_is_rendered_is_what_the_agent_makes", rendered),
        trial("denied_packets_are_counted", counted),
        trial("drift_is_repaired_and_counted", drift),
        trial("status_and_dump_tell", tells),
        trial("a_policy_that_cannot_be_honoured_is_told_of", told),
        trial("one_of_many_agents_tells", told_once),
        trial("without_the_right_to_tell_it_is_logged", may_not_tell),
        trial("the_page_lists_the_metrics_that_are_served", documented),
        trial("log_lines_are_json", json_log),
        trial("what_is_logged_can_be_changed", log_level),
        trial("bad_input_is_named", bad_input),
    ]
}

/// A server with one node, and an isolated pod on it.
pub(crate) fn server() -> ApiServer {
    let server = ApiServer::start(Settings::default());
    server.create(&node(NODE, "10.0.1.0/24"));
    server.create(&namespace("x", &json!({})));
    add_pod(&server, "a", "10.0.1.1");
    server.create(&deny("x", "deny"));
    server
}

fn add_pod(server: &ApiServer, name: &str, address: &str) {
    let pod = pod("x", name, NODE, &json!({"app": name}));
    server.create(&pod);
    server.replace(&running(pod, address));
}

/// As the map of isolated pods shows it.
const ISOLATED: &str = "10.0.1.1 comment \"x/a\" : ";

fn enforces() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    machine.until_rules(true, ISOLATED)?;
    add_pod(&server, "b", "10.0.1.2");
    machine.until_rules(true, "10.0.1.2 comment \"x/b\" : ")?;
    server.delete("networkpolicies", "x", "deny");
    machine.until_rules(false, ": jump")?;
    let (status, metrics) = agent.get("/metrics")?;
    ensure(status == 200, "metrics")?;
    for family in [
        "portcullis_agent_ready 1",
        "portcullis_agent_build_info{version=\"0.1.0\"",
        "portcullis_agent_nft_commits_total{result=\"ok\"}",
        "portcullis_agent_policy_programming_latency_seconds_count{trigger=\"policy\"} 1",
        "portcullis_agent_pod_start_isolation_latency_seconds_count 1",
        "portcullis_agent_sync_duration_seconds_count{kind=\"full\",result=\"ok\"} 1",
        "portcullis_agent_sync_duration_seconds_count{kind=\"incremental\",result=\"ok\"}",
        "portcullis_agent_local_pods{isolated=\"none\"} 2",
        "portcullis_agent_policies{direction=\"ingress\"} 0",
        "portcullis_agent_nft_objects{type=\"rule\"}",
        "portcullis_agent_watch_errors_total{resource=\"pods\"} 0",
        "portcullis_agent_conntrack_limit",
        "portcullis_agent_drift_repairs_total 0",
        "portcullis_agent_denied_packets_total{direction=\"ingress\",reason=\"no_rule\"} 0",
        "portcullis_agent_last_successful_sync_timestamp_seconds",
        "\nprocess_resident_memory_bytes",
    ] {
        ensure(
            metrics.contains(family),
            format!("no {family} in\n{metrics}"),
        )?;
    }
    ensure(
        metrics.ends_with("# EOF\n"),
        "the exposition is not complete",
    )?;
    ensure(agent.get("/livez")?.0 == 200, "not alive")?;
    ensure(agent.get("/elsewhere")?.0 == 404, "everything is served")
}

fn rules_stay() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let agent = machine.start(&server, &[])?;
        agent.until_ready()?;
        machine.until_rules(true, ISOLATED)?;
        let before = machine.ruleset()?;
        let status = agent.stop(signal)?;
        ensure(
            status.success() == (signal != Signal::SIGKILL),
            format!("{signal}: {status}"),
        )?;
        ensure(
            machine.ruleset()? == before,
            format!("{signal}: the rules changed"),
        )?;
    }
    Ok(())
}

fn restart() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &[])?;
    machine.until_rules(true, ISOLATED)?;
    agent.stop(Signal::SIGKILL)?;
    add_pod(&server, "b", "10.0.1.2");
    server.delete("pods", "x", "a");
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    machine.until_rules(true, "10.0.1.2 comment \"x/b\" : ")?;
    machine.until_rules(false, ISOLATED)?;
    let state: Value = serde_json::from_str(&agent.get("/debug/state")?.1)?;
    ensure(state["commits"] == 1, format!("{state:#}"))
}

fn no_server() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &[])?;
    machine.until_rules(true, ISOLATED)?;
    agent.stop(Signal::SIGTERM)?;
    let before = machine.ruleset()?;
    server.faults(|faults| faults.is_down = true);
    let agent = machine.start(&server, &[])?;
    agent.until_logged("failed to list pods")?;
    let (status, body) = agent.get("/readyz")?;
    ensure(
        status == 503 && body.contains("[-] pods failed: failed to list pods"),
        body,
    )?;
    ensure(agent.get("/livez")?.0 == 200, "not alive")?;
    ensure(machine.ruleset()? == before, "the rules changed")?;
    server.faults(|faults| faults.is_down = false);
    agent.until_ready()
}

fn outage() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    machine.until_rules(true, ISOLATED)?;
    let before = machine.ruleset()?;
    server.faults(|faults| faults.is_down = true);
    add_pod(&server, "b", "10.0.1.2");
    server.delete("networkpolicies", "x", "deny");
    server.create(&deny("x", "other"));
    server.compact();
    agent.until_logged("failed to watch pods")?;
    agent.until_logged("failed to watch networkpolicies")?;
    ensure(machine.ruleset()? == before, "the rules changed")?;
    ensure(
        agent.get("/readyz")?.0 == 200,
        "not ready although the rules stay",
    )?;
    server.faults(|faults| faults.is_down = false);
    machine.until_rules(true, "10.0.1.2 comment \"x/b\" : ")?;
    ensure(
        machine.ruleset()?.contains(ISOLATED),
        "an isolated pod was opened",
    )
}

fn not_ready() -> Outcome {
    let machine = Machine::new()?;
    let server = ApiServer::start(Settings {
        has_rbac: true,
        ..Settings::default()
    });
    let token = server.token("system:serviceaccount:kube-system:portcullis");
    let agent = machine.start_as(&server, &token, &[])?;
    let says = "resources: [networkpolicies]\n  verbs: [list, watch]";
    until("the rule that is missing", || {
        agent
            .get("/readyz")
            .is_ok_and(|(status, body)| status == 503 && body.contains(says))
    })?;
    drop(agent);
    let server = ApiServer::start(Settings::default());
    let agent = machine.start(&server, &[])?;
    until("the node that is missing", || {
        let says = "[-] node failed: the cluster has no node of this name";
        agent
            .get("/readyz")
            .is_ok_and(|(status, body)| status == 503 && body.contains(says))
    })?;
    ensure(
        !machine.ruleset()?.contains("portcullis"),
        "rules for nobody",
    )
}

fn other_enforcer() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    machine.nft(&["add table inet kindnet-network-policies"])?;
    let (status, log) = machine.start(&server, &[])?.ended()?;
    ensure(status.code() == Some(3), format!("{status}"))?;
    ensure(
        log.contains("kindnet (table kindnet-network-policies) is here")
            && log.contains("--allow-other-enforcers"),
        log,
    )?;
    let agent = machine.start(&server, &["--allow-other-enforcers"])?;
    agent.until_ready()?;
    agent.until_logged("another enforcer")?;
    machine.until_rules(true, ISOLATED)
}

fn cleanup() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    // As kube-proxy and a firewall leave it, with everything that has a counter or a handle.
    let others = machine.write(
        "others",
        b"table inet filter {
            counter seen { packets 7 bytes 420; }
            chain input { type filter hook input priority 0; policy accept; counter packets 3 bytes 180 accept; }
            chain forward { type filter hook forward priority 0; tcp dport 22 counter name seen drop; }
        }
        table ip kube-proxy {
            comment \"rules for kube-proxy\"
            set cluster-ips { type ipv4_addr; elements = { 10.96.0.1, 10.96.0.10 }; }
            map service-ips {
                type ipv4_addr . inet_proto . inet_service : verdict
                elements = { 10.96.0.1 . tcp . 443 : goto service-x }
            }
            chain service-x { meta l4proto tcp dnat to 192.0.2.1:6443; }
            chain nat-prerouting { type nat hook prerouting priority -100; ip daddr . meta l4proto . th dport vmap @service-ips; }
        }
        table ip6 portcullis { chain not-ours { drop; }; }",
    )?;
    machine.nft(&["-f", &others])?;
    let everything = || machine.nft(&["-j", "-a", "list", "ruleset"]);
    let before = everything()?;
    let agent = machine.start(&server, &[])?;
    machine.until_rules(true, ISOLATED)?;
    agent.stop(Signal::SIGTERM)?;
    for said in [
        "removed nftables table inet portcullis",
        "nothing to remove",
    ] {
        let output = machine.agent_command(&["cleanup"])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure(output.status.success() && text.starts_with(said), text)?;
        let after = everything()?;
        ensure(
            after == before,
            format!("before:\n{before}\nafter:\n{after}"),
        )?;
    }
    Ok(())
}

fn nft_dataplane() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &["--dataplane", "nft"])?;
    agent.until_ready()?;
    machine.until_rules(true, ISOLATED)?;
    let by_nft = machine.ruleset()?;
    agent.stop(Signal::SIGTERM)?;
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    ensure(machine.ruleset()? == by_nft, "the dataplanes differ")
}

fn rendered() -> Outcome {
    let (server, machine) = (ApiServer::start(Settings::default()), Machine::new()?);
    let labelled = |name: &str| pod("x", name, NODE, &json!({"app": name}));
    let mut policy = deny("x", "both");
    policy["spec"]["policyTypes"] = json!(["Ingress", "Egress"]);
    policy["spec"]["ingress"] = json!([
        {"from": [{"podSelector": {"matchLabels": {"app": "b"}}}], "ports": [{"port": "http"}]},
        {"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.64/26"]}}],
         "ports": [{"port": 80, "endPort": 90}, {"port": 53, "protocol": "UDP"}]},
    ]);
    policy["spec"]["egress"] = json!([{"to": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}]);
    let objects = [
        node(NODE, "10.0.1.0/24"),
        namespace("x", &json!({})),
        running(labelled("a"), "10.0.1.1"),
        running(labelled("b"), "10.0.1.2"),
        policy,
    ];
    for object in &objects {
        server.create(object);
        if object["kind"] == "Pod" {
            server.replace(object);
        }
    }
    let agent = machine.start(&server, &["--deny", "reject"])?;
    agent.until_ready()?;
    let by_agent = machine.ruleset()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let manifests = machine.write("manifests", list.to_string().as_bytes())?;
    for (form, options) in [("text", &[][..]), ("json", &["-j"])] {
        let machine = Machine::new()?;
        let rendered = machine.agent_command(&[
            "render",
            "--node-name",
            NODE,
            "--deny",
            "reject",
            "--output",
            form,
            &manifests,
        ])?;
        let error = String::from_utf8_lossy(&rendered.stderr).into_owned();
        ensure(rendered.status.success(), error)?;
        let script = machine.write("script", &rendered.stdout)?;
        machine.nft(&[options, &["-f", &script]].concat())?;
        let by_nft = machine.ruleset()?;
        ensure(
            by_nft == by_agent,
            format!("{form}:\n{by_nft}\nagent:\n{by_agent}"),
        )?;
    }
    let other = machine.agent_command(&["render", "--node-name", "n2", &manifests])?;
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    ensure(
        other.status.code() == Some(2) && error.contains("no pod of the manifests"),
        error,
    )
}

fn counted() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    // What an earlier agent has counted: without an API server its table stays.
    server.faults(|faults| faults.is_down = true);
    machine.nft(&[
        "add table inet portcullis; add chain inet portcullis denied-ingress; \
        add rule inet portcullis denied-ingress meta l4proto tcp counter packets 5 bytes 300 drop; \
        add rule inet portcullis denied-ingress counter packets 2 bytes 100 drop",
    ])?;
    let agent = machine.start(&server, &[])?;
    let (_, metrics) = agent.get("/metrics")?;
    for line in [
        "denied_packets_total{direction=\"ingress\",reason=\"no_rule\"} 7\n",
        "denied_bytes_total{direction=\"ingress\",reason=\"no_rule\"} 400\n",
        "denied_packets_total{direction=\"\",reason=\"revoked\"} 0\n",
    ] {
        ensure(metrics.contains(line), format!("no {line} in {metrics}"))?;
    }
    Ok(())
}

fn drift() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    machine.until_rules(true, ISOLATED)?;
    machine.nft(&["delete table inet portcullis"])?;
    machine.until_rules(true, ISOLATED)?;
    let counted = "portcullis_agent_drift_repairs_total 1";
    until("the repair is counted", || {
        agent
            .get("/metrics")
            .is_ok_and(|(_, metrics)| metrics.contains(counted))
    })?;
    agent
        .until_logged("somebody else changed our table")
        .map(drop)
}

fn tells() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let mut policy = deny("x", "from-b");
    policy["spec"]["ingress"] = json!([{
        "from": [{"podSelector": {"matchLabels": {"app": "b"}}}, {"ipBlock": {"cidr": "192.0.2.0/24"}}],
        "ports": [{"port": 80, "endPort": 90}, {"port": 53, "protocol": "UDP"}],
    }]);
    server.create(&policy);
    add_pod(&server, "b", "10.0.1.2");
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    let bind = agent.address()?.to_string();
    let output = machine.agent_command(&["dump", "--explain", "x/a", "--bind", &bind])?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A profile is named by the hash of its content.
    let lines = text
        .lines()
        .map(|line| line.split(" (profile").next().unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(text, @r"
    node n1: established=keep unprogrammed=hold deny=drop
    x/a (10.0.1.1)
      ingress: isolated by x/deny, x/from-b
        from 10.0.1.2 (x/b): TCP 80-90, UDP 53
        from 192.0.2.0-192.0.2.255: TCP 80-90, UDP 53
      egress: isolated by nothing, everything passes
    ");
    let output = machine.agent_command(&["dump", "--explain", "x/nobody", "--bind", &bind])?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure(
        output.status.code() == Some(3) && error.contains("explain x/nobody: no running pod"),
        error,
    )?;
    let output = machine.agent_command(&["status", "--bind", &bind])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(
        output.status.success() && text.starts_with("node n1: ready"),
        text,
    )?;
    let output = machine.agent_command(&["check"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(
        output.status.success() && text.contains("nf_tables: ours is in force"),
        text,
    )
}

/// A policy with a field that nobody knows yet, as a newer server lets it through.
fn from_the_future(name: &str) -> Value {
    let mut policy = deny("x", name);
    policy["metadata"]["uid"] = json!("7f000000-0000-4000-8000-000000000001");
    policy["spec"]["ingress"] = json!([{"from": [{"podSelector": {}, "later": 1}]}]);
    policy
}

const FUTURE: &str = "spec.ingress[0].from[0].later: unknown field; this peer matches nobody";

fn told() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    server.store(&from_the_future("future"));
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    until("an event", || !server.all("events", "x").is_empty())?;
    let events = server.all("events", "x");
    let event = &events[0];
    let told = json!({
        "type": event["type"], "reason": event["reason"], "action": event["action"],
        "note": event["note"], "by": event["reportingController"],
        "on": event["reportingInstance"], "regarding": event["regarding"],
    });
    let expected = json!({
        "type": "Warning", "reason": "PolicyUnsupported", "action": "Enforce",
        "note": FUTURE, "by": "portcullis.dev/agent", "on": NODE,
        "regarding": {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": "x",
            "name": "future", "uid": "7f000000-0000-4000-8000-000000000001",
        },
    });
    ensure(told == expected, format!("{event:#}"))?;

    let (_, metrics) = agent.get("/metrics")?;
    for line in [
        "portcullis_agent_policy_errors{reason=\"unsupported\"} 1\n",
        "portcullis_agent_policy_errors{reason=\"invalid\"} 0\n",
    ] {
        ensure(metrics.contains(line), format!("no {line} in {metrics}"))?;
    }
    let bind = agent.address()?.to_string();
    let output = machine.agent_command(&["status", "--bind", &bind])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = format!("policy x/future is unsupported: {FUTURE}");
    ensure(text.contains(&line), text)?;

    // Started anew, it finds that this has been told.
    agent.stop(Signal::SIGTERM)?;
    let agent = machine.start(&server, &["--log-level", "debug"])?;
    agent.until_logged("told by an event")?;
    ensure(server.all("events", "x").len() == 1, "told twice")?;
    server.delete("networkpolicies", "x", "future");
    until("no complaint", || {
        let line = "portcullis_agent_policy_errors{reason=\"unsupported\"} 0\n";
        agent
            .get("/metrics")
            .is_ok_and(|(_, text)| text.contains(line))
    })
}

fn told_once() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    for other in 2..40 {
        server.create(&pod(
            "x",
            &format!("other{other}"),
            &format!("n{other}"),
            &json!({}),
        ));
    }
    for number in 0..40 {
        server.store(&from_the_future(&format!("future{number}")));
    }
    let agent = machine.start(&server, &["--log-level", "debug"])?;
    agent.until_ready()?;
    // With 39 nodes about one of 40 policies is this node's.
    let line = "portcullis_agent_policy_errors{reason=\"unsupported\"} 40\n";
    until("all complaints", || {
        agent
            .get("/metrics")
            .is_ok_and(|(_, text)| text.contains(line))
    })?;
    let told = server.requests("create", "events");
    ensure(told < 10, format!("{told} events told by one of 39 nodes"))?;
    let agent = machine.start(&server, &["--no-events"])?;
    agent.until_ready()?;
    ensure(
        server.requests("create", "events") == told,
        "told although not to",
    )
}

fn may_not_tell() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    server.store(&from_the_future("future"));
    server.faults(|faults| faults.forbidden = vec![("create", "events")]);
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    let line: Value = serde_json::from_str(&agent.until_logged("failed to publish an event")?)?;
    let says = line["msg"].as_str().unwrap_or_default();
    ensure(
        says.contains("run with --no-events")
            && says.contains(
                "- apiGroups: [\"events.k8s.io\"]\n  resources: [events]\n  verbs: [create]",
            ),
        says,
    )
}

fn log_level() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    let bind = agent.address()?.to_string();
    let level =
        |more: &[&str]| machine.agent_command(&[&["log-level", "--bind", &bind], more].concat());
    let is =
        |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure(is(&level(&[])?) == "info", "another level")?;
    add_pod(&server, "b", "10.0.1.2");
    machine.until_rules(true, "10.0.1.2 comment \"x/b\" : ")?;
    ensure(
        !agent.log().join("\n").contains("\"committed\""),
        "too much is logged",
    )?;
    ensure(
        is(&level(&["warn,enforcer::agent=debug"])?).contains("enforcer::agent=debug"),
        "not changed",
    )?;
    add_pod(&server, "c", "10.0.1.3");
    agent.until_logged("\"committed\"")?;
    let wrong = level(&["=,="])?;
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure(
        !wrong.status.success() && error.contains("failed to read the level =,="),
        error,
    )
}

fn documented() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let agent = machine.start(&server, &[])?;
    agent.until_ready()?;
    let (_, metrics) = agent.get("/metrics")?;
    let served: BTreeSet<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => (format!("{name}_total"), kind.to_owned()),
            _ => (name.to_owned(), kind.to_owned()),
        })
        .collect();
    // Tests run in the folder of their crate.
    let page = std::fs::read_to_string("deploy/README.md")?;
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(name, _)| name.starts_with("portcullis_") || name.starts_with("process_"))
        .filter_map(|(name, rest)| Some((name.to_owned(), rest.split(" |").next()?.to_owned())))
        .collect();
    let different: Vec<_> = listed.symmetric_difference(&served).collect();
    ensure(
        different.is_empty(),
        format!("enforcer/deploy/README.md and /metrics differ in {different:?}"),
    )
}

fn json_log() -> Outcome {
    let (server, machine) = (server(), Machine::new()?);
    let mut policy = deny("x", "future");
    policy["spec"]["ingress"] = json!([{"from": [{"podSelector": {}, "later": 1}]}]);
    server.store(&policy);
    let agent = machine.start(&server, &["--log-level", "debug"])?;
    agent.until_ready()?;
    let line: Value =
        serde_json::from_str(&agent.until_logged("what cannot be read of a policy")?)?;
    ensure(
        line["policy"] == "x/future" && line["level"] == "warn" && line["node"] == NODE,
        line.to_string(),
    )?;
    for line in agent.log() {
        let line: Value =
            serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        let is_complete = ["ts", "level", "msg", "target", "node"]
            .iter()
            .all(|key| line[key].is_string());
        ensure(is_complete, line.to_string())?;
    }
    Ok(())
}

fn bad_input() -> Outcome {
    let machine = Machine::new()?;
    let run = ["run", "--node-name", NODE];
    for (more, code, says) in [
        (
            &["--kubeconfig", "/nowhere"][..],
            2,
            "failed to read the kubeconfig /nowhere",
        ),
        (
            &["--kubeconfig", "/dev/null", "--context", "wrong"],
            2,
            "failed to read the kubeconfig /dev/null",
        ),
        (&["--log-level", "=,="], 2, "failed to read --log-level"),
        (
            &["--deny", "maybe"],
            2,
            "invalid value 'maybe' for '--deny <drop|reject>'",
        ),
        (
            &["--bind", "192.0.2.1:1", "--kubeconfig", "/nowhere"],
            2,
            "failed to read the kubeconfig",
        ),
    ] {
        let output = machine.agent_command(&[&run, more].concat())?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure(
            output.status.code() == Some(code) && error.contains(says),
            format!("{more:?}: {error}"),
        )?;
    }
    let output = machine.agent_command(&["run"])?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure(
        output.status.code() == Some(2) && error.contains("--node-name <NAME>"),
        error,
    )
}
