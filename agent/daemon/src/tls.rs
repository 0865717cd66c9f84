//! TLS 1.3 to the control plane and to the broker, with the pinned CAs.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use p256::ecdsa::Signature;
use pawl_evidence::tpm::Public;
use pawl_tpm::{KeyBlob, Tpm};
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::clock::WallClock;
use crate::record::PairingRecord;

/// Returns the TLS configuration of the HTTPS client. It trusts only the CA in the file `ca`. Certificates must be valid at the
/// time of `clock`.
pub(crate) fn control_plane(ca: &Path, clock: &WallClock) -> Result<ClientConfig, TlsError> {
    let unreadable = |error: &dyn fmt::Display| TlsError::Authority {
        path: ca.display().to_string(),
        error: error.to_string(),
    };
    let certificates = CertificateDer::pem_file_iter(ca)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(&error))?;
    let builder = builder(certificates, clock).map_err(|error| unreadable(&error))?;
    Ok(builder.with_no_client_auth())
}

/// Returns the TLS configuration of the broker connection. The TPM signs the handshake with the link key.
pub(crate) fn broker(
    record: &PairingRecord,
    link: &KeyBlob,
    tpm: &Tpm,
    clock: &WallClock,
) -> Result<ClientConfig, TlsError> {
    let authority = CertificateDer::from(record.broker.authority.as_bytes().to_vec());
    let chain = record
        .link_certificates
        .iter()
        .map(|certificate| CertificateDer::from(certificate.as_bytes().to_vec()))
        .collect();
    let key = LinkKey::new(record.epoch.0, link, tpm)?;
    let certified = CertifiedKey::new(chain, Arc::new(key));
    certified.keys_match().map_err(TlsError::LinkCertificate)?;
    let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(certified));
    let builder = builder(vec![authority], clock).map_err(TlsError::BrokerAuthority)?;
    Ok(builder.with_client_cert_resolver(resolver))
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder(authorities: Vec<CertificateDer<'static>>, clock: &WallClock) -> Result<Builder, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    if roots.is_empty() {
        return Err(rustls::Error::General("the file has no certificate".to_owned()));
    }
    Ok(ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots))
}

/// Returns whether a call failed because a certificate is not valid yet. The most likely cause is a clock that is behind.
pub(crate) fn is_not_yet_valid(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        use CertificateError::{NotValidYet, NotValidYetContext};
        return matches!(error, rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }));
    }
    // The source of an io::Error is not the error that it wraps.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let wrapped = wrapped.map(|wrapped| -> &(dyn Error + 'static) { wrapped });
    wrapped.or_else(|| error.source()).is_some_and(is_not_yet_valid)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The link key, as rustls uses it.
///
/// rustls signs inside the handshake's poll and blocks on the TPM there. The connection therefore has a thread of its own.
struct LinkKey {
    tpm: Tpm,
    blob: KeyBlob,
    epoch: u64,
    public: SubjectPublicKeyInfoDer<'static>,
}

impl LinkKey {
    fn new(epoch: u64, blob: &KeyBlob, tpm: &Tpm) -> Result<Self, TlsError> {
        let public = Public::unmarshal(&blob.public).map_err(|_| TlsError::LinkKey)?;
        let spki = public.to_spki_der().map_err(|_| TlsError::LinkKey)?;
        Ok(Self { tpm: tpm.clone(), blob: blob.clone(), epoch, public: spki.into() })
    }
}

impl SigningKey for LinkKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| {
            let (tpm, blob, epoch) = (self.tpm.clone(), self.blob.clone(), self.epoch);
            Box::new(LinkSigner { tpm, blob, epoch }) as Box<dyn Signer>
        })
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.public.as_ref()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey")
    }
}

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

struct LinkSigner {
    tpm: Tpm,
    blob: KeyBlob,
    epoch: u64,
}

impl Signer for LinkSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        sign_with_link(&self.tpm, &self.blob, self.epoch, message)
            .map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

impl fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSigner")
    }
}

/// Signs `message` with the link key: ECDSA with SHA-256, in DER (RFC 3279, section 2.2.3).
/// Blocks on the TPM.
pub(crate) fn sign_with_link(
    tpm: &Tpm,
    key: &KeyBlob,
    epoch: u64,
    message: &[u8],
) -> Result<Vec<u8>, SigningError> {
    let signature = tpm.sign_with_link_blocking(key, epoch, Sha256::digest(message).into())?;
    let signature = Signature::from_slice(&signature).map_err(|_| SigningError::Malformed)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

/// Why the link key did not sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    #[error(transparent)]
    Tpm(#[from] pawl_tpm::Error),
    #[error("the TPM's signature is malformed")]
    Malformed,
}

/// Why a TLS configuration cannot be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the control plane's CA in {path} cannot be used: {error}; set control_plane.ca to its ca.pem")]
    Authority { path: String, error: String },
    #[error("the broker's CA in the pairing cannot be used: {0}; pair the device again")]
    BrokerAuthority(rustls::Error),
    #[error("the link certificate does not fit the link key: {0}; pair the device again")]
    LinkCertificate(rustls::Error),
    #[error("the link key is not a P-256 key; pair the device again")]
    LinkKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_not_yet_valid_certificate_is_found_in_errors_that_wrap_it() {
        let error = |error| io::Error::other(io::Error::other(rustls::Error::InvalidCertificate(error)));
        assert!(is_not_yet_valid(&error(CertificateError::NotValidYet)));
        assert!(!is_not_yet_valid(&error(CertificateError::Expired)));
        assert!(!is_not_yet_valid(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
