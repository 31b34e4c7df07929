//! Objects in a real API server, for callers that wait: [`Live`] is a blocking face of a
//! `kube::Client` whose runtime has a thread of its own.
//!
//! | module | what is in it |
//! |---|---|
//! | `connect` | [`Target`]: where the server is; [`Live::connect`]; its version |
//! | `rights` | [`Right`]: what a run must be allowed; the ClusterRole that allows it |
//! | `objects` | create, replace, patch, delete, wait for a condition |
//! | `ownership` | which namespaces are ours; [`Live::claim`] before anything is made |
//! | `remains` | [`Remains`]: everything that was made goes again |
//! | `emptying` | ends namespaces, also where no controller does |
//! | `interrupt` | Ctrl-C and SIGTERM: whoever waits hears of it, and tidies up |
//! | `witness` | [`Witness`]: at which version something has gone |
//! | `refusal` | a refused object as [`FieldError`](enforcer::api::FieldError)s |
//! | `error` | [`LiveError`] |
//!
//! Start at [`Live::connect`], then [`Live::check_rights`] and [`Live::claim`]. What must never happen: a
//! namespace is touched that does not carry our label ([`MANAGED_BY`]).

mod connect;
mod emptying;
mod error;
mod interrupt;
mod objects;
mod ownership;
mod refusal;
mod remains;
mod rights;
mod witness;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kube::Client;

pub use self::{
    connect::{ServerVersion, Target},
    error::LiveError,
    interrupt::was_interrupted,
    objects::{Object, Patience},
    ownership::{MANAGED_BY, RUN, RunId},
    remains::Remains,
    rights::{Right, cluster_role},
    witness::Witness,
};

/// A connection to an API server. Clones are the same connection.
#[derive(Clone)]
pub struct Live {
    client: Client,
    runtime: Arc<Runtime>,
    run: RunId,
    server: Arc<str>,
    /// Whether nobody but us ends namespaces there.
    is_bare: Arc<AtomicBool>,
}

impl Live {
    /// The client under it, for what is not offered here; its work must be done in [`Self::wait`].
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Does something with the client, and waits for it. Must not be called in asynchronous code.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.handle.block_on(work)
    }

    /// Where tasks can be left that go on while the connection is there.
    pub fn handle(&self) -> &tokio::runtime::Handle {
        &self.runtime.handle
    }

    /// The address of the server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What this run is called in labels.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// From now on nobody else is expected to empty and end namespaces: there are no controllers.
    pub fn is_bare(&self) {
        self.is_bare.store(true, Ordering::Relaxed);
    }
}

/// A runtime that turns on a thread of its own until it is dropped.
struct Runtime {
    handle: tokio::runtime::Handle,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Runtime {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("kubernetes".to_owned())
            .spawn(move || {
                // It ends with the sender, whatever becomes of it.
                let _ = runtime.block_on(ended);
            })?;
        Ok(Self {
            handle,
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been said where it happened.
            let _ = thread.join();
        }
    }
}
