//! A device that pairs step by step, so that a test can alter any step.

mod wire;

use p256::ecdsa::Signature;
use pawl_e2e::Rig;
use pawl_e2e::rig::Swtpm;
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, Public, PublicKey};
use pawl_proto::message::{
    ApprovalStep, BootLog, CertifiedKey, Credential, Evidence, Finding, GivenApproval, HostFacts,
    PairingApproved, PairingGrant, PairingOffer, PairingProof, PairingRefusal, PairingRequest, Report, Scope,
    SessionProof, ShortText, Waiting,
};
use pawl_proto::{Blob, DeviceId, Digest, Epoch, Nonce, PairingId, PcrValue, SessionId, Text, codec};
use pawl_tpm::{Binding, Counter, Error, Identity, KeyBlob, Options, Tpm};
use rcgen::{CertificateParams, DnType, PublicKeyData, SignatureAlgorithm, SigningKey};
use sha2::{Digest as _, Sha256};

pub(crate) use wire::Wire;

/// The TPM of a device whose owner is not honest.
pub(crate) struct Impostor {
    tpm: Tpm,
    identity: Identity,
    counter: Counter,
    boot_log: Vec<u8>,
    wire: Wire,
    runtime: tokio::runtime::Runtime,
}

/// How a session stands after a step.
#[derive(Debug)]
pub(crate) enum Progress {
    Waiting(Box<Waiting>),
    Approved(Box<PairingApproved>),
}

impl Impostor {
    /// Takes over a TPM to which nobody else is connected.
    pub(crate) fn on(rig: &Rig, swtpm: &Swtpm) -> Self {
        Self::through(rig, swtpm, &swtpm.tcti())
    }

    /// The same by another way to that TPM.
    pub(crate) fn through(rig: &Rig, swtpm: &Swtpm, tcti: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tpm = open(tcti);
        let identity = runtime.block_on(tpm.identity()).unwrap();
        let counter = runtime.block_on(tpm.provision_counter()).unwrap();
        let boot_log = std::fs::read(swtpm.boot_log().unwrap()).unwrap();
        Self { tpm, identity, counter, boot_log, wire: Wire::to(&rig.control_plane), runtime }
    }

    /// What an operator enrols.
    pub(crate) fn ek_sha256(&self) -> String {
        Digest::of(&self.identity.ek_public).to_string()
    }

    pub(crate) fn device(&self) -> DeviceId {
        DeviceId::from_endorsement_key(&self.identity.ek_public)
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
            nonce: Nonce([1; 32]),
            origin: ShortText::lossy("uid 0; the back yard"),
            finding: Finding::BothNew,
            former: None,
            replaces: None,
            attended: true,
            reason: ShortText::lossy("curiosity"),
            scopes: vec![Scope::new("telemetry").unwrap()],
            audiences: Vec::new(),
        }
    }

    /// Sends a request.
    pub(crate) fn ask(&self, request: &PairingRequest) -> Result<PairingOffer, PairingRefusal> {
        self.wire.post("/v1/pairings", request)
    }

    /// Opens a credential, if this TPM can.
    pub(crate) fn activate(&self, credential: &Credential) -> Result<Vec<u8>, Error> {
        Ok(self.runtime.block_on(self.tpm.activate_credential(credential.clone()))?.to_vec())
    }

    /// An honest proof of a session for [`Impostor::request`].
    pub(crate) fn session_proof(&self, offer: &PairingOffer) -> SessionProof {
        self.session_proof_with(offer, self.activate(&offer.credential).unwrap())
    }

    /// The same, with whatever is taken for the credential's secret.
    pub(crate) fn session_proof_with(&self, offer: &PairingOffer, secret: Vec<u8>) -> SessionProof {
        let counter = self.runtime.block_on(self.tpm.certify_counter(offer.nonce.0)).unwrap();
        SessionProof {
            version: codec::Version,
            request: self.request(),
            expires: offer.expires,
            secret: Blob::new(secret).unwrap(),
            counter_attest: blob(&counter.attest),
            counter_signature: blob(&counter.signature),
            report: self.report(PairingId::from(offer.session), offer.nonce),
        }
    }

    /// Sends a session's proof.
    pub(crate) fn open(&self, session: SessionId, proof: &SessionProof) -> Result<Progress, PairingRefusal> {
        self.wire.progress(&format!("/v1/pairings/{session}/session"), proof)
    }

    /// Sends a step of a session; without an approval and a confirmation it only asks.
    pub(crate) fn step(
        &self,
        session: SessionId,
        secret: &Blob<64>,
        approval: Option<GivenApproval>,
        confirmation: Option<&str>,
    ) -> Result<Progress, PairingRefusal> {
        let confirmation = confirmation.map(|text| Text::new(text).unwrap());
        let step = ApprovalStep { version: codec::Version, secret: secret.clone(), approval, confirmation };
        self.wire.progress(&format!("/v1/pairings/{session}/approval"), &step)
    }

    /// A session that an honest device has opened; and what it shows with each step.
    pub(crate) fn session(&self) -> (SessionId, Blob<64>, Progress) {
        let offer = self.ask(&self.request()).unwrap();
        let proof = self.session_proof(&offer);
        let progress = self.open(offer.session, &proof).unwrap();
        (offer.session, proof.secret, progress)
    }

    /// The same where the policy approves by itself.
    pub(crate) fn approved(&self) -> PairingApproved {
        self.session().2.approved()
    }

    /// Increments the counter, which ends the earlier epochs.
    pub(crate) fn move_on(&mut self) {
        self.runtime.block_on(self.tpm.revoke()).unwrap();
        self.counter = self.runtime.block_on(self.tpm.provision_counter()).unwrap();
    }

    /// An honest proof of an approved pairing.
    pub(crate) fn proof(&self, approved: &PairingApproved) -> PairingProof {
        self.proof_with(approved, self.activate(&approved.credential).unwrap())
    }

    /// The same, with whatever is taken for the credential's secret.
    pub(crate) fn proof_with(&self, approved: &PairingApproved, secret: Vec<u8>) -> PairingProof {
        let binding = Binding {
            counter: self.counter.clone(),
            lease_public: approved.lease_key.as_bytes().to_vec(),
            action_public: approved.authorization_key.as_bytes().to_vec(),
            policy_ref: approved.policy_ref.0,
        };
        let keys = self.runtime.block_on(self.tpm.create_keys(binding)).unwrap();
        let counter = self.runtime.block_on(self.tpm.certify_counter(approved.nonce.0)).unwrap();
        let session = session_of(approved);
        PairingProof {
            version: codec::Version,
            secret: Blob::new(secret).unwrap(),
            link_key: self.certified(&keys.link, approved),
            device_key: self.certified(&keys.device, approved),
            vault_key: self.certified(&keys.vault, approved),
            action_key: self.certified(&keys.action, approved),
            counter_attest: blob(&counter.attest),
            counter_signature: blob(&counter.signature),
            report: self.report(PairingId::from(session), approved.nonce),
            link_request: blob(&make(&self.tpm, &keys.link, self.counter.epoch, self.device().as_str())),
        }
    }

    /// A key with the attestation key's word that it is in this TPM.
    pub(crate) fn certified(&self, key: &KeyBlob, approved: &PairingApproved) -> CertifiedKey {
        let certified = self.runtime.block_on(self.tpm.certify(key, approved.nonce.0)).unwrap();
        CertifiedKey {
            public: blob(&key.public),
            attest: blob(&certified.attest),
            signature: blob(&certified.signature),
        }
    }

    /// Sends the proof of an approved pairing.
    pub(crate) fn prove(
        &self,
        approved: &PairingApproved,
        proof: &PairingProof,
    ) -> Result<PairingGrant, PairingRefusal> {
        self.wire.post(&format!("/v1/pairings/{}/proof", session_of(approved)), proof)
    }

    /// The epoch counter, as this TPM has it.
    pub(crate) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// Lets go of the TPM while `other` uses it, and comes back.
    pub(crate) fn step_aside<T>(&mut self, swtpm: &Swtpm, other: impl FnOnce() -> T) -> T {
        self.tpm.clone().close();
        let value = other();
        self.tpm = open(&swtpm.tcti());
        value
    }
}

impl Progress {
    pub(crate) fn waiting(self) -> Waiting {
        let Self::Waiting(waiting) = self else { panic!("it is approved") };
        *waiting
    }

    pub(crate) fn approved(self) -> PairingApproved {
        let Self::Approved(approved) = self else { panic!("it still waits") };
        *approved
    }
}

fn session_of(approved: &PairingApproved) -> SessionId {
    approved.statement.decode().unwrap().session
}

fn open(tcti: &str) -> Tpm {
    Tpm::start(Options::new(tcti.parse().unwrap())).unwrap()
}

fn blob<const MAX: usize>(bytes: &[u8]) -> Blob<MAX> {
    Blob::new(bytes.to_vec()).unwrap()
}

fn make(tpm: &Tpm, key: &KeyBlob, epoch: u64, common_name: &str) -> Vec<u8> {
    let PublicKey::Ecc { x, y, .. } = Public::unmarshal(&key.public).unwrap().key().clone() else {
        panic!("the link key is no elliptic curve key")
    };
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let key = LinkKey { tpm: tpm.clone(), key: key.clone(), epoch, point };
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.serialize_request(&key).unwrap().der().to_vec()
}

struct LinkKey {
    tpm: Tpm,
    key: KeyBlob,
    epoch: u64,
    /// Uncompressed (SEC 1, 2.3.3).
    point: Vec<u8>,
}

impl PublicKeyData for LinkKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for LinkKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let digest = Sha256::digest(message).into();
        let signature = self.tpm.sign_with_link_blocking(&self.key, self.epoch, digest).unwrap();
        Ok(Signature::from_slice(&signature).unwrap().to_der().as_bytes().to_vec())
    }
}

impl Impostor {
    fn report(&self, pairing: PairingId, nonce: Nonce) -> Report {
        let selection = PcrSelection::new(HashAlgorithm::Sha256, 0..=15).unwrap();
        let pcrs = self.runtime.block_on(self.tpm.read_pcrs(&selection)).unwrap();
        let evidence = Evidence {
            version: codec::Version,
            device: self.device(),
            pairing,
            epoch: Epoch(self.counter.epoch),
            nonce,
            since: None,
            boot_id: Text::lossy("00000000-0000-0000-0000-000000000000"),
            run: None,
            pcrs: pcrs
                .bank(HashAlgorithm::Sha256)
                .map(|(index, digest)| (index, PcrValue::new(digest.as_bytes()).unwrap()))
                .collect(),
            boot_log: Some(BootLog {
                digest: Digest::of(&self.boot_log),
                bytes: Some(Blob::new(self.boot_log.clone()).unwrap()),
            }),
            measure_log: None,
            nvpcrs: None,
            ima_log: None,
            host: Some(HostFacts::default()),
            health: None,
            audit: None,
        };
        let evidence = codec::encode(&evidence).unwrap();
        let quote = self.runtime.block_on(self.tpm.quote(&selection, Digest::of(&evidence).0)).unwrap();
        Report {
            version: codec::Version,
            evidence: Blob::new(evidence).unwrap(),
            attest: blob(&quote.attest),
            signature: blob(&quote.signature),
            nvpcrs: Vec::new(),
        }
    }
}
