//! What an agent may do on the API server: exactly what it is installed with.
//!
//! The ServiceAccount, the ClusterRole and the binding are those of `install.yaml`, under names of
//! our own, so that an agent that is installed on the same server stays as it is.

use std::{fs, io, net::SocketAddr, path::Path};

use enforcer::yaml::{self, Source};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{Api, api::PostParams, config::Cluster};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::backend::live::{Live, LiveError, Remains};

/// What people install.
const INSTALLED: &str = include_str!("../../../../enforcer/deploy/install.yaml");

/// Where the service account is.
pub(super) const NAMESPACE: &str = "portcullis-test";

/// How long tokens are to be good for, in seconds; servers may shorten it.
const TOKEN: i64 = 24 * 60 * 60;

/// Gives agents an identity, and says by which token it is shown.
pub(super) fn grant(live: &Live, remains: &mut Remains) -> Result<String, LiveError> {
    live.claim([NAMESPACE])?;
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(NAMESPACE.to_owned());
    live.run().mark(&mut namespace.metadata);
    remains.add_namespace(NAMESPACE);
    live.create(&namespace)?;

    let name = format!("{NAMESPACE}-{}", live.run());
    let mut account: ServiceAccount = installed("ServiceAccount");
    account.metadata.namespace = Some(NAMESPACE.to_owned());
    let account_name = account.metadata.name.clone().unwrap_or_default();
    live.create(&account)?;

    let mut role: ClusterRole = installed("ClusterRole");
    role.metadata.name = Some(name.clone());
    live.run().mark(&mut role.metadata);
    remains.add::<ClusterRole>(&name);
    live.create(&role)?;

    let mut binding: ClusterRoleBinding = installed("ClusterRoleBinding");
    binding.metadata.name = Some(name.clone());
    live.run().mark(&mut binding.metadata);
    binding.role_ref.name.clone_from(&name);
    for subject in binding.subjects.iter_mut().flatten() {
        subject.namespace = Some(NAMESPACE.to_owned());
    }
    remains.add::<ClusterRoleBinding>(&name);
    live.create(&binding)?;

    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(live.client().clone(), NAMESPACE);
    let parameters = PostParams::default();
    let answer = live.wait(accounts.create_token_request(&account_name, &parameters, &request));
    let answer = answer.map_err(|source| {
        let object = format!("serviceaccount {NAMESPACE}/{account_name}");
        LiveError::request("get a token for", object, source)
    })?;
    Ok(answer
        .status
        .and_then(|status| status.token)
        .unwrap_or_default())
}

/// The object of a kind that `install.yaml` has.
fn installed<K: DeserializeOwned>(kind: &str) -> K {
    let source = Source::new("install.yaml", INSTALLED);
    let documents = yaml::parse(&source).expect("a test of the agent reads the same file");
    let mut objects = documents.iter().map(yaml::Document::value);
    let object = objects.find(|object| object["kind"] == kind);
    let object = object
        .expect("the agent needs an identity and its rights")
        .clone();
    serde_json::from_value(object).expect("a test of the agent reads the same file")
}

/// Writes a kubeconfig of somebody who shows this token, for the server behind a relay.
pub(super) fn write_kubeconfig(
    path: &Path,
    cluster: &Cluster,
    relay: SocketAddr,
    token: &str,
) -> io::Result<()> {
    let server = cluster.server.clone().unwrap_or_default();
    let (scheme, rest) = server.split_once("://").unwrap_or(("https", &server));
    let (host, path_of_server) = rest.split_once('/').unwrap_or((rest, ""));
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let mut cluster = cluster.clone();
    cluster.server = Some(format!("{scheme}://{relay}/{path_of_server}"));
    if scheme == "https" {
        let name = name.trim_start_matches('[').trim_end_matches(']');
        cluster
            .tls_server_name
            .get_or_insert_with(|| name.to_owned());
    }
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "agent",
        "clusters": [{"name": "agent", "cluster": cluster}],
        "users": [{"name": "agent", "user": {"token": token}}],
        "contexts": [{"name": "agent", "context": {"cluster": "agent", "user": "agent"}}],
    });
    fs::write(path, config.to_string())
}

/// Host and port of a server.
pub(super) fn host_and_port(cluster: &Cluster) -> String {
    let server = cluster.server.clone().unwrap_or_default();
    let (scheme, rest) = server.split_once("://").unwrap_or(("https", &server));
    let host = rest.split('/').next().unwrap_or_default();
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, scheme) {
        (true, _) => host.to_owned(),
        (false, "http") => format!("{host}:80"),
        (false, _) => format!("{host}:443"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("https://127.0.0.1:6443", "127.0.0.1:6443")]
    #[case("https://k8s.example", "k8s.example:443")]
    #[case("https://k8s.example/clusters/c1", "k8s.example:443")]
    #[case("http://localhost", "localhost:80")]
    #[case("https://[::1]:6443", "[::1]:6443")]
    #[case("https://[::1]", "[::1]:443")]
    fn a_relay_dials_what_the_kubeconfig_names(#[case] server: &str, #[case] dialled: &str) {
        let cluster = Cluster {
            server: Some(server.to_owned()),
            ..Cluster::default()
        };
        assert_eq!(host_and_port(&cluster), dialled);
    }

    #[test]
    fn an_agent_dials_the_relay_and_expects_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let cluster = Cluster {
            server: Some("https://k8s.example:6443/clusters/c1".to_owned()),
            ..Cluster::default()
        };
        let relay = SocketAddr::from(([127, 0, 0, 1], 4711));
        write_kubeconfig(&path, &cluster, relay, "secret").unwrap();
        let config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let written = &config["clusters"][0]["cluster"];
        assert_eq!(written["server"], "https://127.0.0.1:4711/clusters/c1");
        assert_eq!(written["tls-server-name"], "k8s.example");
        assert_eq!(config["users"][0]["user"]["token"], "secret");
    }

    #[test]
    fn what_is_installed_gives_an_identity_and_its_rights() {
        let account: ServiceAccount = installed("ServiceAccount");
        let role: ClusterRole = installed("ClusterRole");
        let binding: ClusterRoleBinding = installed("ClusterRoleBinding");
        assert!(account.metadata.name.is_some());
        assert!(role.rules.is_some_and(|rules| !rules.is_empty()));
        assert_eq!(binding.role_ref.kind, "ClusterRole");
    }
}
