use std::sync::Arc;

use p256::ecdsa::SigningKey;
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use pawl_evidence::assurance::action_policy;
use pawl_evidence::lease::{key_policy, link_policy};
use pawl_evidence::rand_core::OsRng;
use pawl_evidence::tpm::Public;
use pawl_proto::message::{
    Access, Audience, Audit, BootLog, Cause, Certificate, CertifiedKey, Event, Evidence, Finding, HostFacts,
    PairingApproved, PairingGrant, PairingProof, PairingRequest, Receipt, Report, Scope, ShortText,
    SignedReceipt, TpmStructure, Verdict,
};
use pawl_proto::signed::OrderKey;
use pawl_proto::{Blob, Channel, DeviceId, Digest, Epoch, Nonce, PairingId, SessionId, Text, Topic};

use crate::control_plane::ControlPlane;
use crate::http::Network;
use crate::pairing;
use crate::refusal::RequestError;
use crate::store::Tx;
use pawl_verifier::testing::{BOUND_SIGNING, LOOSE_SIGNING, SoftTpm, sealed_public, signing_public};

/// A device that behaves as the daemon does, on a TPM in software.
pub(crate) struct Device {
    pub(crate) tpm: SoftTpm,
    pub(crate) link_key: SigningKey,
    pub(crate) device_key: SigningKey,
    pub(crate) action_key: SigningKey,
    pub(crate) pairing: Option<PairingId>,
    /// Its boot event log.
    pub(crate) boot_log: Option<Vec<u8>>,
    /// The records part of its reports.
    pub(crate) audit: Option<Audit>,
    /// The run of its daemon.
    pub(crate) run: Nonce,
    /// The network that it connects from.
    pub(crate) network: Network,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            tpm: SoftTpm::new(),
            link_key: SigningKey::random(&mut OsRng),
            device_key: SigningKey::random(&mut OsRng),
            action_key: SigningKey::random(&mut OsRng),
            pairing: None,
            boot_log: None,
            audit: None,
            run: Nonce([1; 32]),
            network: Network::of([192, 0, 2, 1].into()),
        }
    }

    /// Creates and enrols a device.
    pub(crate) async fn enrolled(plane: &Arc<ControlPlane>) -> Self {
        let device = Self::new();
        let ek_sha256 = device.tpm.ek_sha256();
        let id = device.id();
        let audiences = ["https://api.example", "https://localhost:8443"].map(Audience::lossy).into();
        let granted = Access { scopes: vec![Scope::lossy("telemetry")], audiences };
        let enrol = move |tx: &Tx<'_>| {
            tx.enrol(ek_sha256, None, 1)?;
            tx.set_granted(id, &granted)
        };
        plane.store.transaction(enrol).await.unwrap();
        device
    }

    pub(crate) fn id(&self) -> DeviceId {
        DeviceId::from_digest(self.tpm.ek_sha256().0)
    }

    pub(crate) fn request(&self) -> PairingRequest {
        PairingRequest {
            version: Default::default(),
            device: self.id(),
            endorsement_key: TpmStructure::new(self.tpm.ek.clone()).unwrap(),
            endorsement_certificates: Vec::new(),
            attestation_key: TpmStructure::new(self.tpm.ak_public()).unwrap(),
            counter: TpmStructure::new(self.tpm.counter.as_bytes().to_vec()).unwrap(),
            epoch: Epoch(self.tpm.epoch),
            host: HostFacts::default(),
            nonce: Nonce([1; 32]),
            origin: ShortText::lossy("uid 0; tty1"),
            finding: if self.pairing.is_some() { Finding::NothingChanged } else { Finding::BothNew },
            former: None,
            replaces: None,
            attended: true,
            reason: ShortText::lossy("first installation"),
            scopes: vec![Scope::lossy("telemetry")],
            audiences: vec![Audience::lossy("https://api.example")],
        }
    }

    /// Creates the proof of an approved session, in an epoch above the one that the session names.
    pub(crate) fn proof(&mut self, id: SessionId, approved: &PairingApproved) -> PairingProof {
        self.tpm.epoch = self.tpm.epoch.max(approved.above.0 + 1);
        let secret = self.tpm.activate(&approved.credential).unwrap_or_default();
        let lease_key = Public::unmarshal(approved.lease_key.as_bytes()).unwrap().name();
        let authorization_key = Public::unmarshal(approved.authorization_key.as_bytes()).unwrap().name();
        let (counter, policy_ref) = (self.tpm.counter.name(), approved.policy_ref.as_bytes());
        let lease_policy = key_policy(&lease_key, policy_ref);
        let action_policy = action_policy(&counter, self.tpm.epoch, &authorization_key, policy_ref);
        let action = signing_public(self.action_key.verifying_key(), BOUND_SIGNING, &action_policy);
        let link_policy = link_policy(&self.tpm.counter.name(), self.tpm.epoch);
        let link = signing_public(self.link_key.verifying_key(), BOUND_SIGNING, &link_policy);
        let device = signing_public(self.device_key.verifying_key(), BOUND_SIGNING, &lease_policy);
        let nonce = *approved.nonce.as_bytes();
        let (counter_attest, counter_signature) = self.tpm.certify_counter(&nonce);
        self.pairing = Some(PairingId::from(id));
        PairingProof {
            version: Default::default(),
            secret: Blob::new(secret).unwrap(),
            link_key: self.certified(link, &nonce),
            device_key: self.certified(device, &nonce),
            vault_key: self.certified(sealed_public(&lease_policy), &nonce),
            action_key: self.certified(action, &nonce),
            counter_attest,
            counter_signature,
            report: self.report(approved.nonce, None),
            link_request: request_for(&self.link_key),
        }
    }

    /// Certifies a device key that could leave the TPM.
    pub(crate) fn loose_device_key(&mut self, approved: &PairingApproved) -> CertifiedKey {
        let lease_key = Public::unmarshal(approved.lease_key.as_bytes()).unwrap().name();
        let policy = key_policy(&lease_key, approved.policy_ref.as_bytes());
        let public = signing_public(self.device_key.verifying_key(), LOOSE_SIGNING, &policy);
        self.certified(public, &approved.nonce.0)
    }

    /// Certifies a link key of another policy.
    pub(crate) fn link_for(&mut self, policy: &[u8; 32], approved: &PairingApproved) -> CertifiedKey {
        let public = signing_public(self.link_key.verifying_key(), BOUND_SIGNING, policy);
        self.certified(public, &approved.nonce.0)
    }

    /// Certifies an action key of another epoch.
    pub(crate) fn action_for(&mut self, epoch: u64, approved: &PairingApproved) -> CertifiedKey {
        let authorization_key = Public::unmarshal(approved.authorization_key.as_bytes()).unwrap().name();
        let counter = self.tpm.counter.name();
        let policy = action_policy(&counter, epoch, &authorization_key, approved.policy_ref.as_bytes());
        let public = signing_public(self.action_key.verifying_key(), BOUND_SIGNING, &policy);
        self.certified(public, &approved.nonce.0)
    }

    pub(crate) fn certified(&mut self, public: Vec<u8>, nonce: &[u8; 32]) -> CertifiedKey {
        let (attest, signature) = self.tpm.certify(&public, nonce);
        CertifiedKey { public: TpmStructure::new(public).unwrap(), attest, signature }
    }

    /// Returns whole evidence, or evidence with nothing new since `since`.
    pub(crate) fn evidence(&self, nonce: Nonce, since: Option<Digest>) -> Evidence {
        Evidence {
            version: Default::default(),
            device: self.id(),
            pairing: self.pairing.unwrap(),
            epoch: Epoch(self.tpm.epoch),
            nonce,
            since,
            boot_id: Text::lossy("c0ffee"),
            run: Some(self.run),
            pcrs: if since.is_none() { self.tpm.pcrs.clone() } else { Default::default() },
            boot_log: self
                .boot_log
                .as_ref()
                .filter(|_| since.is_none())
                .map(|log| BootLog { digest: Digest::of(log), bytes: Some(Blob::new(log.clone()).unwrap()) }),
            measure_log: None,
            nvpcrs: None,
            ima_log: None,
            host: None,
            health: None,
            audit: self.audit.clone(),
        }
    }

    pub(crate) fn report(&mut self, nonce: Nonce, since: Option<Digest>) -> Report {
        let evidence = self.evidence(nonce, since);
        self.quoted(&evidence)
    }

    pub(crate) fn quoted(&mut self, evidence: &Evidence) -> Report {
        let bytes = pawl_proto::encode(evidence).unwrap();
        let (attest, signature) = self.tpm.quote(Digest::of(&bytes).as_bytes());
        Report {
            version: Default::default(),
            evidence: Blob::new(bytes).unwrap(),
            attest,
            signature,
            nvpcrs: Vec::new(),
        }
    }

    /// Ends the epoch, ordered by an event or by a person at the device, and creates the receipt.
    pub(crate) fn wipe(&mut self, event: Option<&Event>) -> SignedReceipt {
        let ended = Epoch(self.tpm.epoch);
        self.tpm.epoch += 1;
        let receipt = Receipt {
            version: Default::default(),
            device: self.id(),
            pairing: self.pairing.unwrap(),
            ended,
            epoch: Epoch(self.tpm.epoch),
            event: event.map(|event| event.id),
            cause: if event.is_some() { Cause::Revoke } else { Cause::Wipe },
            reason: ShortText::lossy("sold"),
            time: 0,
        };
        self.signed(&receipt)
    }

    pub(crate) fn signed(&mut self, receipt: &Receipt) -> SignedReceipt {
        let bytes = pawl_proto::encode(receipt).unwrap();
        let (attest, signature) = self.tpm.certify_counter(Digest::of(&bytes).as_bytes());
        SignedReceipt { version: Default::default(), receipt: Blob::new(bytes).unwrap(), attest, signature }
    }

    /// Pairs under a policy that needs no approval, with a proof that `tamper` may alter.
    pub(crate) async fn pair_with(
        &mut self,
        plane: &Arc<ControlPlane>,
        tamper: impl FnOnce(&mut Self, &PairingApproved, &mut PairingProof),
    ) -> Result<PairingGrant, RequestError> {
        let (asked, progress) = self.ask(plane, self.request()).await?;
        let approved = progress.approved();
        let mut proof = self.proof(asked.id, &approved);
        tamper(self, &approved, &mut proof);
        pairing::prove(plane, asked.id, proof).await
    }

    pub(crate) async fn pair(&mut self, plane: &Arc<ControlPlane>) -> Result<PairingGrant, RequestError> {
        self.pair_with(plane, |_, _, _| {}).await
    }

    /// Returns the newest verdict that is not published yet.
    pub(crate) async fn next_verdict(&self, plane: &Arc<ControlPlane>) -> Option<Verdict> {
        let device = self.id();
        let waiting = plane.store.transaction(|tx| tx.unpublished_verdicts(99)).await.unwrap();
        let (_, _, message) = waiting.into_iter().find(|(topic, ..)| topic.device == device)?;
        Some(decode_verdict(plane, device, &message))
    }
}

/// Creates a PKCS #10 request signed by this key.
pub(crate) fn request_for(key: &SigningKey) -> Certificate {
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    let key = rcgen::KeyPair::from_pem(&pem).unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    Certificate::new(request.der().to_vec()).unwrap()
}

/// Verifies and decodes a verdict as the device does.
pub(crate) fn decode_verdict(plane: &ControlPlane, device: DeviceId, message: &[u8]) -> Verdict {
    let keys = [OrderKey::from(&plane.keys.signing.order)];
    pawl_proto::signed::verify(message, &Topic::new(device, Channel::Verdict), &keys).unwrap()
}
