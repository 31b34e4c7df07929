//! Pods coming and going.

use std::{
    collections::BTreeSet,
    iter,
    net::IpAddr,
    panic::resume_unwind,
    thread::{self, available_parallelism},
};

use super::{Cluster, Error, Home, Node, Pod};
use crate::{
    addresses::{
        pool::{AddressError, Pool},
        same_family,
    },
    link::Link,
    netns::Netns,
    place::Place,
    rtnl::{self, Change, Work},
    sysctl::{self, Role},
    topology::PodSpec,
};

/// A pod that has its addresses and nothing else yet.
struct Planned {
    spec: PodSpec,
    node: usize,
    addresses: Vec<IpAddr>,
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
                if !pod.spec.host_network {
                    self.nodes[pod.node].free(&pod.addresses);
                }
                self.pods.remove(&pod.spec.name);
            }
        }
        result.map(|()| planned.into_iter().map(|pod| pod.addresses).collect())
    }

    /// Takes a pod away: its listeners, its connections, its addresses. From now on nobody answers
    /// there.
    ///
    /// # Errors
    /// Where there is no such pod or the kernel refuses.
    pub fn remove_pod(&mut self, name: &str) -> Result<(), Error> {
        let Some(pod) = self.pods.remove(name) else {
            return Err(Error::Unknown(Place::Pod(name.into())));
        };
        let Some(home) = pod.home else {
            return Ok(());
        };
        self.forget(&pod.addresses, pod.node)?;
        let node = &mut self.nodes[pod.node];
        rtnl::apply(&[Work {
            namespace: &node.netns,
            owner: format!("node {}", node.name),
            changes: node.ground.dismiss(home.link, &pod.addresses),
        }])?;
        node.free(&pod.addresses);
        Ok(())
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
        Ok(Planned {
            spec,
            node: number,
            addresses,
        })
    }

    fn make(&mut self, planned: &[Planned]) -> Result<(), Error> {
        let count = planned.iter().filter(|pod| !pod.spec.host_network).count();
        let mut namespaces = namespaces(count)?.into_iter();
        for pod in planned {
            let home = (!pod.spec.host_network).then(|| {
                self.links += 1;
                Home {
                    netns: namespaces.next().expect("counted above"),
                    link: Link(self.links),
                    acquainted: BTreeSet::new(),
                }
            });
            let made = Pod {
                node: pod.node,
                addresses: pod.addresses.clone(),
                home,
            };
            self.pods.insert(pod.spec.name.clone(), made);
        }
        self.attach(planned)
    }

    /// Hangs the pods on their nodes.
    fn attach(&self, planned: &[Planned]) -> Result<(), Error> {
        let mut on_nodes: Vec<Vec<Change<'_>>> =
            iter::repeat_with(Vec::new).take(self.nodes.len()).collect();
        let mut in_pods = Vec::with_capacity(planned.len());
        for Planned { spec, node, .. } in planned {
            let pod = &self.pods[&spec.name];
            let Some(home) = &pod.home else { continue };
            let ground = &self.nodes[*node].ground;
            on_nodes[*node].extend(ground.admit(home.link, &home.netns, &pod.addresses));
            in_pods.push(Work {
                namespace: &home.netns,
                owner: format!("pod {}", spec.name),
                changes: ground.settle(home.link, &pod.addresses),
            });
        }
        let on_nodes: Vec<_> = iter::zip(&self.nodes, on_nodes)
            .filter(|(_, changes)| !changes.is_empty())
            .map(|(node, changes)| Work {
                namespace: &node.netns,
                owner: format!("node {}", node.name),
                changes,
            })
            .collect();
        rtnl::apply(&on_nodes)?;
        rtnl::apply(&in_pods)?;
        Ok(())
    }
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

/// Namespaces of pods, made by as many threads as the machine runs at once when they are many.
fn namespaces(count: usize) -> Result<Vec<Netns>, Error> {
    /// Below this a second thread costs more than it saves.
    const WORTH_A_THREAD: usize = 32;
    let threads = available_parallelism().map_or(1, Into::into);
    let share = count.div_ceil(threads).max(WORTH_A_THREAD);
    let make = |count| {
        let namespaces = Netns::many(count).map_err(Error::Namespace)?;
        sysctl::set(&namespaces, Role::Pod)?;
        Ok(namespaces)
    };
    thread::scope(|scope| {
        let shares = (0..count)
            .step_by(share)
            .map(|from| share.min(count - from));
        let threads: Vec<_> = shares
            .map(|count| scope.spawn(move || make(count)))
            .collect();
        let mut all = Vec::with_capacity(count);
        for thread in threads {
            let made: Result<Vec<_>, Error> =
                thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            all.extend(made?);
        }
        Ok(all)
    })
}
