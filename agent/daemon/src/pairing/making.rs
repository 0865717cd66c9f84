//! What follows an approval: the counter, the keys, the proof, the grant.

use std::sync::Arc;
use std::time::Duration;

use pawl_evidence::lease::check_lease_key;
use pawl_evidence::tpm::Public;
use pawl_proto::message::{PairingApproved, PairingGrant, PairingProof, Statement, TpmStructure, Verdict};
use pawl_proto::record::DeviceFact;
use pawl_proto::signed;
use pawl_proto::{Channel, Epoch, PairingId, Topic};
use pawl_tpm::{Binding, Counter};
use tokio::time::{Instant, sleep};

use super::{PairingError, parent};
use crate::audit;
use crate::backoff::Backoff;
use crate::control_plane::CallError;
use crate::fail_point;
use crate::shared::Shared;
use crate::store::{Approved, PairingKeys, PairingRecord, StoreError, TpmNames};
use crate::telemetry::event::SecurityEvent;

/// Makes the pairing that was approved, and leaves it in the store. The pairing before it has ended
/// already.
///
/// `ends_epoch`: an earlier process may have made keys on this approval. Their epoch is ended first.
///
/// # Errors
/// [`PairingError`]; the approval is used up then.
pub(crate) async fn make(
    shared: &Arc<Shared>,
    approved: &Approved,
    ends_epoch: bool,
) -> Result<(), PairingError> {
    let outcome = attempt(shared, approved, ends_epoch).await;
    if outcome.is_err()
        && let Err(error) = shared.store.discard_unfinished()
    {
        tracing::warn!(%error, "the unfinished pairing stays on the disk; the next start goes on with it");
    }
    outcome
}

async fn attempt(shared: &Arc<Shared>, approved: &Approved, ends_epoch: bool) -> Result<(), PairingError> {
    let counter = epoch_above(shared, approved, ends_epoch).await?;
    fail_point::reach("re-pair.wiped");
    let statement = approved.answer.statement.decode()?;
    let making = Making { answer: &approved.answer, statement, counter };
    let (keys, storage_key) = making.create_keys(shared).await?;
    fail_point::reach("pair.keys-created");
    let proof = making.proof(shared, &keys).await?;
    let identity = shared.identity().await?;
    parent::check(&identity.ak_public, &proof.vault_key, approved.answer.nonce, &storage_key)?;
    fail_point::reach("pair.activated");
    let grant = making.grant(shared, &proof).await?;
    fail_point::reach("pair.granted");
    let verdict = making.check(&grant)?;
    let record = PairingRecord::new(
        &grant,
        &approved.answer,
        TpmNames {
            counter: making.counter.name.clone().try_into()?,
            attestation_key: approved.attestation_name.clone(),
            storage_key: storage_key.try_into()?,
            endorsement_key: identity.ek_name.clone().try_into()?,
        },
    );
    if let Err(error) = keep(shared, &record, &keys, grant.verdict.as_bytes()) {
        return Err(PairingError::NotKept { error, record: Box::new(record) });
    }
    let PairingRecord { pairing, scopes, epoch, .. } = record;
    SecurityEvent::PAIRED.log(Some(epoch), format_args!("pairing {pairing}"));
    shared.audit.record(Some(epoch), DeviceFact::Paired { pairing, scopes });
    shared.audit.record(Some(epoch), audit::judged(&verdict));
    Ok(())
}

/// Puts the granted pairing on the disk.
fn keep(
    shared: &Shared,
    record: &PairingRecord,
    keys: &PairingKeys,
    verdict: &[u8],
) -> Result<(), StoreError> {
    shared.store.stage(record, keys, verdict)?;
    fail_point::reach("pair.staged");
    shared.store.commit()?;
    fail_point::reach("pair.committed");
    Ok(())
}

/// The counter, in an epoch in which no pairing of this TPM has lived.
async fn epoch_above(
    shared: &Shared,
    approved: &Approved,
    ends_epoch: bool,
) -> Result<Counter, PairingError> {
    let ended = shared.store.pairing().ok().flatten();
    let ended = ended.filter(|record| record.attestation_name == approved.attestation_name);
    let above = approved.answer.above.max(ended.map_or(Epoch(0), |record| record.epoch));
    let counter = shared.tpm.provision_counter().await?;
    if Epoch(counter.epoch) > above && !ends_epoch {
        return Ok(counter);
    }
    shared.tpm.revoke().await?;
    let counter = shared.tpm.counter().await?.ok_or(PairingError::Counter)?;
    if Epoch(counter.epoch) > above { Ok(counter) } else { Err(PairingError::Ahead(above)) }
}

/// A pairing in the making: what was approved, and the counter that it is bound to.
pub(super) struct Making<'a> {
    pub(super) answer: &'a PairingApproved,
    pub(super) statement: Statement,
    pub(super) counter: Counter,
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// The control plane takes the proof of an approved session for so long.
const PATIENCE: Duration = Duration::from_secs(600);

impl Making<'_> {
    pub(super) fn pairing(&self) -> PairingId {
        PairingId::from(self.statement.session)
    }

    /// Makes the keys; and the name of their parent, as the bus told it.
    async fn create_keys(&self, shared: &Shared) -> Result<(PairingKeys, Vec<u8>), PairingError> {
        let binding = Binding {
            counter: self.counter.clone(),
            lease_public: checked(&self.answer.lease_key)?,
            action_public: checked(&self.answer.authorization_key)?,
            policy_ref: self.answer.policy_ref.0,
        };
        let made = shared.tpm.create_keys(binding).await?;
        let pawl_tpm::PairingKeys { link, device, vault, action, storage_key } = made;
        Ok((PairingKeys { link, device, vault, action }, storage_key))
    }

    /// Hands in the proof until it is answered: the same one gets the same grant.
    async fn grant(&self, shared: &Shared, proof: &PairingProof) -> Result<PairingGrant, CallError> {
        let over = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            match shared.control_plane.prove(self.statement.session, proof).await {
                Err(error) if error.is_transient() && Instant::now() < over => {
                    tracing::warn!(%error, "the grant waits for the control plane");
                    sleep(backoff.delay()).await;
                }
                other => return other,
            }
        }
    }

    /// The grant must be what was approved, and its first verdict signed by a key that it pins; that
    /// verdict.
    fn check(&self, grant: &PairingGrant) -> Result<Verdict, PairingError> {
        let device = self.statement.device;
        let expected = (self.pairing(), device, Epoch(self.counter.epoch));
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

/// A key of the control plane, if the TPM can verify with it as it is meant.
fn checked(key: &TpmStructure) -> Result<Vec<u8>, PairingError> {
    check_lease_key(&Public::unmarshal(key.as_bytes())?)?;
    Ok(key.as_bytes().to_vec())
}
