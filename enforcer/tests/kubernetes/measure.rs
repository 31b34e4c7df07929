//! Figures, on demand: `cargo test -p enforcer --release --test kubernetes -- --ignored --nocapture
//! measure`.
//!
//! One `NAME VALUE UNIT` line per figure. The cluster: 15,000 pods of 300 workloads in 100
//! namespaces, 8 KiB of JSON each, 110 of them on the node, each of another workload; 1,000
//! policies, which allow one workload of the namespace (50 pods), or in the second measurement a
//! tenth of the cluster (1,500 pods).

use std::{
    fs,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use enforcer::nft::{NetlinkWatch, Watch};
use libtest_mimic::Failed;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use crate::{
    Outcome,
    apiserver::{ApiServer, Settings},
    machine::{Machine, Running},
    objects::{deny, namespace, node, pod, running},
    recorder::{NODE, until},
};

const PODS: usize = 15_000;
const LOCAL: usize = 110;
const WORKLOADS: usize = 300;
const NAMESPACES: usize = 100;
const POLICIES: usize = 1_000;
const ROUNDS: usize = 200;

/// Whom the policies allow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peers {
    Workload,
    Tenth,
}

/// Prints the memory with policies that allow many.
pub(crate) fn measure_wide() -> Outcome {
    let server = cluster(Peers::Tenth);
    let machine = Machine::new()?;
    let agent = machine.start(&server, &["--unprogrammed", "open"])?;
    agent.until_ready()?;
    memory(&agent, "ready, wide policies")
}

/// Prints every figure.
pub(crate) fn measure() -> Outcome {
    let server = cluster(Peers::Workload);
    let machine = Machine::new()?;
    let started = Instant::now();
    let agent = machine.start(&server, &["--unprogrammed", "open"])?;
    agent.until_ready()?;
    print(
        "agent_start_to_ready",
        started.elapsed().as_secs_f64() * 1e3,
        "ms",
    );
    memory(&agent, "ready")?;
    cpu(&agent, "start")?;

    let mut watch = machine.run(NetlinkWatch::open)??;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let name = format!("measure-{round}");
        let policy = deny(&namespace_of(0), &name);
        times.measure(&mut watch, || drop(server.create(&policy)))?;
        times.measure(&mut watch, || {
            server.delete("networkpolicies", &namespace_of(0), &name);
        })?;
    }
    times.print("policy_write_to_commit");

    server.create(&namespace("measured", &json!({})));
    server.create(&deny("measured", "deny"));
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let name = format!("measure-{round}");
        let pod = pod("measured", &name, NODE, &json!({"app": "measured"}));
        server.create(&pod);
        let pod = running(pod, "10.0.1.250");
        times.measure(&mut watch, || drop(server.replace(&pod)))?;
        times.measure(&mut watch, || server.delete("pods", "measured", &name))?;
    }
    times.print("pod_write_to_commit");

    let before = cpu_seconds(&agent)?;
    for count in 0..1_000 {
        let mut pod = pod_number(LOCAL + count);
        pod["metadata"]["annotations"]["touched"] = json!("yes");
        server.store(&pod);
    }
    server.create(&deny("measured", "last"));
    until("all updates", || {
        agent.get("/metrics").is_ok_and(|(_, text)| {
            text.contains(&format!(
                "portcullis_agent_policies{{direction=\"ingress\"}} {}",
                POLICIES + 2
            ))
        })
    })?;
    print(
        "cpu_per_remote_pod_update",
        (cpu_seconds(&agent)? - before) * 1e3,
        "us",
    );
    memory(&agent, "after changes")?;

    server.faults(|faults| faults.is_down = true);
    server.create(&namespace("later", &json!({})));
    server.compact();
    server.faults(|faults| faults.is_down = false);
    until("listed again", || {
        agent
            .log()
            .iter()
            .filter(|line| line.contains("\"listed\""))
            .count()
            >= 8
    })?;
    memory(&agent, "after all was listed again")?;
    cpu(&agent, "in all")
}

fn cluster(peers: Peers) -> ApiServer {
    let server = ApiServer::start(Settings::default());
    server.create(&node(NODE, "10.0.1.0/24"));
    for number in 0..NAMESPACES {
        server.create(&namespace(
            &namespace_of(number),
            &json!({"team": format!("t{}", number % 10)}),
        ));
    }
    for number in 0..PODS {
        server.store(&pod_number(number));
    }
    for number in 0..POLICIES {
        let mut policy = deny(&namespace_of(number), &format!("p{number}"));
        policy["spec"]["podSelector"] =
            json!({"matchLabels": {"app": format!("w{}", number % WORKLOADS)}});
        policy["spec"]["ingress"] = json!([{
            "from": [match peers {
                Peers::Workload => {
                    let other = (number + NAMESPACES) % WORKLOADS;
                    json!({"podSelector": {"matchLabels": {"app": format!("w{other}")}}})
                }
                Peers::Tenth => {
                    let team = format!("t{}", number % 10);
                    json!({"namespaceSelector": {"matchLabels": {"team": team}}})
                }
            }],
            "ports": [{"port": 8000 + number % 100}],
        }]);
        server.create(&policy);
    }
    server
}

fn namespace_of(number: usize) -> String {
    format!("ns{}", number % NAMESPACES)
}

/// As large as pods are in real clusters.
fn pod_number(number: usize) -> Value {
    let workload = number % WORKLOADS;
    let on = if number < LOCAL {
        NODE.to_owned()
    } else {
        format!("n{}", 2 + number / LOCAL)
    };
    let labels = json!({
        "app": format!("w{workload}"),
        "app.kubernetes.io/name": format!("w{workload}"),
        "app.kubernetes.io/part-of": "shop",
        "pod-template-hash": format!("{workload:010x}"),
    });
    let mut pod = pod(
        &namespace_of(workload),
        &format!("w{workload}-{workload:010x}-{number:05x}"),
        &on,
        &labels,
    );
    pod["metadata"]["uid"] = json!(format!("11111111-0000-4000-8000-{number:012x}"));
    pod["metadata"]["creationTimestamp"] = json!("2026-11-01T00:00:00Z");
    pod["metadata"]["managedFields"] =
        json!([{"manager": "kubelet", "fieldsV1": "x".repeat(3_500)}]);
    pod["metadata"]["annotations"] = json!({"config": "x".repeat(500)});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "X", "value": "x".repeat(3_500)}]);
    let address = if number < LOCAL {
        format!("10.0.1.{}", 1 + number)
    } else {
        format!(
            "10.{}.{}.{}",
            1 + number / 40_000,
            number / 200 % 200,
            1 + number % 200
        )
    };
    running(pod, &address)
}

#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// From before a write until the kernel tells of a change of our table.
    fn measure(&mut self, watch: &mut NetlinkWatch, write: impl FnOnce()) -> Result<(), Failed> {
        watch.look(&|_| false)?;
        let started = Instant::now();
        write();
        let patience = PollTimeout::from(30_000_u16);
        loop {
            poll(
                &mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)],
                patience,
            )?;
            if started.elapsed() > Duration::from_secs(30) {
                return Err("nothing was committed".into());
            }
            if !watch.look(&|_| false)?.is_harmless() {
                self.0.push(started.elapsed());
                return Ok(());
            }
        }
    }

    fn print(mut self, name: &str) {
        self.0.sort();
        for (what, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let index = ((self.0.len() as f64 * part).ceil() as usize).saturating_sub(1);
            print(
                &format!("{name}_{what}"),
                self.0[index].as_secs_f64() * 1e3,
                "ms",
            );
        }
    }
}

fn memory(agent: &Running, when: &str) -> Outcome {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()?))?;
    for field in ["VmRSS", "RssAnon", "VmHWM"] {
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .ok_or("a field")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("a number")?.parse()?;
        print(&format!("{field} {when}"), kib / 1024.0, "MiB");
    }
    Ok(())
}

fn cpu(agent: &Running, when: &str) -> Outcome {
    print(&format!("cpu {when}"), cpu_seconds(agent)?, "s");
    Ok(())
}

fn cpu_seconds(agent: &Running) -> Result<f64, Failed> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid()?))?;
    let fields: Vec<_> = stat.split_whitespace().collect();
    let ticks: f64 = fields[13].parse::<f64>()? + fields[14].parse::<f64>()?;
    Ok(ticks / 100.0)
}

#[expect(
    clippy::print_stdout,
    reason = "figures are for whoever asked for them"
)]
fn print(name: &str, value: f64, unit: &str) {
    println!(
        "{} {value:.2} {unit}",
        name.replace(", ", "_").replace(' ', "_")
    );
}
