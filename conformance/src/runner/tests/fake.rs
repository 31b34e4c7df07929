//! A cluster of which only the bookkeeping is real: the kernel does what the plans say, unless a
//! test says otherwise.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use enforcer::{
    api::{self, FieldError},
    cluster::{Cluster as Index, Event},
    compile::compile,
    options::Options,
    plan::{Packet, Plan, Verdict},
    policy::PolicyRef,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::{
    backend::{Backend, BackendError, Count, LongLived, Observation, ProbeSpec, Tally, Traffic},
    cell::{Cell, Endpoint, Family, Outcome},
    endpoints, judge, oracle,
    scenario::{AgentAction, Change, ObjectName, Resolve, Template, World},
    store::Store,
};

/// What the kernel does instead of what it should, if anything.
pub(super) type Deviation = Box<dyn FnMut(&ProbeSpec) -> Option<Outcome>>;

/// What background traffic has come to, one list of (outcome, how many, since the start) per cell.
pub(super) type Counts = Arc<Mutex<Vec<(Outcome, usize, Duration)>>>;

type Lag = std::cell::Cell<usize>;

/// The cluster.
pub(super) struct Fake {
    store: Store,
    index: Index,
    nodes: Vec<String>,
    addresses: u8,
    options: Options,
    pub(super) deviation: Deviation,
    /// Nodes that go on with what they had when they were stopped.
    stopped: BTreeMap<String, (Arc<oracle::World>, Arc<Plan>)>,
    /// How often plans are still read as they were before the first policy.
    pub(super) lag: Lag,
    /// Every change, and every probe with a source port.
    pub(super) log: Vec<String>,
    pub(super) traffic: Counts,
    /// What accepted connections come to.
    pub(super) exchange: Arc<Mutex<Outcome>>,
    pub(super) complaints: Vec<String>,
}

impl Fake {
    pub(super) fn new(options: Options) -> Self {
        Self {
            store: Store::default(),
            index: Index::default(),
            nodes: Vec::new(),
            addresses: 0,
            options,
            deviation: Box::new(|_| None),
            stopped: BTreeMap::new(),
            lag: Lag::default(),
            log: Vec::new(),
            traffic: Counts::default(),
            exchange: Arc::new(Mutex::new(Outcome::Allowed)),
            complaints: Vec::new(),
        }
    }

    /// The kernel answers so, on everything.
    pub(super) fn always(&mut self, outcome: Outcome) {
        self.deviation = Box::new(move |_| Some(outcome));
    }

    fn plan(&self, node: &str) -> Arc<Plan> {
        match self.stopped.get(node) {
            Some((_, plan)) => Arc::clone(plan),
            None => Arc::new(compile(&self.index, node, self.options)),
        }
    }

    fn outcome(&mut self, probe: &ProbeSpec) -> Outcome {
        if let Some(outcome) = (self.deviation)(probe) {
            return outcome;
        }
        let hops = judge::routes(self, &probe.cell)
            .into_iter()
            .flat_map(|r| r.hops);
        let mut passes = hops.map(|hop| {
            let packet = Packet {
                source: hop.source,
                destination: hop.destination,
                transport: judge::transport(hop.port, hop.source.is_ipv6()),
            };
            self.plan(&hop.node).verdict(&packet) == Verdict::Allowed
        });
        if passes.all(|passes| passes) {
            Outcome::Allowed
        } else {
            Outcome::Denied
        }
    }
}

fn observation(outcome: Outcome) -> Observation {
    Observation {
        outcome,
        source_seen: None,
        served_by: None,
        latency: Duration::ZERO,
    }
}

struct Line(Arc<Mutex<Outcome>>);

impl LongLived for Line {
    fn exchange(&mut self, _deadline: Duration) -> Outcome {
        *self.0.lock().unwrap()
    }
}

struct Background {
    cells: usize,
    begun: Instant,
    counts: Counts,
}

impl Traffic for Background {
    fn take(&mut self) -> Result<Vec<Tally>, BackendError> {
        let mut tally = Tally::default();
        for (outcome, connections, since) in self.counts.lock().unwrap().drain(..) {
            tally.add(Count {
                connections,
                first: self.begun + since,
                last: self.begun + since,
                example: observation(outcome),
            });
        }
        Ok(vec![tally; self.cells])
    }
}

impl Backend for Fake {
    fn create(&mut self, world: &World) -> Result<(), BackendError> {
        for (number, (name, node)) in (1..).zip(&world.nodes) {
            let address = IpAddr::from(Ipv4Addr::new(192, 168, 0, number));
            let node = self
                .store
                .apply_node(node.object.clone(), &[address], vec![]);
            self.index.handle(Event::ApplyNode(api::node(node)));
            self.nodes.push(name.clone());
        }
        for namespace in world.namespaces.values() {
            let object = namespace.object.clone();
            self.index
                .handle(Event::ApplyNamespace(api::namespace(&object)));
            self.store.apply_namespace(object);
        }
        for (name, pod) in &world.pods {
            self.addresses += 1;
            let address = IpAddr::from(Ipv4Addr::new(10, 0, 0, self.addresses));
            self.store
                .create_pod(pod.object.clone(), &[address], "Running");
            let pod = self.store.pod(&name.namespace, &name.name).unwrap();
            self.index.handle(Event::ApplyPod(api::pod(pod)));
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<(), BackendError> {
        self.log.push(change.to_string());
        match change {
            Change::ApplyPolicy(source) => {
                let policy = source.resolve(self).map_err(BackendError::Template)?;
                let stored = self
                    .store
                    .apply_policy(policy)
                    .map_err(BackendError::Refused)?;
                let lowered = api::lower_network_policy(stored);
                self.index
                    .handle(Event::ApplyPolicy(api::policy_ref(stored), lowered));
            }
            Change::DeletePolicy(name) => {
                self.store.delete_policy(name);
                let ObjectName { namespace, name } = name;
                let policy = PolicyRef::network_policy(namespace, name);
                self.index.handle(Event::DeletePolicy(policy));
            }
            Change::Agent { node, action } => match action {
                AgentAction::Stop | AgentAction::Kill => {
                    let known = (Arc::new(self.store.world()), self.plan(node));
                    self.stopped.insert(node.clone(), known);
                }
                _ => {
                    self.stopped.remove(node);
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn admit(&self, policy: &NetworkPolicy) -> Result<(), Vec<FieldError>> {
        api::admit_network_policy(policy.clone()).map(drop)
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        let Endpoint::Pod { namespace, name } = endpoint else {
            return None;
        };
        let pod = self.store.pod(namespace, name)?;
        endpoints::addresses(pod).find(|ip| ip.is_ipv6() == (family == Family::Ipv6))
    }

    fn probe(
        &mut self,
        probes: &[ProbeSpec],
        _deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        for probe in probes {
            if let Some(port) = probe.source_port {
                self.log.push(format!("{} from {port}", probe.cell));
            }
        }
        let outcomes = probes.iter().map(|probe| self.outcome(probe));
        Ok(outcomes.map(observation).collect())
    }

    fn start_traffic(
        &mut self,
        cells: &[Cell],
        _every: Duration,
    ) -> Result<Box<dyn Traffic>, BackendError> {
        Ok(Box::new(Background {
            cells: cells.len(),
            begun: Instant::now(),
            counts: Arc::clone(&self.traffic),
        }))
    }

    fn open_flow(
        &mut self,
        cell: &Cell,
        _deadline: Duration,
    ) -> Result<Box<dyn LongLived>, Outcome> {
        match self.outcome(&cell.clone().into()) {
            Outcome::Allowed => Ok(Box::new(Line(Arc::clone(&self.exchange)))),
            other => Err(other),
        }
    }

    fn options(&self) -> Options {
        self.options
    }

    fn seen_by(&self, node: &str) -> Option<Arc<oracle::World>> {
        Some(match self.stopped.get(node) {
            Some((seen, _)) => Arc::clone(seen),
            None => Arc::new(self.store.world()),
        })
    }

    fn plans(&self) -> Vec<(String, Arc<Plan>)> {
        let is_late = !self.log.is_empty() && self.lag.get() > 0;
        self.lag.set(self.lag.get() - usize::from(is_late));
        let plan = |node: &String| match is_late {
            true => Arc::default(),
            false => self.plan(node),
        };
        let nodes = self.nodes.iter();
        nodes.map(|node| (node.clone(), plan(node))).collect()
    }

    fn index(&self) -> &Index {
        &self.index
    }

    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    fn dump(&self, _node: &str) -> String {
        String::new()
    }
}

impl Resolve for Fake {
    fn resolve(&self, _template: &Template) -> Option<String> {
        None
    }
}
