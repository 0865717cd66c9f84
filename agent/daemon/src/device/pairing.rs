//! The TPM commands of a pairing.

use std::sync::{Mutex, PoisonError};

use pawl_evidence::tpm::{Public, PublicKey};
use pawl_proto::{DeviceId, Nonce};
use pawl_tpm::{Attestation, Error, KeyBlob, PairingKeys, Tpm};
use rcgen::{
    CertificateParams, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey,
};

use crate::core::KeyCertificates;
use crate::jws::coordinate;
use crate::tls::{SigningError, sign_with_link};

/// Has the attestation key certify each key of a pairing, with this nonce as qualifying data.
pub(super) async fn certify(tpm: &Tpm, keys: &PairingKeys, nonce: Nonce) -> Result<KeyCertificates, Error> {
    let certify = async |key: &KeyBlob| -> Result<Attestation, Error> { tpm.certify(key, nonce.0).await };
    Ok(KeyCertificates {
        link: certify(&keys.link).await?,
        device: certify(&keys.device).await?,
        vault: certify(&keys.vault).await?,
        action: certify(&keys.action).await?,
    })
}

/// Returns a PKCS #10 request (RFC 2986) for the device's id, signed by the link key.
pub(super) async fn link_request(
    tpm: &Tpm,
    key: &KeyBlob,
    device: DeviceId,
    epoch: u64,
) -> Result<Vec<u8>, Error> {
    let requester = Requester::new(tpm, key, epoch)?;
    // rcgen signs synchronously: do not block this thread on the TPM.
    tokio::task::spawn_blocking(move || requester.request(device)).await.unwrap_or(Err(MALFORMED))
}

/// The link key, as rcgen uses it.
struct Requester {
    tpm: Tpm,
    key: KeyBlob,
    epoch: u64,
    /// The uncompressed SEC 1 point.
    point: Vec<u8>,
    /// The TPM's error: rcgen's error type cannot carry it.
    refusal: Mutex<Option<Error>>,
}

impl Requester {
    fn new(tpm: &Tpm, key: &KeyBlob, epoch: u64) -> Result<Self, Error> {
        let public = Public::unmarshal(&key.public).map_err(|_| MALFORMED)?;
        let PublicKey::Ecc { x, y, .. } = public.key() else { return Err(MALFORMED) };
        let (Some(x), Some(y)) = (coordinate(x), coordinate(y)) else { return Err(MALFORMED) };
        let point = [[4].as_slice(), &x, &y].concat();
        Ok(Self { tpm: tpm.clone(), key: key.clone(), epoch, point, refusal: Mutex::default() })
    }

    fn request(self, device: DeviceId) -> Result<Vec<u8>, Error> {
        let request = CertificateParams::new(Vec::new()).and_then(|mut params| {
            params.distinguished_name.push(DnType::CommonName, device.as_str());
            params.serialize_request(&self)
        });
        let refusal = self.refusal.into_inner().unwrap_or_else(PoisonError::into_inner);
        request.map(|request| request.der().to_vec()).map_err(|_| refusal.unwrap_or(MALFORMED))
    }
}

/// The link key or a signature by it is not of P-256.
const MALFORMED: Error = Error::Malformed("link key");

impl PublicKeyData for Requester {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Requester {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        sign_with_link(&self.tpm, &self.key, self.epoch, message).map_err(|error| {
            let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
            *refusal = match error {
                SigningError::Tpm(error) => Some(error),
                SigningError::Malformed => None,
            };
            rcgen::Error::RemoteKeyError
        })
    }
}
