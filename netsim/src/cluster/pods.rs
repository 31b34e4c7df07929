//! Pods coming and going.

use std::{
    collections::BTreeSet,
    iter,
    net::IpAddr,
    panic::resume_unwind,
    sync::Arc,
    thread::{self, available_parallelism},
};

use super::{Cluster, Error, Home, Node, Pod};
use crate::{
    addresses::{
        pool::{AddressError, Pool},
        same_family,
    },
    link::Link,
    listen::{Opening, Server, Servers},
    netns::Netns,
    place::Place,
    rtnl::{self, Change, Work},
    sysctl::{self, Role},
    topology::{HostPort, PodSpec},
};

/// A pod that has its addresses and nothing else yet.
struct Planned {
    spec: PodSpec,
    node: usize,
    addresses: Vec<IpAddr>,
    /// `None` on a host network.
    link: Option<Link>,
}

impl Planned {
    /// A pod that shares the ports of its node needs none that lead to it.
    fn host_ports(&self) -> Vec<HostPort> {
        match self.link {
            Some(_) => self.spec.host_ports.clone(),
            None => Vec::new(),
        }
    }
}

impl Cluster {
    /// Makes a pod and starts its listeners. Returns its addresses, IPv4 first.
    ///
    /// # Errors
    /// As [`Cluster::add_pods`].
    pub fn add_pod(&mut self, spec: PodSpec) -> Result<Vec<IpAddr>, Error> {
        let mut addresses = self.add_pods(vec![spec])?;
        Ok(addresses.pop().expect("one pod was made"))
    }

    /// Makes pods and starts their listeners, many at once in less time than one by one. Returns the
    /// addresses of each, IPv4 first, in the order of `specs`.
    ///
    /// # Errors
    /// Where a name is taken, a node does not exist, an address cannot be had, a port is taken on a
    /// host network, or the kernel refuses; none of these pods exists then.
    pub fn add_pods(&mut self, specs: Vec<PodSpec>) -> Result<Vec<Vec<IpAddr>>, Error> {
        let mut planned = Vec::with_capacity(specs.len());
        let result = specs
            .into_iter()
            .try_for_each(|spec| {
                let one = self.plan(spec, &planned)?;
                planned.push(one);
                Ok(())
            })
            .and_then(|()| self.make(&planned));
        if result.is_err() {
            for pod in &planned {
                if pod.link.is_some() {
                    self.nodes[pod.node].free(&pod.addresses);
                }
            }
        }
        result?;
        self.acquaint_again()?;
        Ok(planned.into_iter().map(|pod| pod.addresses).collect())
    }

    /// Takes a pod away: its listeners, its connections, its addresses. From now on nobody answers
    /// there.
    ///
    /// # Errors
    /// Where there is no such pod or the kernel refuses.
    pub fn remove_pod(&mut self, name: &str) -> Result<(), Error> {
        let pod = self.unplug(name)?;
        if pod.home.is_some() {
            self.nodes[pod.node].free(&pod.addresses);
        }
        Ok(())
    }

    /// Everything but its addresses.
    fn unplug(&mut self, name: &str) -> Result<Pod, Error> {
        let Some(pod) = self.pods.remove(name) else {
            return Err(Error::Unknown(Place::Pod(name.into())));
        };
        self.whereabouts.go(&Place::Pod(name.into()));
        self.listening.remove(&Place::Pod(name.into()));
        let Some(home) = &pod.home else {
            return Ok(pod);
        };
        if !pod.host_ports.is_empty() {
            self.map_host_ports(pod.node)?;
        }
        let node = &self.nodes[pod.node];
        rtnl::apply(&[Work {
            namespace: &node.netns,
            owner: format!("node {}", node.name),
            changes: node.ground.dismiss(home.link, &pod.addresses),
        }])?;
        // Not before the link is cut: it could still tell others where it is.
        self.forget(&pod.addresses, pod.node)?;
        Ok(pod)
    }

    /// Takes what was made away again. The first error says more than a second.
    fn unmake(&mut self, planned: &[Planned]) {
        for pod in planned {
            drop(self.unplug(&pod.spec.name));
        }
    }

    /// Reserves what the pod needs.
    fn plan(&mut self, spec: PodSpec, earlier: &[Planned]) -> Result<Planned, Error> {
        let twice = earlier.iter().any(|pod| pod.spec.name == spec.name);
        if twice || self.pods.contains_key(&spec.name) {
            return Err(Error::Exists(Place::Pod(spec.name)));
        }
        let Some(number) = self.node_number(&spec.node) else {
            return Err(Error::Unknown(Place::Node(spec.node)));
        };
        let node = &mut self.nodes[number];
        let addresses = match (&spec.addresses, spec.host_network) {
            (_, true) => node.addresses.clone(),
            (Some(chosen), false) => node.take(&spec.name, chosen)?,
            (None, false) => node.fresh(&spec.name)?,
        };
        let link = (!spec.host_network).then(|| {
            let link = Link(self.links);
            self.links += 1;
            link
        });
        Ok(Planned {
            spec,
            node: number,
            addresses,
            link,
        })
    }

    /// Makes what is planned, shared out among as many threads as the machine runs at once when it is
    /// much.
    fn make(&mut self, planned: &[Planned]) -> Result<(), Error> {
        /// Below this a second thread costs more than it saves.
        const WORTH_A_THREAD: usize = 32;
        let threads = available_parallelism().map_or(1, Into::into);
        let share = planned.len().div_ceil(threads).max(WORTH_A_THREAD);
        let (nodes, servers) = (&self.nodes, &self.servers);
        let made: Result<Vec<_>, Error> = thread::scope(|scope| {
            let threads: Vec<_> = planned
                .chunks(share)
                .map(|share| scope.spawn(move || make_share(nodes, servers, share)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        for (planned, (pod, server)) in iter::zip(planned, made?.into_iter().flatten()) {
            let name = planned.spec.name.clone();
            let place = Place::Pod(name.clone());
            self.whereabouts.come(place.clone(), pod.netns(&self.nodes));
            self.listening.insert(place, vec![server]);
            self.pods.insert(name, pod);
        }
        let with_ports = planned.iter().filter(|pod| !pod.host_ports().is_empty());
        let nodes: BTreeSet<usize> = with_ports.map(|pod| pod.node).collect();
        for node in nodes {
            if let Err(error) = self.map_host_ports(node) {
                self.unmake(planned);
                return Err(error);
            }
        }
        Ok(())
    }
}

fn make_share(
    nodes: &[Node],
    servers: &Servers,
    planned: &[Planned],
) -> Result<Vec<(Pod, Server)>, Error> {
    let count = planned.iter().filter(|pod| pod.link.is_some()).count();
    let namespaces = Netns::many(count).map_err(Error::Namespace)?;
    sysctl::set(&namespaces, Role::Pod)?;
    let mut namespaces = namespaces.into_iter();
    let pods: Vec<_> = planned
        .iter()
        .map(|planned| Pod {
            node: planned.node,
            addresses: planned.addresses.clone(),
            host_ports: planned.host_ports(),
            home: planned.link.map(|link| Home {
                netns: Arc::new(namespaces.next().expect("one was made for each link")),
                link,
                acquainted: BTreeSet::new(),
            }),
        })
        .collect();
    attach(nodes, planned, &pods)?;

    let places: Vec<_> = planned
        .iter()
        .map(|planned| Place::Pod(planned.spec.name.clone()))
        .collect();
    let openings: Vec<_> = iter::zip(planned, &pods)
        .zip(&places)
        .map(|((planned, pod), place)| Opening {
            netns: pod.netns(nodes),
            place,
            listen: &planned.spec.listen,
        })
        .collect();
    let opened = servers.open_each(&openings)?;
    Ok(iter::zip(pods, opened).collect())
}

/// Hangs the pods on their nodes.
fn attach(nodes: &[Node], planned: &[Planned], pods: &[Pod]) -> Result<(), Error> {
    let mut before: Vec<Vec<Change<'_>>> = vec![Vec::new(); nodes.len()];
    let mut in_pods = Vec::with_capacity(pods.len());
    let mut links: Vec<Vec<Link>> = vec![Vec::new(); nodes.len()];
    for (planned, pod) in iter::zip(planned, pods) {
        let Some(home) = &pod.home else { continue };
        let ground = &nodes[pod.node].ground;
        before[pod.node].extend(ground.admit(home.link, &home.netns, &pod.addresses));
        in_pods.push(Work {
            namespace: &home.netns,
            owner: format!("pod {}", planned.spec.name),
            changes: ground.settle(home.link, &pod.addresses),
        });
        links[pod.node].push(home.link);
    }
    let after = iter::zip(nodes, links).map(|(node, links)| node.ground.await_up(&links));
    let work: Vec<_> = on_nodes(nodes, before)
        .chain(in_pods)
        .chain(on_nodes(nodes, after))
        .collect();
    Ok(rtnl::apply(&work)?)
}

fn on_nodes<'a>(
    nodes: &'a [Node],
    changes: impl IntoIterator<Item = Vec<Change<'a>>>,
) -> impl Iterator<Item = Work<'a>> {
    iter::zip(nodes, changes)
        .filter(|(_, changes)| !changes.is_empty())
        .map(|(node, changes)| Work {
            namespace: &node.netns,
            owner: format!("node {}", node.name),
            changes,
        })
}

impl Node {
    /// An address of each family that nobody has had.
    fn fresh(&mut self, pod: &str) -> Result<Vec<IpAddr>, Error> {
        let fresh: Vec<_> = self.pools.iter_mut().filter_map(Pool::fresh).collect();
        if fresh.len() == self.pools.len() {
            return Ok(fresh);
        }
        self.free(&fresh);
        Err(Error::NoAddress {
            pod: pod.into(),
            node: self.name.clone(),
        })
    }

    /// These addresses and no others, IPv4 first.
    fn take(&mut self, pod: &str, chosen: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        let mut taken = Vec::with_capacity(chosen.len());
        for address in chosen {
            let result = match same_family(&taken, *address) {
                Some(_) => Err(AddressError::SecondOfFamily),
                None => self.take_one(*address),
            };
            if let Err(reason) = result {
                self.free(&taken);
                return Err(Error::Address {
                    pod: pod.into(),
                    address: *address,
                    reason,
                });
            }
            taken.push(*address);
        }
        taken.sort();
        Ok(taken)
    }

    fn take_one(&mut self, address: IpAddr) -> Result<(), AddressError> {
        self.pools
            .iter_mut()
            .find(|pool| pool.contains(address))
            .ok_or(AddressError::Outside)?
            .take(address)
    }

    fn free(&mut self, addresses: &[IpAddr]) {
        for pool in &mut self.pools {
            for address in addresses {
                pool.free(*address);
            }
        }
    }
}
