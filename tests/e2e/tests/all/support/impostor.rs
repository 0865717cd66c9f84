//! A device that pairs by hand, so that it may cheat at any step.

mod link_request;
mod wire;

use pawl_e2e::Rig;
use pawl_e2e::rig::Swtpm;
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection};
use pawl_proto::message::{
    BootLog, CertifiedKey, Evidence, HostFacts, PairingGrant, PairingOffer, PairingProof, PairingRefusal,
    PairingRequest, Report, Scope, ShortText,
};
use pawl_proto::{Blob, DeviceId, Digest, Epoch, Nonce, Text, codec};
use pawl_tpm::{Binding, Counter, Credential, Error, Identity, KeyBlob, Options, Tpm};

use wire::Wire;

/// The TPM of a device whose owner is not honest.
pub(crate) struct Impostor {
    tpm: Tpm,
    identity: Identity,
    counter: Counter,
    boot_log: Vec<u8>,
    wire: Wire,
    runtime: tokio::runtime::Runtime,
}

impl Impostor {
    /// Takes over a TPM to which nobody else is connected.
    pub(crate) fn on(rig: &Rig, swtpm: &Swtpm) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tpm = open(swtpm);
        let identity = runtime.block_on(tpm.identity()).unwrap();
        let counter = runtime.block_on(tpm.provision_counter()).unwrap();
        let boot_log = std::fs::read(swtpm.boot_log().unwrap()).unwrap();
        Self { tpm, identity, counter, boot_log, wire: Wire::to(&rig.control_plane), runtime }
    }

    /// What an operator enrols.
    pub(crate) fn ek_sha256(&self) -> String {
        Digest::of(&self.identity.ek_public).to_string()
    }

    /// An honest request.
    pub(crate) fn request(&self) -> PairingRequest {
        PairingRequest {
            version: codec::Version,
            device: self.device(),
            endorsement_key: blob(&self.identity.ek_public),
            endorsement_certificates: self.identity.ek_certificates.iter().map(|der| blob(der)).collect(),
            attestation_key: blob(&self.identity.ak_public),
            counter: blob(&self.counter.public),
            epoch: Epoch(self.counter.epoch),
            host: HostFacts::default(),
            session: Nonce([1; 32]),
            reason: ShortText::lossy("curiosity"),
            scopes: vec![Scope::new("telemetry").unwrap()],
        }
    }

    /// Sends a request.
    pub(crate) fn ask(&self, request: &PairingRequest) -> Result<PairingOffer, PairingRefusal> {
        self.wire.post("/v1/pairings", request)
    }

    /// Sends a proof.
    pub(crate) fn prove(
        &self,
        offer: &PairingOffer,
        proof: &PairingProof,
    ) -> Result<PairingGrant, PairingRefusal> {
        self.wire.post(&format!("/v1/pairings/{}/proof", offer.pairing), proof)
    }

    /// Opens the credential, if this TPM can.
    pub(crate) fn activate(&self, offer: &PairingOffer) -> Result<Vec<u8>, Error> {
        let credential = Credential {
            id_object: offer.credential.id_object.as_bytes().to_vec(),
            secret: offer.credential.secret.as_bytes().to_vec(),
        };
        Ok(self.runtime.block_on(self.tpm.activate_credential(credential))?.to_vec())
    }

    /// An honest proof.
    pub(crate) fn proof(&self, offer: &PairingOffer) -> PairingProof {
        let secret = self.activate(offer).unwrap();
        self.proof_with(offer, secret)
    }

    /// The same, with whatever is taken for the credential's secret.
    pub(crate) fn proof_with(&self, offer: &PairingOffer, secret: Vec<u8>) -> PairingProof {
        let binding = Binding {
            counter: self.counter.clone(),
            lease_public: offer.lease_key.as_bytes().to_vec(),
            policy_ref: offer.policy_ref.0,
        };
        let keys = self.runtime.block_on(self.tpm.create_keys(binding)).unwrap();
        let counter = self.runtime.block_on(self.tpm.certify_counter(offer.nonce.0)).unwrap();
        PairingProof {
            version: codec::Version,
            secret: Blob::new(secret).unwrap(),
            link_key: self.certified(&keys.link, offer),
            device_key: self.certified(&keys.device, offer),
            vault_key: self.certified(&keys.vault, offer),
            counter_attest: blob(&counter.attest),
            counter_signature: blob(&counter.signature),
            report: self.report(offer),
            link_request: blob(&link_request::make(
                &self.tpm,
                &keys.link,
                self.counter.epoch,
                self.device().as_str(),
            )),
        }
    }

    /// A key with the attestation key's word that it is in this TPM.
    pub(crate) fn certified(&self, key: &KeyBlob, offer: &PairingOffer) -> CertifiedKey {
        let certified = self.runtime.block_on(self.tpm.certify(key, offer.nonce.0)).unwrap();
        CertifiedKey {
            public: blob(&key.public),
            attest: blob(&certified.attest),
            signature: blob(&certified.signature),
        }
    }

    /// Lets go of the TPM while `other` uses it, and comes back.
    pub(crate) fn step_aside<T>(&mut self, swtpm: &Swtpm, other: impl FnOnce() -> T) -> T {
        self.tpm.clone().close();
        let value = other();
        self.tpm = open(swtpm);
        value
    }

    fn report(&self, offer: &PairingOffer) -> Report {
        let selection = PcrSelection::new(HashAlgorithm::Sha256, 0..=15).unwrap();
        let pcrs = self.runtime.block_on(self.tpm.read_pcrs(&selection)).unwrap();
        let evidence = Evidence {
            version: codec::Version,
            device: self.device(),
            pairing: offer.pairing,
            epoch: Epoch(self.counter.epoch),
            nonce: offer.nonce,
            since: None,
            boot_id: Text::lossy("00000000-0000-0000-0000-000000000000"),
            pcrs: pcrs
                .bank(HashAlgorithm::Sha256)
                .map(|(index, digest)| (index, Digest::try_from(digest.as_bytes()).unwrap()))
                .collect(),
            boot_log: Some(BootLog {
                digest: Digest::of(&self.boot_log),
                bytes: Some(Blob::new(self.boot_log.clone()).unwrap()),
            }),
            ima_log: None,
            host: Some(HostFacts::default()),
            audit_head: None,
        };
        let evidence = codec::encode(&evidence).unwrap();
        let quote = self.runtime.block_on(self.tpm.quote(&selection, Digest::of(&evidence).0)).unwrap();
        Report {
            version: codec::Version,
            evidence: Blob::new(evidence).unwrap(),
            attest: blob(&quote.attest),
            signature: blob(&quote.signature),
        }
    }

    fn device(&self) -> DeviceId {
        DeviceId::from_endorsement_key(&self.identity.ek_public)
    }
}

fn open(swtpm: &Swtpm) -> Tpm {
    Tpm::start(Options::new(swtpm.tcti().parse().unwrap())).unwrap()
}

fn blob<const MAX: usize>(bytes: &[u8]) -> Blob<MAX> {
    Blob::new(bytes.to_vec()).unwrap()
}
