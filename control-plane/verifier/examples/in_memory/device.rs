//! The device: swtpm through `pawl_tpm`.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pawl_evidence::lease::LeaseTerms;
use pawl_evidence::tpm::{NvPublic, PcrSelection};
use pawl_proto::message::{
    Cause, Certificate, CertifiedKey, Credential, Event, Evidence, Finding, HostFacts, Lease,
    PairingApproved, PairingOffer, PairingProof, PairingRequest, Receipt, Report, Scope, SessionProof,
    ShortText, SignedReceipt,
};
use pawl_proto::{Blob, DeviceId, Digest, Epoch, Nonce, PairingId, SessionId, Text};
use pawl_tpm::{Attestation, Binding, Counter, KeyBlob, LeaseGrant, Options, PairingKeys, Tpm};
use pawl_verifier::report::quoted_values;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A device with its own swtpm, whose state is in `_directory`.
pub(crate) struct Device {
    tpm: Tpm,
    counter: Counter,
    pub(crate) ek_public: Vec<u8>,
    ak_public: Vec<u8>,
    pairing: Option<PairingId>,
    swtpm: Child,
    _directory: tempfile::TempDir,
}

impl Drop for Device {
    fn drop(&mut self) {
        // This fails if swtpm has already exited.
        let _ = self.swtpm.kill();
        let _ = self.swtpm.wait();
    }
}

impl Device {
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("swtpm.sock");
        let swtpm = start_swtpm(directory.path(), &socket)?;
        let tpm = Tpm::start(Options::new(format!("swtpm:path={}", socket.display()).parse()?))?;
        let counter = tpm.provision_counter().await?;
        let identity = tpm.identity().await?;
        let (ek_public, ak_public) = (identity.ek_public, identity.ak_public);
        Ok(Self { tpm, counter, ek_public, ak_public, pairing: None, swtpm, _directory: directory })
    }

    pub(crate) fn id(&self) -> DeviceId {
        DeviceId::from_endorsement_key(&self.ek_public)
    }

    pub(crate) fn request(&self) -> Result<PairingRequest> {
        Ok(PairingRequest {
            version: Default::default(),
            device: self.id(),
            endorsement_key: self.ek_public.clone().try_into()?,
            endorsement_certificates: Vec::new(),
            attestation_key: self.ak_public.clone().try_into()?,
            counter: self.counter.public.clone().try_into()?,
            epoch: Epoch(self.counter.epoch),
            host: HostFacts::default(),
            nonce: Nonce([1; 32]),
            origin: ShortText::lossy("an example"),
            finding: Finding::BothNew,
            former: None,
            replaces: None,
            attended: false,
            reason: ShortText::lossy("first installation"),
            scopes: vec![Scope::lossy("telemetry")],
            audiences: Vec::new(),
        })
    }

    pub(crate) async fn session_proof(
        &mut self,
        request: &PairingRequest,
        offer: &PairingOffer,
    ) -> Result<SessionProof> {
        self.pairing = Some(PairingId::from(offer.session));
        let counter = self.tpm.certify_counter(offer.nonce.0).await?;
        Ok(SessionProof {
            version: Default::default(),
            request: request.clone(),
            expires: offer.expires,
            secret: self.activate(&offer.credential).await?,
            counter_attest: counter.attest.try_into()?,
            counter_signature: counter.signature.try_into()?,
            report: self.report(offer.nonce, None).await?,
        })
    }

    /// Creates the keys of the pairing and proves that they are in this TPM.
    pub(crate) async fn pairing_proof(
        &mut self,
        id: SessionId,
        approved: &PairingApproved,
    ) -> Result<(PairingKeys, PairingProof)> {
        self.pairing = Some(PairingId::from(id));
        let binding = Binding {
            counter: self.counter.clone(),
            lease_public: approved.lease_key.as_bytes().to_vec(),
            action_public: approved.authorization_key.as_bytes().to_vec(),
            policy_ref: approved.policy_ref.0,
        };
        let keys = self.tpm.create_keys(binding).await?;
        let counter = self.tpm.certify_counter(approved.nonce.0).await?;
        let proof = PairingProof {
            version: Default::default(),
            secret: self.activate(&approved.credential).await?,
            link_key: self.certify(&keys.link, approved.nonce).await?,
            device_key: self.certify(&keys.device, approved.nonce).await?,
            vault_key: self.certify(&keys.vault, approved.nonce).await?,
            action_key: self.certify(&keys.action, approved.nonce).await?,
            counter_attest: counter.attest.try_into()?,
            counter_signature: counter.signature.try_into()?,
            report: self.report(approved.nonce, None).await?,
            // This control plane has no TLS.
            link_request: Certificate::default(),
        };
        Ok((keys, proof))
    }

    /// Returns a report with the nonce of the last verdict. It builds on the evidence with the digest `since`; `None` makes
    /// it a whole report.
    pub(crate) async fn report(&self, nonce: Nonce, since: Option<Digest>) -> Result<Report> {
        let selection = PcrSelection::lease_default();
        let pcrs = self.tpm.read_pcrs(&selection).await?;
        let evidence = Evidence {
            version: Default::default(),
            device: self.id(),
            pairing: self.pairing.ok_or("not paired")?,
            epoch: Epoch(self.counter.epoch),
            nonce,
            since,
            boot_id: Text::lossy("00000000-0000-4000-8000-000000000000"),
            run: Some(Nonce([2; 32])),
            pcrs: if since.is_none() { quoted_values(&pcrs) } else { Default::default() },
            boot_log: None,
            measure_log: None,
            nvpcrs: None,
            ima_log: None,
            host: None,
            health: None,
            audit: None,
        };
        let evidence = pawl_proto::encode(&evidence)?;
        let Attestation { attest, signature } = self.tpm.quote(&selection, Digest::of(&evidence).0).await?;
        Ok(Report {
            version: Default::default(),
            evidence: evidence.try_into()?,
            attest: attest.try_into()?,
            signature: signature.try_into()?,
            nvpcrs: Vec::new(),
        })
    }

    /// Opens the vault under a lease, which the TPM checks.
    pub(crate) async fn unseal(
        &self,
        keys: &PairingKeys,
        approved: &PairingApproved,
        lease: &Lease,
    ) -> Result<()> {
        let terms = LeaseTerms {
            selection: PcrSelection::lease_default(),
            pcr_digest: lease.pcr_digest.0,
            counter_name: NvPublic::unmarshal(&self.counter.public)?.name(),
            epoch: self.counter.epoch,
            reset_count_max: lease.reset_count,
            clock_before: lease.clock,
        };
        let grant = LeaseGrant {
            lease_public: approved.lease_key.as_bytes().to_vec(),
            policy_ref: approved.policy_ref.0,
            terms,
            signature: lease.signature.0,
        };
        self.tpm.unseal(&keys.vault, &grant).await?;
        Ok(())
    }

    /// Carries out a revocation and returns the receipt.
    pub(crate) async fn wipe(&mut self, event: &Event) -> Result<SignedReceipt> {
        self.tpm.revoke().await?;
        let now = self.tpm.counter().await?.ok_or("the TPM has no epoch counter")?;
        let receipt = Receipt {
            version: Default::default(),
            device: self.id(),
            pairing: self.pairing.ok_or("not paired")?,
            ended: event.epoch,
            epoch: Epoch(now.epoch),
            event: Some(event.id),
            cause: Cause::Revoke,
            reason: event.reason.clone(),
            time: 0,
        };
        let receipt = pawl_proto::encode(&receipt)?;
        let Attestation { attest, signature } = self.tpm.certify_counter(Digest::of(&receipt).0).await?;
        Ok(SignedReceipt {
            version: Default::default(),
            receipt: receipt.try_into()?,
            attest: attest.try_into()?,
            signature: signature.try_into()?,
        })
    }

    async fn activate(&self, credential: &Credential) -> Result<Blob<64>> {
        Ok(self.tpm.activate_credential(credential.clone()).await?.to_vec().try_into()?)
    }

    async fn certify(&self, key: &KeyBlob, nonce: Nonce) -> Result<CertifiedKey> {
        let Attestation { attest, signature } = self.tpm.certify(key, nonce.0).await?;
        Ok(CertifiedKey {
            public: key.public.clone().try_into()?,
            attest: attest.try_into()?,
            signature: signature.try_into()?,
        })
    }
}

fn start_swtpm(directory: &Path, socket: &Path) -> Result<Child> {
    let swtpm = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "startup-clear,not-need-init"])
        .arg("--tpmstate")
        .arg(format!("dir={}", directory.display()))
        .arg("--server")
        .arg(format!("type=unixio,path={}", socket.display()))
        .arg("--ctrl")
        .arg(format!("type=unixio,path={}.ctrl", socket.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !socket.exists() {
        if Instant::now() > deadline {
            return Err("swtpm opens no socket".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(swtpm)
}
