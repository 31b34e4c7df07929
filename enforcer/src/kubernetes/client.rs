//! Where the API server is and how to speak to it.

use std::{env, path::PathBuf, time::Duration};

use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _},
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tower::{BoxError, ServiceBuilder};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// After how much silence the other side is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How often it is asked, and between two questions.
const QUESTIONS: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(5);
/// Set by Kubernetes in every container.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// Where it is written how to reach the API server.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// A kubeconfig file. Without it: the cluster that the program runs in, else `$KUBECONFIG` or
    /// `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; its current one if absent.
    pub context: Option<String>,
}

/// Why it is not known how to reach the API server. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A kubeconfig cannot be used.
    #[error("read {name}")]
    Kubeconfig {
        /// Which.
        name: String,
        /// Why.
        source: Box<KubeconfigError>,
    },
    /// The service account of this pod cannot be used.
    #[error("read the service account of this pod")]
    InCluster(#[source] Box<InClusterError>),
    /// The configuration is no base for a connection.
    #[error("prepare connections to {server}")]
    Client {
        /// The server.
        server: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// A client for the API server that `source` names. Nothing is sent yet.
///
/// # Errors
/// The configuration is missing or cannot be used.
pub async fn connect(source: &Source) -> Result<Client, ConfigError> {
    let config = config(source).await?;
    let server = config.cluster_url.to_string();
    client(config).map_err(|source| ConfigError::Client {
        server,
        source: Box::new(source),
    })
}

async fn config(source: &Source) -> Result<Config, ConfigError> {
    let options = KubeConfigOptions {
        context: source.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = &source.kubeconfig {
        let wrong = |source| ConfigError::Kubeconfig {
            name: format!("the kubeconfig {}", path.display()),
            source: Box::new(source),
        };
        let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
        return Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(wrong);
    }
    if source.context.is_none() && env::var_os(IN_CLUSTER).is_some() {
        return Config::incluster().map_err(|error| ConfigError::InCluster(Box::new(error)));
    }
    Config::from_kubeconfig(&options)
        .await
        .map_err(|source| ConfigError::Kubeconfig {
            name: "the kubeconfig ($KUBECONFIG or ~/.kube/config; or name one with --kubeconfig)"
                .to_owned(),
            source: Box::new(source),
        })
}

/// As kube makes it, but that a peer which has gone without a word is noticed: a watch sends
/// nothing by itself, so that otherwise nobody would for minutes.
fn client(config: Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(BETWEEN));
    connector.set_keepalive_retries(Some(QUESTIONS));
    connector.set_tcp_user_timeout(Some(KEEPALIVE + BETWEEN * QUESTIONS));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
