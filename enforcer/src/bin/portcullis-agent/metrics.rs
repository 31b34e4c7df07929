//! What is counted, in Prometheus' text format.
//!
//! What happens is counted when it happens; what is, is looked at when somebody asks.

use std::{
    fmt, fs,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use enforcer::{
    agent::{Agent, Status},
    kubernetes::{Health, Resource},
    nft::{ApplyError, Dataplane, Operation, Transaction, diff},
    plan::Plan,
    policy::Direction,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        MetricType, counter::ConstCounter, counter::Counter, family::Family, gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::{counters, place::Netns, readiness::Readiness};

/// Before every name.
const PREFIX: &str = "portcullis_agent";
/// How long the agent's thread may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// From 1 ms to 30 s.
const LATENCY: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];
/// From 0.1 ms to 5 s.
const COMMIT: [f64; 15] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTrigger {
    trigger: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

/// What happened so far.
#[derive(Debug)]
pub(crate) struct Metrics {
    programming: Family<ByTrigger, Histogram, fn() -> Histogram>,
    commit_duration: Family<ByResult, Histogram, fn() -> Histogram>,
    commits: Family<ByResult, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            programming: Family::new_with_constructor(|| Histogram::new(LATENCY)),
            commit_duration: Family::new_with_constructor(|| Histogram::new(COMMIT)),
            commits: Family::default(),
        })
    }

    /// An event of this resource took so long from the watch into the kernel.
    pub(crate) fn programmed(&self, resource: Resource, took: Duration) {
        let trigger = match resource {
            Resource::Pods => "pod",
            Resource::Namespaces => "namespace",
            Resource::NetworkPolicies => "policy",
            Resource::Nodes => "node",
        };
        self.programming
            .get_or_create(&ByTrigger { trigger })
            .observe(took.as_secs_f64());
    }
}

/// A dataplane that is watched.
pub(crate) struct Metered<D> {
    pub(crate) dataplane: D,
    pub(crate) metrics: Arc<Metrics>,
}

impl<D: Dataplane> Dataplane for Metered<D> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let started = Instant::now();
        let applied = self.dataplane.apply(transaction);
        let result = if applied.is_ok() { "ok" } else { "error" };
        let by = ByResult { result };
        self.metrics
            .commit_duration
            .get_or_create(&by)
            .observe(started.elapsed().as_secs_f64());
        self.metrics.commits.get_or_create(&by).inc();
        applied
    }

    fn is_sender(&self, port: u32) -> bool {
        self.dataplane.is_sender(port)
    }
}

/// Everything that is asked when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    pub(crate) agent: Arc<Agent>,
    pub(crate) health: Arc<Health>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) netns: Netns,
}

/// Everything that is exposed.
#[derive(Debug)]
pub(crate) struct Exposed(Registry);

impl Exposed {
    pub(crate) fn new(metrics: &Metrics, subjects: Subjects) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let agent = registry.sub_registry_with_prefix(PREFIX);
        agent.register(
            "policy_programming_latency_seconds",
            "From seeing an event to its rules being in the kernel",
            metrics.programming.clone(),
        );
        agent.register(
            "nft_commit_duration_seconds",
            "One nftables transaction",
            metrics.commit_duration.clone(),
        );
        agent.register(
            "nft_commits",
            "nftables transactions",
            metrics.commits.clone(),
        );
        agent.register_collector(Box::new(Present {
            subjects,
            last_settled: AtomicI64::new(0),
        }));
        Self(registry)
    }

    /// The exposition.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// What is the case now.
#[derive(Debug)]
struct Present {
    subjects: Subjects,
    /// When everything known was in the kernel, in seconds since 1970.
    last_settled: AtomicI64,
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

/// The program itself, under the names that every program uses.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        process_page(&mut Page(&mut encoder))
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
    page.gauge(
        "policy_errors",
        "Policies that cannot be honoured in full; they close their own pods",
        count(status.broken_policies.len()),
    )?;
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

fn plan_page(page: &mut Page<'_, '_>, plan: &Plan) -> fmt::Result {
    let mut elements = 0;
    let mut maps = 0;
    let mut chains = 0;
    let mut rules = 0;
    for operation in diff(&Plan::default(), plan).operations() {
        match operation {
            Operation::AddElements { elements: new, .. } => elements += count(new.len()),
            Operation::AddMap(_) => maps += 1,
            Operation::AddChain(_) => chains += 1,
            Operation::AddRule { .. } => rules += 1,
            _ => {}
        }
    }
    let objects = [
        ("element", elements),
        ("map", maps),
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

/// Of the program itself; from `/proc/self`.
fn process_page(page: &mut Page<'_, '_>) -> fmt::Result {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the command's name, which may hold anything: utime is field 14, rss field 24.
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
    // The kernel's clock ticks and pages have had these sizes for user space since ever.
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        page.counter(
            "process_cpu_seconds",
            "CPU time spent",
            (user + system) / 100,
        )?;
    }
    if let Some(pages) = field(24) {
        let bytes = i64::try_from(pages * 4096).unwrap_or(i64::MAX);
        page.gauge("process_resident_memory_bytes", "Memory in use", bytes)?;
    }
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.gauge("process_open_fds", "Open descriptors", count(open))
}

/// Writes what was looked at.
struct Page<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Page<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let metric = ConstGauge::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode(encoder)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, i64)>,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
