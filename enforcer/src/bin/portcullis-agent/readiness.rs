//! What must hold before the node counts as protected.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use enforcer::{
    agent::{Agent, Unsettled},
    kubernetes::{Health, Resource},
};

use crate::{bridge, place::Netns};

/// How long the agent's thread may take to answer before it counts as stuck. A first commit of a
/// large cluster by the `nft` command takes some seconds.
const STUCK: Duration = Duration::from_secs(30);

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What, in one or two words.
    pub(crate) name: String,
    /// Why it does not hold; nothing if it does.
    pub(crate) wrong: Option<String>,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wrong {
            None => write!(f, "[+] {} ok", self.name),
            Some(why) => write!(f, "[-] {} failed: {why}", self.name),
        }
    }
}

/// Knows whether the node is protected.
#[derive(Debug)]
pub(crate) struct Readiness {
    agent: Arc<Agent>,
    health: Arc<Health>,
    netns: Netns,
    /// Why the last look at bridges was not good.
    bridges: Mutex<Option<String>>,
}

impl Readiness {
    pub(crate) fn new(agent: Arc<Agent>, health: Arc<Health>, netns: Netns) -> Self {
        Self {
            agent,
            health,
            netns,
            bridges: Mutex::new(Some("not looked at yet".to_owned())),
        }
    }

    /// Everything that must hold. An API server that has gone away afterwards is no reason: the
    /// rules stay.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<_> = Resource::ALL
            .into_iter()
            .map(|resource| {
                let health = self.health.of(resource);
                let wrong = (!health.is_synced).then(|| match (health.failure, health.lists) {
                    (Some(failure), _) => format!("failed to {}", failure.message),
                    (None, 0) => "not listed yet".to_owned(),
                    (None, _) => "the cluster has no node of this name".to_owned(),
                });
                let name = match resource {
                    Resource::Nodes => "node".to_owned(),
                    other => other.to_string(),
                };
                Check { name, wrong }
            })
            .collect();
        let status = self.agent.status();
        let kernel = match &status.failure {
            Some(failure) => Some(format!("{} ({} attempts)", failure.error, failure.attempts)),
            None if status.commits == 0 => Some("no rules in the kernel yet".to_owned()),
            None => None,
        };
        checks.push(Check {
            name: "rules".to_owned(),
            wrong: kernel,
        });
        checks.push(Check {
            name: "watching the table".to_owned(),
            wrong: status.blind,
        });
        checks.push(Check {
            name: "bridges".to_owned(),
            wrong: self.lock().clone(),
        });
        checks
    }

    /// Whether all of it holds.
    pub(crate) fn is_ready(&self) -> bool {
        self.checks().iter().all(|check| check.wrong.is_none())
    }

    /// Looks at the bridges again; says what is wrong if that is news. Before all pods are known
    /// nobody can say which bridges matter.
    pub(crate) fn look_at_bridges(&self) -> Option<String> {
        if !self.agent.status().is_synced {
            return None;
        }
        let addresses = self.agent.ask(STUCK, |enforcer| {
            let local = enforcer.cluster().addresses_on(enforcer.node());
            local.map(|(address, _)| address).collect::<Vec<IpAddr>>()
        });
        let Ok(addresses) = addresses else {
            return None;
        };
        let wrong = self
            .netns
            .run(|| bridge::escapes(&addresses))
            .ok()
            .flatten();
        let mut known = self.lock();
        let is_news = *known != wrong;
        known.clone_from(&wrong);
        wrong.filter(|_| is_news)
    }

    /// Whether the agent's thread still turns.
    ///
    /// # Errors
    /// It has ended or is stuck.
    pub(crate) fn liveness(&self) -> Result<(), Unsettled> {
        self.agent.ask(STUCK, |_| ())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
