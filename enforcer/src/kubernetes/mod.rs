//! From a Kubernetes API server to [`cluster::Event`](crate::cluster::Event)s.
//!
//! Four resources are followed, each by a task of its own: list everything, then watch from there.
//!
//! | module | what is in it |
//! |---|---|
//! | `resource` | the resources, where they are, and the permission that each needs |
//! | `object` | what is decoded of an object; the rest is never kept |
//! | `intern` | texts and label sets that many pods share |
//! | `list`, `page`, `watch` | one list, one page of it, one watch |
//! | `complaint`, `event` | policies that cannot be honoured; telling of them |
//! | `follow` | lists and watches of one resource, for ever; retries |
//! | `health` | how it goes, for readiness and metrics |
//! | `client` | where the server is and how to speak to it |
//! | `error` | what went wrong and what to do about it |
//!
//! Start at [`Follower::start`]. What must never happen: an event that opens or closes something
//! because the server cannot be reached. A server that is away, slow or flapping causes no event at
//! all: what was known stays, and the next complete list says what is different. A watch that the
//! server no longer remembers (410) leads to a list, which replaces everything at once.

mod client;
mod complaint;
mod error;
mod event;
mod follow;
mod health;
mod intern;
mod list;
mod object;
mod page;
mod resource;
mod watch;

use std::sync::Arc;

use kube::Client;
use tokio::task::JoinSet;

pub use self::{
    client::{ConfigError, Source, connect},
    complaint::{Complaint, Complaints, Fault},
    error::WatchError,
    event::{EVENT_RULE, PublishError, event_name, publish},
    health::{Failure, Health, ResourceHealth},
    resource::Resource,
};
use self::{
    follow::follow,
    object::{Namespaces, Nodes, Pods, Policies},
};
use crate::cluster::Event;

/// Where events go.
pub trait Sink: Send + Sync + 'static {
    /// Takes an event; returns at once. Events of one resource come in their order.
    fn event(&self, resource: Resource, event: Event);

    /// Every resource has been listed once and the node itself is known: what was given so far is
    /// the cluster. Said once, after the last of those events.
    fn synced(&self);
}

/// Follows a cluster until it is dropped.
#[derive(Debug)]
pub struct Follower {
    health: Arc<Health>,
    complaints: Complaints,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

impl Follower {
    /// Follows all pods that can have addresses, all namespaces, all policies and one node. Must be
    /// called in a tokio runtime.
    pub fn start(client: &Client, node: &str, sink: &Arc<impl Sink>) -> Self {
        let health = Arc::new(Health::default());
        let complaints = Complaints::default();
        let mut tasks = JoinSet::new();
        let lane = |resource| follow::Lane {
            client: client.clone(),
            resource,
            node: node.into(),
            sink: Arc::clone(sink),
            health: Arc::clone(&health),
        };
        tasks.spawn(follow(lane(Resource::Pods), Pods::default()));
        tasks.spawn(follow(lane(Resource::Namespaces), Namespaces));
        tasks.spawn(follow(
            lane(Resource::NetworkPolicies),
            Policies::new(complaints.clone()),
        ));
        tasks.spawn(follow(lane(Resource::Nodes), Nodes));
        Self {
            health,
            complaints,
            _tasks: tasks,
        }
    }

    /// The policies that cannot be honoured in full.
    pub fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    /// How it goes.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
