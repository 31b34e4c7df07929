//! What stands on a cluster: our namespaces and the pods in them.
//!
//! It outlives scenarios. A pod that the next scenario wants just so (same name, labels, node, ports)
//! and that nothing has happened to is left where it is, with the stream into it: the control before
//! the first policy shows that it reaches and is reached. Policies and Services never outlive their
//! scenario. Everything goes when this is dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Namespace, Pod as PodObject};

use super::{
    session::{Session, SessionError},
    starting::{self, State},
};
use crate::{
    backend::{
        BackendError,
        live::{Live, LiveError, Remains},
    },
    endpoints, process,
    scenario::ObjectName,
};

/// How long a pod may take to run: its image may have to be pulled.
const STARTING: Duration = Duration::from_secs(120);

/// How long a pod may take to end, beyond its grace.
const ENDING: Duration = Duration::from_secs(60);

/// How long a new namespace may lack the account that pods need.
const ACCOUNT: Duration = Duration::from_secs(30);

/// With more pods than this, those that a scenario does not want go before it begins.
const MOST_PODS: usize = 40;

/// What a namespace must allow for its pods.
const SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// Namespaces and pods on a cluster.
pub(super) struct Ground {
    live: Live,
    namespaces: BTreeSet<String>,
    pods: BTreeMap<ObjectName, Placed>,
    /// Whether the image of pods cannot be had.
    lacks_image: bool,
    /// Last, so that streams end before their pods do.
    remains: Remains,
}

/// A pod that runs, or shall.
pub(super) struct Placed {
    /// As it was asked for.
    wanted: PodObject,
    /// As the server has it.
    pub(super) object: PodObject,
    /// Whether something has happened to it, so that it is not what was asked for any more.
    is_spent: bool,
    session: Option<Arc<Session>>,
}

impl Placed {
    /// The addresses it has.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        endpoints::addresses(&self.object).collect()
    }

    /// The names of its containers, the first being the one that listens.
    pub(super) fn containers(&self) -> Vec<String> {
        let spec = self.wanted.spec.iter();
        let containers = spec.flat_map(|spec| &spec.containers);
        containers.map(|container| container.name.clone()).collect()
    }
}

impl Ground {
    pub(super) fn new(live: &Live) -> Self {
        Self {
            live: live.clone(),
            namespaces: BTreeSet::new(),
            pods: BTreeMap::new(),
            lacks_image: false,
            remains: Remains::new(live),
        }
    }

    /// Whether the image of pods cannot be had, so that none will ever run.
    pub(super) fn lacks_image(&self) -> bool {
        self.lacks_image
    }

    /// Nothing is removed at the end.
    pub(super) fn keep(&mut self) {
        self.remains.keep();
    }

    /// Removes everything, and returns when it is gone.
    pub(super) fn remove(&mut self) -> Result<(), LiveError> {
        self.pods.clear();
        self.namespaces.clear();
        self.remains.remove()
    }

    /// Makes sure that none of these namespaces is somebody else's; those that an earlier run has left
    /// are removed.
    pub(super) fn claim(&self, names: &BTreeSet<String>) -> Result<(), LiveError> {
        let new = names.difference(&self.namespaces).map(String::as_str);
        self.live.claim(new)
    }

    /// Creates a namespace or gives it these labels, beside ours. `security` is what it must allow.
    pub(super) fn namespace(
        &mut self,
        mut namespace: Namespace,
        security: &str,
    ) -> Result<Namespace, LiveError> {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        self.live.run().mark(&mut namespace.metadata);
        let labels = namespace.metadata.labels.get_or_insert_default();
        labels
            .entry(SECURITY.to_owned())
            .or_insert_with(|| security.to_owned());
        if self.namespaces.contains(&name) {
            // Finalizers are the server's.
            namespace.spec = self
                .live
                .get::<Namespace>("", &name)?
                .and_then(|namespace| namespace.spec);
            return self.live.replace(&namespace);
        }
        self.live.claim([name.as_str()])?;
        self.remains.add_namespace(&name);
        let created = self.live.create(&namespace)?;
        self.namespaces.insert(name);
        Ok(created)
    }

    /// Deletes a namespace with everything in it, and waits until it is gone.
    pub(super) fn delete_namespace(&mut self, name: &str) -> Result<(), LiveError> {
        self.pods.retain(|pod, _| pod.namespace != name);
        self.live.end_namespaces(&[name.to_owned()])?;
        self.namespaces.remove(name);
        Ok(())
    }

    /// Makes the pods of a scenario, and waits until all of them are as they shall be. Others that are
    /// in these namespaces go.
    pub(super) fn place(
        &mut self,
        wanted: Vec<(PodObject, State)>,
        namespaces: &BTreeSet<String>,
    ) -> Result<(), BackendError> {
        let is_wanted = |name: &ObjectName, placed: &Placed| {
            let mut all = wanted.iter();
            !placed.is_spent
                && all.any(|(pod, state)| {
                    *state == State::Running
                        && ObjectName::of(&pod.metadata) == *name
                        && *pod == placed.wanted
                })
        };
        let is_crowded = self.pods.len() > MOST_PODS;
        let unwanted: Vec<ObjectName> = self
            .pods
            .iter()
            .filter(|(name, placed)| {
                let is_here = is_crowded || namespaces.contains(&name.namespace);
                is_here && !is_wanted(name, placed)
            })
            .map(|(name, _)| name.clone())
            .collect();
        self.tell_to_go(&unwanted)?;
        let new: Vec<_> = wanted
            .into_iter()
            .filter(|(pod, _)| !self.pods.contains_key(&ObjectName::of(&pod.metadata)))
            .collect();
        // Names must be free; what else goes may go meanwhile.
        let is_needed = |name: &ObjectName| {
            let mut names = new.iter().map(|(pod, _)| ObjectName::of(&pod.metadata));
            names.any(|new| new == *name)
        };
        let (first, later): (Vec<_>, Vec<_>) = unwanted.into_iter().partition(is_needed);
        self.await_gone(&first)?;
        self.create(&new)?;
        self.await_gone(&later)
    }

    /// Makes pods, and waits until all of them are as they shall be.
    pub(super) fn create(&mut self, pods: &[(PodObject, State)]) -> Result<(), BackendError> {
        for (wanted, _) in pods {
            let placed = Placed {
                wanted: wanted.clone(),
                object: wanted.clone(),
                // Until it is there and as it shall be.
                is_spent: true,
                session: None,
            };
            self.pods.insert(ObjectName::of(&wanted.metadata), placed);
        }
        let mut rest = pods;
        // The first of a new namespace may have to wait; the others come all at once.
        while let [(first, _), others @ ..] = rest {
            let of_first = first.metadata.namespace.as_deref();
            let same = others
                .iter()
                .take_while(|(pod, _)| pod.metadata.namespace.as_deref() == of_first)
                .count();
            let (same, others) = others.split_at(same);
            let same: Vec<PodObject> = same.iter().map(|(pod, _)| pod.clone()).collect();
            self.create_one(first)?;
            self.live.create_all(&same)?;
            rest = others;
        }
        for (wanted, state) in pods {
            let name = ObjectName::of(&wanted.metadata);
            self.await_state(&name, *state)?;
            if let Some(placed) = self.pods.get_mut(&name) {
                placed.is_spent = false;
            }
        }
        Ok(())
    }

    fn create_one(&self, wanted: &PodObject) -> Result<PodObject, LiveError> {
        let begun = Instant::now();
        loop {
            match self.live.create(wanted) {
                // A new namespace gets the account that pods run as a moment later.
                Err(error)
                    if error.code() == Some(403)
                        && starting::is_about_account(&error)
                        && begun.elapsed() < ACCOUNT =>
                {
                    process::short_pause();
                }
                created => return created,
            }
        }
    }

    /// Waits until a pod is as it shall be, and remembers it so.
    pub(super) fn await_state(
        &mut self,
        name: &ObjectName,
        state: State,
    ) -> Result<(), BackendError> {
        let (mut wrong, mut lacks_image) = (None, false);
        let seen = self.live.wait_until::<PodObject>(
            (&name.namespace, &name.name),
            STARTING,
            // It is said what is wrong with it.
            "",
            |pod| {
                let Some(pod) = pod else { return false };
                wrong = starting::what_is_wrong(pod, state);
                lacks_image |= wrong.is_some() && starting::lacks_image(pod);
                wrong.is_some() || state.is_reached(pod)
            },
        );
        let seen = match (seen, wrong) {
            (Ok(seen), None) => seen,
            (Err(LiveError::Late { .. }), _) | (Ok(_), Some(_)) => {
                self.lacks_image |= lacks_image;
                return Err(starting::explain(&self.live, name, state).into());
            }
            (Err(error), _) => return Err(error.into()),
        };
        if let (Some(placed), Some(object)) = (self.pods.get_mut(name), seen) {
            placed.object = object;
        }
        Ok(())
    }

    /// Deletes pods, all at once, and waits until they are gone.
    pub(super) fn delete(&mut self, names: &[ObjectName]) -> Result<(), BackendError> {
        self.tell_to_go(names)?;
        self.await_gone(names)
    }

    fn tell_to_go(&mut self, names: &[ObjectName]) -> Result<(), BackendError> {
        for name in names {
            let placed = self.pods.remove(name);
            // One that was told to end and does not is ended by force.
            let was_told = placed.is_some_and(|placed| {
                let metadata = &placed.object.metadata;
                metadata.deletion_timestamp.is_some()
            });
            let grace = was_told.then_some(0);
            match self
                .live
                .delete::<PodObject>(&name.namespace, &name.name, grace)
            {
                Err(error) if error.is_missing() => {}
                deleted => drop(deleted?),
            }
        }
        Ok(())
    }

    fn await_gone(&self, names: &[ObjectName]) -> Result<(), BackendError> {
        for name in names {
            let what = format!("the end of pod {name}");
            self.live.wait_until::<PodObject>(
                (&name.namespace, &name.name),
                ENDING,
                &what,
                |pod| pod.is_none(),
            )?;
        }
        Ok(())
    }

    /// Changes a pod in the server and remembers what it is now.
    pub(super) fn patch(
        &mut self,
        name: &ObjectName,
        patch: &serde_json::Value,
    ) -> Result<(), LiveError> {
        let object = self.live.patch(&name.namespace, &name.name, patch)?;
        if let Some(placed) = self.pods.get_mut(name) {
            placed.object = object;
            placed.is_spent = true;
        }
        Ok(())
    }

    /// Tells a pod to end that will not, for so many seconds.
    pub(super) fn tell_to_end(
        &mut self,
        name: &ObjectName,
        grace: u32,
    ) -> Result<(), BackendError> {
        self.live
            .delete::<PodObject>(&name.namespace, &name.name, Some(grace))?;
        self.await_state(name, State::Ending)?;
        if let Some(placed) = self.pods.get_mut(name) {
            placed.is_spent = true;
        }
        Ok(())
    }

    /// Ends the containers of a pod, which have this exit code then.
    pub(super) fn end_containers(
        &mut self,
        name: &ObjectName,
        code: u8,
    ) -> Result<(), BackendError> {
        let Some(placed) = self.pods.get_mut(name) else {
            return Err(BackendError::Missing(format!("pod {name}")));
        };
        placed.is_spent = true;
        placed.session = None;
        let containers = placed.containers();
        let (client, live) = (self.live.client(), &self.live);
        for container in containers {
            live.wait(super::session::end(client, name, &container, code))?;
        }
        Ok(())
    }

    /// A pod.
    pub(super) fn pod(&self, name: &ObjectName) -> Option<&Placed> {
        self.pods.get(name)
    }

    /// The streams into pods, opened where there is none.
    pub(super) fn sessions(
        &mut self,
        names: &BTreeSet<ObjectName>,
    ) -> Result<BTreeMap<ObjectName, Arc<Session>>, SessionError> {
        let is_open = |name: &&ObjectName| {
            let placed = self.pods.get(name);
            placed.is_some_and(|it| it.session.as_ref().is_some_and(|it| it.is_open()))
        };
        let closed: Vec<&ObjectName> = names.iter().filter(|name| !is_open(name)).collect();
        let client = self.live.client();
        let opening = closed.iter().map(|name| {
            let containers = self.pods.get(name).map(Placed::containers);
            let first = containers.and_then(|names| names.into_iter().next());
            Session::open(client, name, first)
        });
        let opened = self.live.wait(futures::future::try_join_all(opening))?;
        for (name, session) in closed.into_iter().zip(opened) {
            if let Some(placed) = self.pods.get_mut(name) {
                placed.session = Some(Arc::new(session));
            }
        }
        let all = names.iter().filter_map(|name| {
            let session = self.pods.get(name)?.session.clone()?;
            Some((name.clone(), session))
        });
        Ok(all.collect())
    }
}
