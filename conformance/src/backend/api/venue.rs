//! The API servers that scenarios are played on: one scenario at a time on each, because a
//! scenario's namespaces have the names that its policies select.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use ipnet::IpNet;
use k8s_openapi::api::{
    core::v1::{Namespace, Node},
    networking::v1::{NetworkPolicy, ServiceCIDR},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{ResourceExt as _, config::Cluster};

use super::{
    ApiCluster, Pace, access,
    agents::{NodeAgent, View},
    change,
    relay::Relay,
    rights::RIGHTS,
    versions::Versions,
};
use crate::{
    backend::{
        BackendError,
        live::{Live, LiveError, Object, RUN, Remains, Target, Witness, was_interrupted},
        sim::Sim,
    },
    runner::{Options, Play, Simulator, Venue, sim_options},
    scenario::{Change, Families, Step},
};

/// The name of the agent's program, and the variable by which it can be told.
const AGENT: &str = "portcullis-agent";
const AGENT_VARIABLE: &str = "PORTCULLIS_AGENT";

/// How to play against API servers.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The servers; as many scenarios are played at the same time.
    pub servers: Vec<Target>,
    /// The agent's program, if it is not to be looked for.
    pub agent: Option<PathBuf>,
    /// The program `portcullis`, which starts agents so that they end with whoever plays, however
    /// that ends. Without it they are ended by whoever plays.
    pub leash: Option<PathBuf>,
}

/// The API servers are not to be had. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum VenueError {
    /// See there.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// There is no agent to start.
    #[error(
        "find the agent's program {AGENT}: {}; `cargo build --bin {AGENT}` builds it",
        where_it_is_not(.0.as_deref())
    )]
    NoAgent(Option<PathBuf>),
    /// Handlers of signals are refused.
    #[error("heed signals")]
    Signals(#[source] io::Error),
}

/// API servers on which nothing of ours is left once this is dropped.
pub struct ApiServers {
    servers: Vec<Arc<Server>>,
    free: Arc<Free>,
    agent: PathBuf,
    leash: Option<PathBuf>,
    pace: Arc<Pace>,
    /// What deserves a word before anything is played.
    pub warnings: Vec<String>,
}

/// One server, and what is the same for all scenarios there.
pub(super) struct Server {
    pub(super) live: Live,
    pub(super) policies: Witness,
    pub(super) namespaces: Witness,
    pub(super) service_cidrs: Vec<IpNet>,
    pub(super) pace: Arc<Pace>,
    cluster: Cluster,
    token: String,
    _access: Mutex<Remains>,
}

/// Servers on which nobody plays.
#[derive(Default)]
struct Free {
    servers: Mutex<Vec<Arc<Server>>>,
    returned: Condvar,
}

/// A server on which nobody else plays while this lives.
pub(super) struct Lease {
    server: Option<Arc<Server>>,
    free: Arc<Free>,
}

impl Lease {
    pub(super) fn server(&self) -> &Server {
        self.server.as_ref().expect("it is given back by the end")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let servers = &self.free.servers;
            let mut servers = servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.push(server);
            self.free.returned.notify_one();
        }
    }
}

impl ApiServers {
    /// Connects to all of them, asks for the rights, and gives the agents theirs.
    ///
    /// # Errors
    /// See [`VenueError`].
    pub fn connect(settings: &Settings) -> Result<Self, VenueError> {
        let agent = find_agent(settings.agent.as_deref())?;
        let pace = Arc::new(Pace::default());
        let mut warnings = Vec::new();
        let mut servers = Vec::new();
        for target in &settings.servers {
            let (server, warning) = Server::connect(target, &pace)?;
            warnings.extend(warning);
            servers.push(Arc::new(server));
        }
        let free = Free {
            servers: Mutex::new(servers.clone()),
            returned: Condvar::new(),
        };
        Ok(Self {
            servers,
            free: Arc::new(free),
            agent,
            leash: settings.leash.clone(),
            pace,
            warnings,
        })
    }

    /// From now on Ctrl-C ends the run in good order: everything is removed.
    ///
    /// # Errors
    /// [`VenueError::Signals`].
    pub fn heed_signals(&self) -> Result<(), VenueError> {
        match self.servers.first() {
            Some(server) => server.live.heed_signals().map_err(VenueError::Signals),
            None => Ok(()),
        }
    }

    /// How many scenarios can be played at the same time.
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// How soon changes were in force.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    fn lease(&self) -> Lease {
        let servers = &self.free.servers;
        let servers = servers.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .free
            .returned
            .wait_while(servers, |servers| servers.is_empty());
        let mut servers = waited.unwrap_or_else(PoisonError::into_inner);
        Lease {
            server: servers.pop(),
            free: Arc::clone(&self.free),
        }
    }
}

impl Server {
    fn connect(target: &Target, pace: &Arc<Pace>) -> Result<(Self, Option<String>), LiveError> {
        let cluster = target.cluster()?;
        let (live, version) = Live::connect(target)?;
        live.is_bare();
        live.check_rights(RIGHTS)?;
        sweep(&live)?;
        let mut access = Remains::new(&live);
        let token = access::grant(&live, &mut access)?;
        let server = Self {
            policies: Witness::start::<NetworkPolicy>(&live)?,
            namespaces: Witness::start::<Namespace>(&live)?,
            service_cidrs: service_cidrs(&live)?,
            pace: Arc::clone(pace),
            cluster,
            token,
            _access: Mutex::new(access),
            live,
        };
        Ok((server, version.warning))
    }

    /// Makes sure that there are no nodes of these names.
    fn claim_nodes<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), LiveError> {
        for name in names {
            let Some(node) = self.live.get::<Node>("", name)? else {
                continue;
            };
            if !node.labels().contains_key(RUN) {
                return Err(LiveError::Taken(format!("node {name}")));
            }
            self.live.delete::<Node>("", name, Some(0))?;
        }
        Ok(())
    }
}

/// Removes what a run has left that could not tidy up.
fn sweep(live: &Live) -> Result<(), LiveError> {
    fn names<K: Object>(live: &Live) -> Result<Vec<String>, LiveError> {
        let all = live.list::<K>("", RUN)?;
        Ok(all.iter().map(kube::ResourceExt::name_any).collect())
    }
    for name in names::<Node>(live)? {
        live.delete::<Node>("", &name, Some(0))?;
    }
    for name in names::<ClusterRoleBinding>(live)? {
        live.delete::<ClusterRoleBinding>("", &name, None)?;
    }
    for name in names::<ClusterRole>(live)? {
        live.delete::<ClusterRole>("", &name, None)?;
    }
    live.end_namespaces(&names::<Namespace>(live)?)
}

/// The ranges of Services' addresses, where the server tells them (Kubernetes 1.33 and later).
fn service_cidrs(live: &Live) -> Result<Vec<IpNet>, LiveError> {
    match live.list::<ServiceCIDR>("", "") {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        answer => {
            let ranges = answer?.into_iter().filter_map(|range| range.spec?.cidrs);
            Ok(ranges
                .flatten()
                .filter_map(|cidr| cidr.parse().ok())
                .collect())
        }
    }
}

impl Venue for ApiServers {
    type Backend = ApiCluster;

    fn name(&self) -> &'static str {
        "api"
    }

    fn missing_for(&self, play: Play<'_>) -> Option<String> {
        if was_interrupted() {
            return Some("it was interrupted".to_owned());
        }
        let steps = &play.scenario.steps;
        let mut changes = steps.iter().map(|step: &Step| step.changes.as_slice());
        if let Some(reason) = changes.find_map(change::missing_for) {
            return Some(reason.to_owned());
        }
        let changes = || steps.iter().flat_map(|step| &step.changes);
        let has_services = !play.scenario.world.services.is_empty()
            || changes().any(|change| matches!(change, Change::ApplyService(_)));
        let ranges = &self.servers.first()?.service_cidrs;
        let has = |is_ipv6| ranges.iter().any(|range| range.addr().is_ipv6() == is_ipv6);
        let is_possible = match play.scenario.families {
            Families::Ipv4 => has(false),
            Families::Ipv6 => has(true),
            Families::Dual => has(false) && has(true),
        };
        if has_services && !ranges.is_empty() && !is_possible {
            return Some("the API server has no Service addresses of its families".to_owned());
        }
        Simulator.missing_for(play)
    }

    fn build(&self, play: Play<'_>, options: Options) -> Result<ApiCluster, BackendError> {
        let lease = self.lease();
        let server = lease.server();
        let scenario = play.scenario;
        let changes = scenario.steps.iter().flat_map(|step| &step.changes);
        let namespaces = change::namespaces(&scenario.world, changes);
        server.live.claim(namespaces.iter().map(String::as_str))?;
        let nodes = scenario.world.nodes.keys();
        server.claim_nodes(nodes.clone().map(String::as_str))?;

        let sim_options = sim_options(play, options);
        let sim = Sim::build_without_agents(&scenario.world, sim_options)?;
        let failed = |node: &str, error: io::Error| BackendError::Agent {
            node: node.to_owned(),
            what: format!("start: {error}"),
            log: String::new(),
        };
        let folder = tempfile::tempdir().map_err(|error| failed("every node", error))?;
        let mut agents = BTreeMap::new();
        for node in nodes.clone() {
            let relay = Relay::start(
                server.live.handle(),
                &access::host_and_port(&server.cluster),
            )
            .map_err(|error| failed(node, error))?;
            let kubeconfig = folder.path().join(format!("{node}.kubeconfig"));
            access::write_kubeconfig(&kubeconfig, &server.cluster, relay.address(), &server.token)
                .map_err(|error| failed(node, error))?;
            let agent = NodeAgent {
                node: node.clone(),
                netns: sim.node_netns(node)?.path(),
                program: self.agent.clone(),
                leash: self.leash.clone(),
                kubeconfig,
                log: folder.path().join(format!("{node}.log")),
                options: sim_options.options,
                dataplane: sim_options.dataplane,
                relay,
                running: None,
                is_cut: false,
                view: View::Then(None),
            };
            agents.insert(node.clone(), agent);
        }
        Ok(ApiCluster {
            agents,
            remains: Remains::new(&server.live),
            sim,
            versions: Versions::default(),
            policies: BTreeSet::new(),
            options: sim_options.options,
            now: nodes
                .map(|node| (node.clone(), Default::default()))
                .collect(),
            changed: None,
            _folder: folder,
            lease,
        })
    }
}

fn where_it_is_not(told: Option<&Path>) -> String {
    match told {
        Some(path) => format!("{} is no file", path.display()),
        None => {
            format!("it is neither beside this program nor named by --agent or ${AGENT_VARIABLE}")
        }
    }
}

/// The agent's program: as told, by the variable, or beside this one.
fn find_agent(told: Option<&Path>) -> Result<PathBuf, VenueError> {
    let variable = env::var_os(AGENT_VARIABLE).map(PathBuf::from);
    if let Some(path) = told.map(Path::to_owned).or(variable) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(VenueError::NoAgent(Some(path)))
        };
    }
    let own = env::current_exe().unwrap_or_default();
    // Test programs lie one folder deeper than what is built beside them.
    let mut folders = own.ancestors().skip(1).take(2);
    let found = folders.find_map(|folder| Some(folder.join(AGENT)).filter(|path| path.is_file()));
    found.ok_or(VenueError::NoAgent(None))
}
