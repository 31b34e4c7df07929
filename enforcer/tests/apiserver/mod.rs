//! An API server for tests: in memory, on loopback, and like Kubernetes' own where it matters.
//!
//! What it does as the real one does: consistent lists in pages, watches from a version with
//! bookmarks and 410, defaults and validation, generations, conflicts, subresources, graceful
//! deletion, namespaces that end after their content, selectors, discovery, errors as
//! `metav1.Status`, tokens and RBAC. What it does on command is in `faults`: everything that goes
//! wrong in real life. Nobody else acts on its objects, as on a bare API server: there is no
//! scheduler, no kubelet, and the namespace controller only if asked for.
//!
//! | module | what is in it |
//! |---|---|
//! | `kind` | the resources there are |
//! | `store` | objects, versions, history |
//! | `select` | label and field selectors |
//! | `admit` | defaults, validation, what a write may change |
//! | `write` | create, update, patch, delete |
//! | `read` | get, list, watch |
//! | `service` | addresses and node ports of Services |
//! | `rbac` | who may do what |
//! | `discovery` | what is asked before anything else |
//! | `serve`, `tls`, `request` | connections; what a request is about, whether it may be |
//! | `status` | errors |
//! | `faults` | what goes wrong on command |
//!
//! Start at [`ApiServer::start`].

mod admit;
mod discovery;
mod faults;
mod kind;
mod rbac;
mod read;
mod request;
mod select;
mod serve;
mod service;
mod status;
mod store;
mod tls;
mod write;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

pub(crate) use self::{
    faults::Faults,
    tls::{ANOTHER_AUTHORITY, AUTHORITY},
};
use self::{kind::Kind, store::Store};

/// A running server. It ends when dropped.
pub(crate) struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    _runtime: Runtime,
}

/// What every connection uses.
pub(crate) struct Shared {
    store: Mutex<Store>,
    /// The version of the last change, for those that wait for one.
    changed: watch::Sender<u64>,
    faults: watch::Sender<Faults>,
    settings: Settings,
}

/// How a server is.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How often a watch that asked for bookmarks gets one.
    pub(crate) bookmarks: Duration,
    /// Whether what is in a namespace that ends is deleted, and then the namespace.
    pub(crate) ends_namespaces: bool,
    /// Whether RBAC decides. If not, everybody may do everything.
    pub(crate) has_rbac: bool,
    /// Whether connections are encrypted.
    pub(crate) has_tls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bookmarks: Duration::from_secs(60),
            ends_namespaces: true,
            has_rbac: false,
            has_tls: false,
        }
    }
}

/// The token of somebody who may do everything.
pub(crate) const ADMIN: &str = "admin";

impl ApiServer {
    /// A server without objects but those that every cluster has, on a free port of 127.0.0.1.
    pub(crate) fn start(settings: Settings) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime needs little");
        let tls = settings.has_tls.then(tls::acceptor);
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::default()),
            changed: watch::Sender::new(0),
            faults: watch::Sender::new(Faults::default()),
            settings,
        });
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it listens");
        runtime.spawn(serve::serve(listener, tls, Arc::clone(&shared)));
        let server = Self {
            shared,
            address,
            _runtime: runtime,
        };
        for name in ["default", "kube-system"] {
            server.create(&json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
            }));
        }
        server.create(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"}, "spec": {"cidrs": service::RANGES},
        }));
        server
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as an URL.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.shared.settings.has_tls {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// Writes a kubeconfig of somebody with this token.
    pub(crate) fn write_kubeconfig(&self, path: &Path, token: &str) {
        self.write_kubeconfig_trusting(path, token, AUTHORITY);
    }

    /// Writes a kubeconfig of somebody with this token who trusts this authority.
    pub(crate) fn write_kubeconfig_trusting(&self, path: &Path, token: &str, authority: &str) {
        let mut cluster = json!({"server": self.url()});
        if self.shared.settings.has_tls {
            let authority = ByteString(authority.as_bytes().to_vec());
            cluster["certificate-authority-data"] = json!(authority);
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(path, config.to_string()).expect("the test's folder is writable");
    }

    /// Creates an object, as somebody who may do everything.
    ///
    /// # Panics
    /// If it is refused: that is what the test is not about.
    pub(crate) fn create(&self, object: &Value) -> Value {
        let (kind, namespace) = place(object);
        write::create(&self.shared, kind, namespace, object.clone())
            .unwrap_or_else(|status| panic!("refused: {status:?}\n{object}"))
    }

    /// Replaces an object, whatever version there is; its status too.
    pub(crate) fn replace(&self, object: &Value) -> Value {
        let (kind, namespace) = place(object);
        let name = object["metadata"]["name"].as_str().expect("it has a name");
        let refused = |status| panic!("refused: {status:?}\n{object}");
        let replaced = write::replace(&self.shared, kind, namespace, name, "", object.clone())
            .unwrap_or_else(refused);
        if object.get("status").is_none() {
            return replaced;
        }
        write::replace(
            &self.shared,
            kind,
            namespace,
            name,
            "status",
            object.clone(),
        )
        .unwrap_or_else(refused)
    }

    /// Deletes an object at once.
    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        let kind = Kind::of_plural(resource).expect("a kind of this server");
        let options = json!({"gracePeriodSeconds": 0});
        write::delete(&self.shared, kind, namespace, name, &options)
            .unwrap_or_else(|status| panic!("refused: {status:?}"));
    }

    /// Puts an object into the store as it is, as a server of another version let it through.
    pub(crate) fn store(&self, object: &Value) -> Value {
        let (kind, namespace) = place(object);
        let name = object["metadata"]["name"].as_str().expect("it has a name");
        let stored = self
            .shared
            .lock()
            .put(kind, namespace, name, object.clone());
        self.shared.tell();
        stored
    }

    /// Makes a token for a service account (or anybody, by the name of the user).
    pub(crate) fn token(&self, user: &str) -> String {
        format!("user:{user}")
    }

    /// Changes what goes wrong.
    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// Breaks every connection there is.
    pub(crate) fn disconnect(&self) {
        self.faults(|faults| faults.epoch += 1);
    }

    /// Forgets every version but the present one: who watches from or continues at another gets
    /// 410.
    pub(crate) fn compact(&self) {
        self.shared.lock().compact();
    }

    /// Gives versions anew from an earlier one, as after a backup was restored.
    pub(crate) fn rewind(&self, version: u64) {
        self.shared.lock().rewind(version);
        self.disconnect();
    }

    /// All objects of a kind in a namespace.
    pub(crate) fn all(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let kind = Kind::of_plural(resource).expect("a kind of this server");
        let all = self.shared.lock().all(kind, namespace);
        all.iter().map(|object| (**object).clone()).collect()
    }

    /// The version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.shared.lock().version()
    }

    /// How many watches of a resource are open.
    pub(crate) fn watches(&self, resource: &str) -> usize {
        self.shared
            .lock()
            .watches
            .iter()
            .filter(|r| **r == resource)
            .count()
    }

    /// How many lists and watches of a resource were asked for so far.
    pub(crate) fn requests(&self, verb: &str, resource: &str) -> usize {
        let asked = self.shared.lock();
        asked
            .requests
            .get(&(verb.to_owned(), resource.to_owned()))
            .copied()
            .unwrap_or_default()
    }
}

fn place(object: &Value) -> (&'static Kind, &str) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = Kind::of_object(&text(&object["apiVersion"]), &text(&object["kind"]))
        .unwrap_or_else(|| panic!("no kind of this server: {object}"));
    (
        kind,
        object["metadata"]["namespace"].as_str().unwrap_or_default(),
    )
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store
            .lock()
            .expect("nothing panics while it holds the store")
    }

    /// Wakes those that wait for a change.
    fn tell(&self) {
        let version = self.lock().version();
        self.changed.send_replace(version);
    }
}
