//! Pods of one bridge that know each other without asking.
//!
//! The kernel's table of neighbours that had to be asked for ends at 1,024 for the whole machine, over
//! all namespaces; beyond it packets vanish. Entries that are there for ever do not count. So two pods
//! of a bridge are made acquainted when they are about to talk, which costs what is used instead of
//! the square of the pods. Whoever talks without us (a shell in a pod) asks as usual.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{Cluster, Error, Home};
use crate::{
    addresses::same_family,
    fabric::acquaint,
    link::{ETH0, Link},
    place::Place,
    rtnl::{self, Change, Work},
    topology::Fabric,
};

/// Who learns which addresses, and whose they are.
type Lessons = BTreeMap<String, BTreeMap<IpAddr, Link>>;

impl Cluster {
    /// Prepares for packets from each place to each address and back.
    pub(super) fn acquaint<'p>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'p Place, IpAddr)>,
    ) -> Result<(), Error> {
        if self.topology.fabric == Fabric::Routed {
            return Ok(());
        }
        let mut pairs = pairs.into_iter().peekable();
        if pairs.peek().is_none() {
            return Ok(());
        }
        let lessons = self.lessons(pairs);
        let work: Vec<_> = lessons
            .iter()
            .filter_map(|(pod, lessons)| {
                Some(Work {
                    namespace: &self.pods[pod].home.as_ref()?.netns,
                    owner: format!("pod {pod}"),
                    changes: lessons
                        .iter()
                        .map(|(address, other)| acquaint(*other, *address))
                        .collect(),
                })
            })
            .collect();
        rtnl::apply(&work)?;
        for (pod, lessons) in lessons {
            let pod = self.pods.get_mut(&pod);
            if let Some(home) = pod.and_then(|pod| pod.home.as_mut()) {
                home.acquainted.extend(lessons.into_keys());
            }
        }
        Ok(())
    }

    /// As [`Cluster::acquaint`], and again for pods that will come. A pod that asked for one that was
    /// not there asks again only a second later.
    pub(super) fn acquaint_for_ever(
        &mut self,
        pairs: impl IntoIterator<Item = (Place, IpAddr)>,
    ) -> Result<(), Error> {
        self.acquaintances.extend(pairs);
        self.acquaint_again()
    }

    /// To be called when pods have come.
    pub(super) fn acquaint_again(&mut self) -> Result<(), Error> {
        let pairs = self.acquaintances.clone();
        self.acquaint(pairs.iter().map(|(place, address)| (place, *address)))
    }

    /// Makes the pods of a node forget addresses whose owner goes.
    pub(super) fn forget(&mut self, addresses: &[IpAddr], node: usize) -> Result<(), Error> {
        let mut work = Vec::new();
        for (name, pod) in self.pods.iter_mut().filter(|(_, pod)| pod.node == node) {
            let Some(Home {
                netns, acquainted, ..
            }) = &mut pod.home
            else {
                continue;
            };
            let known = addresses
                .iter()
                .filter(|address| acquainted.remove(address));
            let changes: Vec<_> = known
                .map(|address| Change::DeleteNeighbour {
                    index: ETH0,
                    address: *address,
                })
                .collect();
            if !changes.is_empty() {
                work.push(Work {
                    namespace: netns,
                    owner: format!("pod {name}"),
                    changes,
                });
            }
        }
        Ok(rtnl::apply(&work)?)
    }

    fn lessons<'p>(&self, pairs: impl IntoIterator<Item = (&'p Place, IpAddr)>) -> Lessons {
        let mut owners = HashMap::new();
        for (name, pod) in self.pods.iter().filter(|(_, pod)| pod.home.is_some()) {
            owners.extend(pod.addresses.iter().map(|address| (*address, (name, pod))));
        }
        let mut lessons = Lessons::new();
        let mut teach = |pupil: &str, home: &Home, address, other: &Home| {
            if !home.acquainted.contains(&address) {
                let lessons = lessons.entry(pupil.to_owned()).or_default();
                lessons.insert(address, other.link);
            }
        };
        for (place, address) in pairs {
            let Place::Pod(from) = place else { continue };
            let (Some(one), Some((to, other))) = (self.pods.get(from), owners.get(&address)) else {
                continue;
            };
            let (Some(here), Some(there)) = (&one.home, &other.home) else {
                continue;
            };
            if from == *to || one.node != other.node {
                continue;
            }
            teach(from, here, address, there);
            if let Some(back) = same_family(&one.addresses, address) {
                teach(to, there, back, here);
            }
        }
        lessons
    }
}
