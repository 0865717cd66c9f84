//! The proof: the opened credential, a certify structure for every key, the certified counter,
//! a first report, and the request for the link key's certificate.

use std::sync::Arc;

use pawl_evidence::tpm::{Public, PublicKey};
use pawl_proto::codec::Version;
use pawl_proto::message::{self, Certificate, CertifiedKey, PairingProof};
use pawl_proto::{DeviceId, Epoch};
use pawl_tpm::{Credential, KeyBlob, Tpm};
use rcgen::{
    CertificateParams, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use zeroize::Zeroizing;

use super::PairingError;
use super::making::Making;
use crate::jws::coordinate;
use crate::posture::{self, Subject};
use crate::shared::Shared;
use crate::store::PairingKeys;
use crate::tls::sign_with_link;

impl Making<'_> {
    /// Everything that the control plane wants to see before it grants the pairing.
    pub(super) async fn proof(
        &self,
        shared: &Arc<Shared>,
        keys: &PairingKeys,
    ) -> Result<PairingProof, PairingError> {
        let tpm = &shared.tpm;
        let secret = activate(tpm, &self.answer.credential).await?;
        let counter = tpm.certify_counter(self.answer.nonce.0).await?;
        let subject = Subject {
            device: self.statement.device,
            pairing: self.pairing(),
            epoch: Epoch(self.counter.epoch),
            nonce: self.answer.nonce,
        };
        let prepared = posture::prepare(tpm, &shared.logs, subject, None, &shared.audit, &[]).await?;
        Ok(PairingProof {
            version: Version,
            secret: secret.to_vec().try_into()?,
            link_key: self.certify(tpm, &keys.link).await?,
            device_key: self.certify(tpm, &keys.device).await?,
            vault_key: self.certify(tpm, &keys.vault).await?,
            action_key: self.certify(tpm, &keys.action).await?,
            counter_attest: counter.attest.try_into()?,
            counter_signature: counter.signature.try_into()?,
            report: prepared.report,
            link_request: self.link_request(tpm, &keys.link, subject.device).await?,
        })
    }

    async fn certify(&self, tpm: &Tpm, key: &KeyBlob) -> Result<CertifiedKey, PairingError> {
        let attestation = tpm.certify(key, self.answer.nonce.0).await?;
        Ok(CertifiedKey {
            public: key.public.clone().try_into()?,
            attest: attestation.attest.try_into()?,
            signature: attestation.signature.try_into()?,
        })
    }

    /// A PKCS #10 request (RFC 2986) for the device's id, signed by the link key.
    async fn link_request(
        &self,
        tpm: &Tpm,
        key: &KeyBlob,
        device: DeviceId,
    ) -> Result<Certificate, PairingError> {
        let requester = Requester::new(tpm, key, self.counter.epoch)?;
        // rcgen signs synchronously; the TPM's answer must not be waited for on this thread.
        let request = tokio::task::spawn_blocking(move || {
            let mut params = CertificateParams::new(Vec::new())?;
            params.distinguished_name.push(DnType::CommonName, device.as_str());
            params.serialize_request(&requester)
        });
        let request = request.await.map_err(|error| PairingError::LinkRequest(error.to_string()))?;
        let request = request.map_err(|error| PairingError::LinkRequest(error.to_string()))?;
        Ok(request.der().to_vec().try_into()?)
    }
}

/// Opens a credential: only the TPM that it was made for can.
pub(super) async fn activate(
    tpm: &Tpm,
    credential: &message::Credential,
) -> Result<Zeroizing<Vec<u8>>, pawl_tpm::Error> {
    tpm.activate_credential(Credential {
        id_object: credential.id_object.as_bytes().to_vec(),
        secret: credential.secret.as_bytes().to_vec(),
    })
    .await
}

/// The link key, as rcgen uses it.
struct Requester {
    tpm: Tpm,
    key: KeyBlob,
    epoch: u64,
    /// The uncompressed SEC 1 point.
    point: Vec<u8>,
}

impl Requester {
    fn new(tpm: &Tpm, key: &KeyBlob, epoch: u64) -> Result<Self, PairingError> {
        let public = Public::unmarshal(&key.public)?;
        let PublicKey::Ecc { x, y, .. } = public.key() else {
            return Err(PairingError::LinkRequest("the link key is no elliptic-curve key".to_owned()));
        };
        let (Some(x), Some(y)) = (coordinate(x), coordinate(y)) else {
            return Err(PairingError::LinkRequest("the link key is no P-256 key".to_owned()));
        };
        let point = [[4].as_slice(), &x, &y].concat();
        Ok(Self { tpm: tpm.clone(), key: key.clone(), epoch, point })
    }
}

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
            tracing::error!(%error, "the link key did not sign its certificate request");
            rcgen::Error::RemoteKeyError
        })
    }
}
