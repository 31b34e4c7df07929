//! TLS with certificates that are made for these tests alone: nobody else trusts them.

use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Who vouches for the server.
pub(crate) const AUTHORITY: &str = include_str!("tls/ca.pem");
/// Who does not.
pub(crate) const ANOTHER_AUTHORITY: &str = include_str!("tls/another-ca.pem");

/// Accepts connections as 127.0.0.1.
pub(super) fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server-key.pem"));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("it is a certificate")],
            key.expect("it is a key"),
        )
        .expect("the key is that of the certificate");
    TlsAcceptor::from(Arc::new(config))
}
