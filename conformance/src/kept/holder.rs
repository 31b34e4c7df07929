//! The process that owns a kept cluster and answers for it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    net::IpAddr,
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
};

use enforcer::{
    api::manifest::{self, Object},
    diagnostic::{Diagnostics, Render},
    yaml::{self, Source},
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nix::mount::{MsFlags, mount};

use super::{
    request::{self, Request, Response},
    state::{self, Folder, State},
};
use crate::{
    backend::{Backend, BackendError, sim::Sim},
    cell::{Cell, Endpoint, Family},
    matrix::{
        Matrix, Symbol,
        render::{self, Look as Drawing},
    },
    report::human,
    runner::{
        self,
        look::{self, Manner},
    },
    scenario::{Expected, ExpectedCell, ObjectName, World},
};

/// Inside the sandbox, names of the cluster's machines lie over this file.
const HOSTS: &str = "/etc/hosts";

/// A kept cluster with its doors.
pub struct Holder {
    sim: Sim,
    world: World,
    folder: Folder,
    file: String,
}

impl Holder {
    /// Takes a finished cluster over.
    pub fn new(sim: Sim, world: World, folder: Folder, file: String) -> Self {
        Self {
            sim,
            world,
            folder,
            file,
        }
    }

    /// Writes down where everything is. Who reads this may knock.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn announce(&self) -> io::Result<()> {
        let pid = std::process::id();
        fs::write(self.folder.hosts(), self.hosts())?;
        let over = MsFlags::MS_BIND;
        mount(
            Some(&self.folder.hosts()),
            HOSTS,
            None::<&str>,
            over,
            None::<&str>,
        )?;
        self.folder.write(&State {
            pid,
            started: state::start_of(pid)?,
            file: self.file.clone(),
            places: self.places(),
        })
    }

    /// Answers until it is told to end. The cluster goes with the holder.
    ///
    /// # Errors
    /// If the socket breaks.
    pub fn serve(mut self, listener: &UnixListener) -> io::Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            if self.answer(&mut stream) {
                break;
            }
        }
        self.folder.remove()
    }

    /// Answers one question; says whether it was the last. Who hangs up early gets no answer.
    fn answer(&mut self, stream: &mut UnixStream) -> bool {
        let Ok(question) = request::receive::<Request>(stream) else {
            return false;
        };
        let is_last = matches!(question, Request::Down);
        let response = self.handle(question).unwrap_or_else(|refusal| refusal);
        let _ = request::send(stream, &response);
        is_last
    }

    fn handle(&mut self, question: Request) -> Result<Response, Response> {
        match question {
            Request::Apply { file, text } => self.apply(&file, &text),
            Request::Delete { file, text } => self.delete(&file, &text),
            Request::Label { pod, labels } => self.label(&pod, labels),
            Request::Matrix => self.matrix(),
            Request::Dump { node } => self.dump(&node),
            Request::Down => Ok(Response::Done(String::new())),
        }
    }

    fn apply(&mut self, file: &str, text: &str) -> Result<Response, Response> {
        let mut done = String::new();
        for policy in policies(file, text)? {
            let name = ObjectName::of(&policy.metadata);
            self.sim.apply_policy(policy).map_err(failed)?;
            let _ = writeln!(done, "networkpolicy {name} applied");
        }
        Ok(Response::Done(done))
    }

    fn delete(&mut self, file: &str, text: &str) -> Result<Response, Response> {
        let mut done = String::new();
        for policy in policies(file, text)? {
            let name = ObjectName::of(&policy.metadata);
            self.sim.delete_policy(&name).map_err(failed)?;
            let _ = writeln!(done, "networkpolicy {name} deleted");
        }
        Ok(Response::Done(done))
    }

    fn label(
        &mut self,
        pod: &str,
        labels: Vec<(String, Option<String>)>,
    ) -> Result<Response, Response> {
        let name: ObjectName = pod
            .parse()
            .map_err(|error| Response::BadInput(format!("error: {error}\n")))?;
        self.sim
            .change_pod(&name, |object| {
                let own = object.metadata.labels.get_or_insert_default();
                for (key, value) in labels {
                    match value {
                        Some(value) => own.insert(key, value),
                        None => own.remove(&key),
                    };
                }
            })
            .map_err(failed)?;
        Ok(Response::Done(format!("pod {name} labelled\n")))
    }

    fn matrix(&mut self) -> Result<Response, Response> {
        let expected: Vec<ExpectedCell> = self.cells().map(look::anything).collect();
        let manner = Manner::plain(&self.world);
        let look = look::look(&mut self.sim, manner, &expected).map_err(failed)?;
        let mut text = String::new();
        let fields = look.cells.iter().map(|seen| {
            let symbol = Symbol::from(seen.observation.outcome);
            (seen.cell().clone(), symbol)
        });
        for matrix in Matrix::of(fields) {
            text.push_str(&render::table(&matrix, Drawing::default()));
            text.push('\n');
        }
        let deny = self.sim.options().deny;
        let cells = look.cells.iter();
        let denied = cells.filter(|seen| Expected::Deny.accepts(seen.observation.outcome, deny));
        let _ = write!(
            text,
            "{} connections, {} denied; kernel and model ",
            look.cells.len(),
            denied.count()
        );
        let disagreeing: Vec<_> = look.cells.iter().filter(|s| !s.judges_agree()).collect();
        if disagreeing.is_empty() {
            text.push_str("agree on all of them\n");
            return Ok(Response::Done(text));
        }
        let _ = writeln!(text, "DISAGREE on {}", disagreeing.len());
        for seen in disagreeing {
            let failure = runner::failure(&self.sim, &runner::Nowhere, seen);
            text.push_str(&human::disagreement(&failure));
        }
        Ok(Response::JudgesDisagree(text))
    }

    fn dump(&self, node: &str) -> Result<Response, Response> {
        if self.sim.store().node(node).is_none() {
            let known: Vec<_> = self.world.nodes.keys().map(String::as_str).collect();
            return Err(Response::BadInput(format!(
                "error: there is no node {node}; there are {}\n",
                known.join(", ")
            )));
        }
        Ok(Response::Done(self.sim.dump(node)))
    }

    /// Every pod to every other, on every port it listens on, over every family it has.
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let pods = || {
            self.endpoints()
                .into_iter()
                .filter(|e| matches!(e, Endpoint::Pod { .. }))
        };
        let mut cells = Vec::new();
        for source in pods().filter(|pod| self.world.is_running(pod)) {
            for destination in pods().filter(|pod| *pod != source) {
                for port in self.world.listening(&destination) {
                    for family in [Family::Ipv4, Family::Ipv6] {
                        if self.sim.address(&destination, family).is_some() {
                            cells.push(Cell {
                                source: source.clone(),
                                destination: destination.clone(),
                                port: port.value,
                                family,
                            });
                        }
                    }
                }
            }
        }
        cells.into_iter()
    }

    fn places(&self) -> BTreeMap<String, std::path::PathBuf> {
        let endpoints = self.endpoints();
        endpoints
            .iter()
            .filter_map(|endpoint| Some((endpoint.to_string(), self.sim.netns_path(endpoint)?)))
            .collect()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let pods = self.world.pods.keys().map(|name| Endpoint::Pod {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        });
        let nodes = self.world.nodes.keys().cloned().map(Endpoint::Node);
        let externals = self.world.externals.keys().cloned().map(Endpoint::External);
        pods.chain(nodes).chain(externals).collect()
    }

    /// Names for everything with an address, as a cluster's DNS would have them and shorter.
    fn hosts(&self) -> String {
        let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        let mut line = |address: Option<IpAddr>, names: &str| {
            if let Some(address) = address {
                let _ = writeln!(text, "{address} {names}");
            }
        };
        for family in [Family::Ipv4, Family::Ipv6] {
            for name in self.world.services.keys() {
                let service = Endpoint::Service {
                    namespace: name.namespace.clone(),
                    name: name.name.clone(),
                };
                let (ns, name) = (&name.namespace, &name.name);
                let names = format!("{name}.{ns} {name}.{ns}.svc {name}.{ns}.svc.cluster.local");
                line(self.sim.address(&service, family), &names);
            }
            for endpoint in self.endpoints() {
                let address = self.sim.address(&endpoint, family);
                match &endpoint {
                    Endpoint::Pod { namespace, name } => {
                        line(address, &format!("{name}.{namespace}.pod"));
                    }
                    Endpoint::Node(name) | Endpoint::External(name) => line(address, name),
                    Endpoint::Service { .. } | Endpoint::Localhost => {}
                }
            }
        }
        text
    }
}

/// The policies of a file that holds nothing else.
fn policies(file: &str, text: &str) -> Result<Vec<NetworkPolicy>, Response> {
    let source: Arc<Source> = Source::new(file, text);
    let documents = yaml::parse(&source).map_err(|d| bad_input(&d))?;
    let mut policies = Vec::new();
    for document in &documents {
        for manifest in manifest::decode(document).map_err(|d| bad_input(&d))? {
            match manifest.object {
                Object::NetworkPolicy(policy) => policies.push(*policy),
                other => return Err(only_policies(&other)),
            }
        }
    }
    Ok(policies)
}

fn bad_input(diagnostics: &Diagnostics) -> Response {
    Response::BadInput(diagnostics.render(Render::Plain))
}

fn only_policies(object: &Object) -> Response {
    Response::BadInput(format!(
        "error: a {} cannot be applied to a kept cluster, only a NetworkPolicy can\n",
        object.kind()
    ))
}

fn failed(error: BackendError) -> Response {
    match error {
        BackendError::Refused(_) | BackendError::Missing(_) => {
            Response::BadInput(format!("error: failed to {error}\n"))
        }
        other => Response::Failed(format!(
            "error: failed to {:#}\n",
            anyhow::Error::from(other)
        )),
    }
}
