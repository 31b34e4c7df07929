//! A sink that keeps what it is given.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use enforcer::{
    cluster::{Cluster, Event},
    kubernetes::{Follower, Health, Resource, Sink, Source, connect},
};
use libtest_mimic::Failed;
use tokio::runtime::{Builder, Runtime};

use crate::apiserver::{ADMIN, ApiServer};

/// What a follower has said.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) cluster: Cluster,
    pub(crate) resets: Vec<Resource>,
    pub(crate) deletes: Vec<Resource>,
    pub(crate) synced: usize,
}

#[derive(Default)]
pub(crate) struct Recorder {
    heard: Mutex<Heard>,
    changed: Condvar,
}

impl Sink for Recorder {
    fn event(&self, resource: Resource, event: Event) {
        let mut heard = self.heard.lock().expect("tests do not panic in here");
        match &event {
            Event::ResetPods(_)
            | Event::ResetNamespaces(_)
            | Event::ResetNodes(_)
            | Event::ResetPolicies(_) => heard.resets.push(resource),
            Event::DeletePod(_)
            | Event::DeleteNamespace(_)
            | Event::DeleteNode(_)
            | Event::DeletePolicy(_) => heard.deletes.push(resource),
            _ => {}
        }
        heard.cluster.handle(event);
        self.changed.notify_all();
    }

    fn synced(&self) {
        self.heard
            .lock()
            .expect("tests do not panic in here")
            .synced += 1;
        self.changed.notify_all();
    }
}

/// A follower of a server, and what it says.
pub(crate) struct Following {
    recorder: Arc<Recorder>,
    follower: Option<Follower>,
    _runtime: Runtime,
}

pub(crate) const NODE: &str = "n1";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

impl Following {
    pub(crate) fn start(server: &ApiServer) -> Result<Self, Failed> {
        Self::start_as(server, ADMIN)
    }

    pub(crate) fn start_as(server: &ApiServer, token: &str) -> Result<Self, Failed> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        server.write_kubeconfig(&kubeconfig, token);
        let source = Source {
            kubeconfig: Some(kubeconfig),
            context: None,
        };
        let recorder = Arc::new(Recorder::default());
        let client = runtime.block_on(connect(&source))?;
        let follower = {
            let _inside = runtime.enter();
            Follower::start(&client, NODE, &recorder)
        };
        Ok(Self {
            recorder,
            follower: Some(follower),
            _runtime: runtime,
        })
    }

    pub(crate) fn health(&self) -> Arc<Health> {
        Arc::clone(self.follower.as_ref().expect("it follows").health())
    }

    /// Waits until what was heard is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Heard) -> bool) -> Result<(), Failed> {
        let heard = self
            .recorder
            .heard
            .lock()
            .expect("tests do not panic in here");
        let (_heard, timeout) = self
            .recorder
            .changed
            .wait_timeout_while(heard, PATIENCE, |heard| !is_so(heard))
            .expect("tests do not panic in here");
        if timeout.timed_out() {
            return Err(format!("never: {what}").into());
        }
        Ok(())
    }

    pub(crate) fn until_synced(&self) -> Result<(), Failed> {
        self.until("synced", |heard| heard.synced > 0)
    }

    pub(crate) fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(
            &self
                .recorder
                .heard
                .lock()
                .expect("tests do not panic in here"),
        )
    }
}

/// Waits until something is so that nobody tells.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), Failed> {
    let deadline = std::time::Instant::now() + PATIENCE;
    let (waker, bell) = std::sync::mpsc::channel::<()>();
    while !is_so() {
        if std::time::Instant::now() > deadline {
            return Err(format!("never: {what}").into());
        }
        // Nobody rings: this only gives the machine to others for a moment.
        let _ = bell.recv_timeout(Duration::from_millis(5));
    }
    drop(waker);
    Ok(())
}
