//! Creates an approved pairing: counter, keys, proof, grant, storage.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pawl_evidence::lease::check_lease_key;
use pawl_evidence::tpm::Public;
use pawl_proto::codec::Version;
use pawl_proto::message::{
    CertifiedKey, PairingApproved, PairingGrant, PairingProof, Statement, TpmStructure, Verdict,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Channel, Epoch, PairingId, Topic, signed};
use pawl_tpm::{Attestation, Binding, Counter, KeyBlob};

use super::super::keep::judged;
use super::error::PairingError;
use super::parent;
use crate::backoff::Backoff;
use crate::core::common::NewKeys;
use crate::core::effect::{Call, Effect, Staged, TpmCommand, Write};
use crate::core::evidence::{self, Subject};
use crate::core::input::{CallAnswer, CallFailure, KeyCertificates, TpmAnswer, TpmFailure};
use crate::core::procedure::{Port, pick};
use crate::record::{Approved, PairingRecord, TpmNames};
use crate::telemetry::event::SecurityEvent;

/// A pairing to create. The old one has ended.
pub(in crate::core) struct Creation {
    pub(in crate::core) approved: Box<Approved>,
    /// The epoch of the new pairing must be above this one.
    pub(in crate::core) above: Epoch,
    /// Whether an earlier process may have created keys on this approval. Then this process ends their epoch first.
    pub(in crate::core) ends_epoch: bool,
    /// Receives the record when the control plane has granted the pairing. If this procedure then fails or is dropped, the core
    /// has to end the epoch.
    pub(in crate::core) granted: Rc<OnceCell<Arc<PairingRecord>>>,
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How long the control plane accepts the proof of an approved session.
const PATIENCE: Duration = Duration::from_secs(600);

/// Creates the approved pairing, and commits it on the disk.
///
/// # Errors
/// [`PairingError`]. After an error the approval cannot be used again.
pub(in crate::core) async fn run(port: Port, creation: Creation) -> Result<(), PairingError> {
    let Creation { approved, above, ends_epoch, granted } = creation;
    let counter = epoch_above(&port, above, ends_epoch).await?;
    let identity = port.tpm(TpmCommand::Identity, pick!(TpmAnswer::Identity)).await?;
    let statement = approved.answer.statement.decode()?;
    let new = NewPairing { port: &port, answer: &approved.answer, statement, counter };
    port.write(Write::BeginKeys(Epoch(new.counter.epoch))).await.map_err(PairingError::Store)?;
    let keys = new.create_keys().await?;
    let proof = new.proof(&keys).await?;
    let storage_key = &keys.0.storage_key;
    parent::check(&identity.ak_public, &proof.vault_key, approved.answer.nonce, storage_key)?;
    let grant = new.grant(Arc::new(proof)).await?;
    let verdict = new.check(&grant)?;
    let names = TpmNames {
        counter: new.counter.name.clone().try_into()?,
        attestation_key: approved.attestation_name.clone(),
        storage_key: storage_key.clone().try_into()?,
        endorsement_key: identity.ek_name.clone().try_into()?,
    };
    let record = Arc::new(PairingRecord::new(&grant, &approved.answer, names));
    let record = granted.get_or_init(|| record);
    let staged = Staged {
        record: PairingRecord::clone(record),
        keys: Arc::clone(&keys),
        verdict: grant.verdict.as_bytes().to_vec(),
    };
    port.write(Write::Stage(Box::new(staged))).await.map_err(PairingError::NotKept)?;
    port.write(Write::Commit).await.map_err(PairingError::NotKept)?;
    let PairingRecord { pairing, scopes, epoch, .. } = &**record;
    port.push(Effect::Security(SecurityEvent::PAIRED, Some(*epoch), format!("pairing {pairing}")));
    let paired = DeviceFact::Paired { pairing: *pairing, scopes: scopes.clone() };
    for fact in [paired, judged(&verdict)] {
        port.push(Effect::Record { epoch: Some(*epoch), moment: None, fact });
    }
    Ok(())
}

/// Returns the counter in an epoch that no pairing of this TPM has used. Increments it if necessary.
async fn epoch_above(port: &Port, above: Epoch, ends_epoch: bool) -> Result<Counter, PairingError> {
    let provision = || port.tpm(TpmCommand::ProvisionCounter, pick!(TpmAnswer::Provisioned));
    let counter = provision().await?;
    if Epoch(counter.epoch) > above && !ends_epoch {
        return Ok(counter);
    }
    let incremented = |answer| matches!(answer, TpmAnswer::Incremented).then_some(());
    port.tpm(TpmCommand::Increment, incremented).await?;
    let counter = provision().await?;
    if Epoch(counter.epoch) > above { Ok(counter) } else { Err(PairingError::Ahead(above)) }
}

/// The approval, and the counter that the new pairing is bound to.
struct NewPairing<'a> {
    port: &'a Port,
    answer: &'a PairingApproved,
    statement: Statement,
    counter: Counter,
}

impl NewPairing<'_> {
    fn id(&self) -> PairingId {
        PairingId::from(self.statement.session)
    }

    async fn create_keys(&self) -> Result<Arc<NewKeys>, PairingError> {
        let binding = Binding {
            counter: self.counter.clone(),
            lease_public: checked(&self.answer.lease_key)?,
            action_public: checked(&self.answer.authorization_key)?,
            policy_ref: self.answer.policy_ref.0,
        };
        let command = TpmCommand::CreateKeys(Box::new(binding));
        Ok(Arc::new(self.port.tpm(command, pick!(TpmAnswer::Created)).await?))
    }

    /// Returns everything that the control plane requires before it grants the pairing: the opened credential, a certify
    /// structure for every key, the certified counter, a first report, and the request for the link key's certificate.
    async fn proof(&self, keys: &Arc<NewKeys>) -> Result<PairingProof, PairingError> {
        let (port, nonce, device) = (self.port, self.answer.nonce, self.statement.device);
        let command = TpmCommand::Activate(self.answer.credential.clone());
        let secret = port.tpm(command, pick!(TpmAnswer::Activated)).await?;
        let counter = super::certify_counter(port, nonce).await?;
        let epoch = Epoch(self.counter.epoch);
        let subject = Subject { device, pairing: self.id(), epoch, nonce };
        let prepared = evidence::report(port, subject, None, &[]).await?;
        let certificates = self.certify(keys).await?;
        let request = TpmCommand::RequestLink { keys: Arc::clone(keys), device, epoch: epoch.0 };
        let link_request = port.tpm(request, pick!(TpmAnswer::LinkRequested)).await?;
        let KeyCertificates { link, device, vault, action } = certificates;
        Ok(PairingProof {
            version: Version,
            secret: secret.0.to_vec().try_into()?,
            link_key: certified(&keys.0.link, link)?,
            device_key: certified(&keys.0.device, device)?,
            vault_key: certified(&keys.0.vault, vault)?,
            action_key: certified(&keys.0.action, action)?,
            counter_attest: counter.attest.try_into()?,
            counter_signature: counter.signature.try_into()?,
            report: prepared.report,
            link_request: link_request.try_into()?,
        })
    }

    async fn certify(&self, keys: &Arc<NewKeys>) -> Result<KeyCertificates, TpmFailure> {
        let command = TpmCommand::CertifyKeys(Arc::clone(keys), self.answer.nonce);
        Ok(*self.port.tpm(command, pick!(TpmAnswer::KeysCertified)).await?)
    }

    /// Submits the proof until the control plane answers. The same proof again returns the same grant.
    async fn grant(&self, proof: Arc<PairingProof>) -> Result<Box<PairingGrant>, CallFailure> {
        let deadline = self.port.now().boot.saturating_add(PATIENCE);
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            let call = Call::Prove(self.statement.session, Arc::clone(&proof));
            match self.port.call(call, pick!(CallAnswer::Granted)).await {
                Err(error) if error.is_transient && self.port.now().boot < deadline => {
                    tracing::warn!(%error, "the control plane did not answer the proof of the pairing; retrying");
                    self.port.back_off(&mut backoff).await;
                }
                other => return other,
            }
        }
    }

    /// Checks that the grant matches the approval, and that one of its keys signed its first verdict. Returns that verdict.
    fn check(&self, grant: &PairingGrant) -> Result<Verdict, PairingError> {
        let device = self.statement.device;
        let expected = (self.id(), device, Epoch(self.counter.epoch));
        let approved = grant.scopes.iter().all(|scope| self.statement.scopes.contains(scope));
        if (grant.pairing, grant.device, grant.epoch) != expected || !approved {
            return Err(PairingError::OtherGrant);
        }
        let topic = Topic::new(device, Channel::Verdict);
        let verdict: Verdict = signed::verify(grant.verdict.as_bytes(), &topic, &grant.order_keys)?;
        if (verdict.pairing, verdict.device, verdict.epoch) != expected {
            return Err(PairingError::OtherGrant);
        }
        Ok(verdict)
    }
}

fn certified(key: &KeyBlob, attestation: Attestation) -> Result<CertifiedKey, PairingError> {
    Ok(CertifiedKey {
        public: key.public.clone().try_into()?,
        attest: attestation.attest.try_into()?,
        signature: attestation.signature.try_into()?,
    })
}

/// Returns a public key of the control plane, if it has the form with which the TPM can verify signatures.
fn checked(key: &TpmStructure) -> Result<Vec<u8>, PairingError> {
    check_lease_key(&Public::unmarshal(key.as_bytes())?)?;
    Ok(key.as_bytes().to_vec())
}
