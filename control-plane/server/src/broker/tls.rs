use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, RootCertStore};

use crate::keys::{Authority, Identity};

/// TLS 1.3 to the broker: it must show a certificate of our authority, and we show ours.
pub(super) fn client_config(authority: &Authority, identity: &Identity) -> Result<ClientConfig, TlsError> {
    let chain =
        CertificateDer::pem_file_iter(&identity.certificate)?.collect::<Result<Vec<_>, pem::Error>>()?;
    config_of(authority, chain, PrivateKeyDer::from_pem_file(&identity.key)?)
}

/// The same with a certificate and key in memory.
pub(super) fn config_of(
    authority: &Authority,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?)
}

/// Certificates and keys that TLS cannot use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read a certificate or key: {0}")]
    Pem(#[from] pem::Error),
    /// Certificate and key do not fit, or one of them is of an unknown kind.
    #[error("cannot use a certificate or key: {0}")]
    Tls(#[from] rustls::Error),
}
