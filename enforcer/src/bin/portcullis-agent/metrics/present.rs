//! What is looked at when somebody asks.

use std::{
    fmt, fs,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use enforcer::{
    agent::Status,
    kubernetes::{Complaints, Fault, Health, Resource},
    nft::{Operation, diff},
    plan::Plan,
    policy::Direction,
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{Subjects, count, page::Page};
use crate::{counters, place::Netns};

/// How long the agent's thread may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is the case now.
#[derive(Debug)]
pub(super) struct Present {
    subjects: Subjects,
    /// When everything known was in the kernel, in seconds since 1970.
    last_settled: AtomicI64,
}

impl Present {
    pub(super) fn new(subjects: Subjects) -> Self {
        Self {
            subjects,
            last_settled: AtomicI64::new(0),
        }
    }
}

/// What the agent's thread is asked.
#[derive(Default)]
struct Known {
    policies: [u64; 2],
    rules: [u64; 2],
    unprogrammed: u64,
    local: u64,
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Subjects {
            agent,
            health,
            complaints,
            readiness,
            netns,
        } = &self.subjects;
        let mut page = Page(&mut encoder);
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            (
                "revision",
                option_env!("PORTCULLIS_REVISION").unwrap_or("unknown"),
            ),
            (
                "rustc",
                option_env!("PORTCULLIS_RUSTC").unwrap_or("unknown"),
            ),
        ];
        page.gauges("build_info", "What runs here", [(build, 1)])?;
        page.gauge(
            "ready",
            "Whether everything holds that must",
            i64::from(readiness.is_ready()),
        )?;
        let status = agent.status();
        status_page(&mut page, &status)?;
        complaint_page(&mut page, complaints)?;
        plan_page(&mut page, &agent.plan())?;
        if let Ok(known) = agent.ask(PATIENCE, |enforcer| {
            known(enforcer.cluster(), enforcer.node())
        }) {
            known_page(&mut page, &known, &agent.plan())?;
        }
        if status.is_settled {
            self.last_settled
                .store(seconds(SystemTime::now()), Ordering::Relaxed);
        }
        page.gauge(
            "last_successful_sync_timestamp_seconds",
            "When everything known was last in the kernel",
            self.last_settled.load(Ordering::Relaxed),
        )?;
        watch_page(&mut page, health)?;
        denied_page(&mut page, netns)?;
        conntrack_page(&mut page, netns)
    }
}

fn known(cluster: &enforcer::cluster::Cluster, node: &str) -> Known {
    let mut known = Known::default();
    for policy in cluster.policies() {
        let direction = policy.direction as usize;
        known.policies[direction] += 1;
        known.rules[direction] += u64::try_from(policy.rules.len()).unwrap_or(u64::MAX);
    }
    for pod in cluster.pods_on(node).filter(|pod| pod.can_own_addresses()) {
        known.local += 1;
        known.unprogrammed += u64::from(cluster.addresses_of(pod).next().is_none());
    }
    known
}

fn status_page(page: &mut Page<'_, '_>, status: &Status) -> fmt::Result {
    page.counter(
        "drift_repairs",
        "Changes of our table by others",
        status.drifts,
    )?;
    page.gauge(
        "revoked_connections",
        "Accepted connections that are cut now",
        count(status.revoked),
    )?;
    page.gauge(
        "settled",
        "Whether everything known is in the kernel",
        i64::from(status.is_settled),
    )
}

fn complaint_page(page: &mut Page<'_, '_>, complaints: &Complaints) -> fmt::Result {
    page.gauges(
        "policy_errors",
        "Policies that cannot be honoured in full; they close their own pods",
        Fault::ALL.map(|fault| {
            (
                [("reason", fault.to_string())],
                count(complaints.count(fault)),
            )
        }),
    )
}

fn plan_page(page: &mut Page<'_, '_>, plan: &Plan) -> fmt::Result {
    let mut elements = 0;
    let mut maps = 0;
    let mut sets = 0;
    let mut chains = 0;
    let mut rules = 0;
    for operation in diff(&Plan::default(), plan).operations() {
        match operation {
            Operation::AddElements { elements: new, .. } => elements += count(new.len()),
            Operation::AddMap(map) if map.values.is_some() => maps += 1,
            Operation::AddMap(_) => sets += 1,
            Operation::AddChain(_) => chains += 1,
            Operation::AddRule { .. } => rules += 1,
            _ => {}
        }
    }
    let objects = [
        ("element", elements),
        ("map", maps),
        ("set", sets),
        ("chain", chains),
        ("rule", rules),
    ];
    page.gauges(
        "nft_objects",
        "The size of our table",
        objects.map(|(kind, count)| ([("type", kind)], count)),
    )
}

fn known_page(page: &mut Page<'_, '_>, known: &Known, plan: &Plan) -> fmt::Result {
    let names = ["ingress", "egress"];
    let by_direction = |counts: [u64; 2]| {
        [0, 1].map(|at: usize| {
            (
                [("direction", names[at])],
                i64::try_from(counts[at]).unwrap_or(i64::MAX),
            )
        })
    };
    page.gauges(
        "policies",
        "Policies in the cluster",
        by_direction(known.policies),
    )?;
    page.gauges(
        "policy_rules",
        "Rules of all policies in the cluster",
        by_direction(known.rules),
    )?;
    let pods = |direction| -> std::collections::BTreeSet<_> {
        plan.subjects(direction)
            .values()
            .map(|subject| &subject.pod)
            .collect()
    };
    let (ingress, egress) = (pods(Direction::Ingress), pods(Direction::Egress));
    let both = count(ingress.intersection(&egress).count());
    let either = count(ingress.union(&egress).count());
    let local = i64::try_from(known.local).unwrap_or(i64::MAX);
    let isolated = [
        ("none", (local - either).max(0)),
        ("ingress", count(ingress.len()) - both),
        ("egress", count(egress.len()) - both),
        ("both", both),
    ];
    page.gauges(
        "local_pods",
        "Pods of this node, hostNetwork ones left out",
        isolated.map(|(kind, count)| ([("isolated", kind)], count)),
    )?;
    page.gauge(
        "unprogrammed_pods",
        "Pods of this node that have no address yet",
        i64::try_from(known.unprogrammed).unwrap_or(i64::MAX),
    )
}

fn watch_page(page: &mut Page<'_, '_>, health: &Health) -> fmt::Result {
    let each =
        Resource::ALL.map(|resource| ([("resource", resource.plural())], health.of(resource)));
    page.counters(
        "watch_errors",
        "Failed lists and watches",
        each.iter().map(|(labels, health)| (*labels, health.errors)),
    )?;
    page.gauges(
        "watch_last_event_timestamp_seconds",
        "When the API server last said anything about the resource",
        each.iter()
            .map(|(labels, health)| (*labels, health.last_word.map_or(0, seconds))),
    )
}

fn denied_page(page: &mut Page<'_, '_>, netns: &Netns) -> fmt::Result {
    let counted = netns.run(|| {
        counters::CHAINS.map(|(reason, chain)| {
            let labels = [("direction", reason.direction), ("reason", reason.reason)];
            (labels, counters::denied(chain).unwrap_or_default())
        })
    });
    let Ok(counted) = counted else {
        return Ok(());
    };
    page.counters(
        "denied_packets",
        "Packets that were denied",
        counted.map(|(labels, denied)| (labels, denied.packets)),
    )?;
    page.counters(
        "denied_bytes",
        "Bytes of packets that were denied",
        counted.map(|(labels, denied)| (labels, denied.bytes)),
    )
}

fn conntrack_page(page: &mut Page<'_, '_>, netns: &Netns) -> fmt::Result {
    let read = |name: &str| -> Option<i64> {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let Ok((entries, limit)) = netns.run(|| (read("count"), read("max"))) else {
        return Ok(());
    };
    if let Some(entries) = entries {
        page.gauge(
            "conntrack_entries",
            "Connections that the kernel tracks",
            entries,
        )?;
    }
    if let Some(limit) = limit {
        page.gauge(
            "conntrack_limit",
            "Connections that the kernel can track",
            limit,
        )?;
    }
    Ok(())
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
