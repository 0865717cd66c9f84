//! Verdicts: the one kind of message that renews a device's entitlement.

use pawl_evidence::lease::{LeaseTerms, to_be_signed};
use pawl_evidence::tpm::{ClockInfo, HashAlgorithm, NvPublic, PcrSelection, PcrValues};
use pawl_proto::bounded::SignatureBytes;
use pawl_proto::codec::EncodeError;
use pawl_proto::message::{Appraisal, Lease, ShortText, Standing, Verdict};
use pawl_proto::{Channel, Digest, Nonce, Topic, limits};

use crate::control_plane::ControlPlane;
use crate::record::{Fact, LeaseSigned};
use crate::store::{Pairing, StoreError, Tx, VerdictRow};

/// What a verdict is to say; numbers, nonce and signatures are added by [`Draft::issue`].
pub(crate) struct Draft {
    /// SHA-256 of the evidence that is answered.
    pub(crate) answers: Option<Digest>,
    /// The operator's decision.
    pub(crate) standing: Standing,
    /// The judgement, if something is judged.
    pub(crate) result: Option<Appraisal>,
    /// Why.
    pub(crate) reasons: Vec<String>,
    /// The next report is to be whole.
    pub(crate) whole: bool,
    /// Seconds until it is due.
    pub(crate) interval: u32,
    /// The state to which a lease is bound, where one is due.
    pub(crate) lease: Option<Appraised>,
}

/// A state that was just appraised and found good enough.
pub(crate) struct Appraised {
    /// The TPM's clock when it quoted that state.
    pub(crate) clock: ClockInfo,
    /// The quoted PCRs.
    pub(crate) pcrs: PcrValues,
}

impl Draft {
    /// A verdict that judges nothing and asks for a report at once.
    pub(crate) fn challenge(standing: Standing, whole: bool) -> Self {
        Self { answers: None, standing, result: None, reasons: Vec::new(), whole, interval: 0, lease: None }
    }

    /// Numbers, signs, stores and records the verdict, and gives the signed message. It leaves by
    /// the outbox once the transaction is committed, unless the caller delivers it.
    pub(crate) fn issue(
        self,
        plane: &ControlPlane,
        tx: &Tx<'_>,
        pairing: &Pairing,
    ) -> Result<(Verdict, Vec<u8>), IssueError> {
        let now = plane.clock.now();
        let sequence = tx.next_verdict_sequence(pairing.device)?;
        let lease = match &self.lease {
            Some(appraised) => {
                let (lease, digest) = sign_lease(plane, pairing, appraised)?;
                tx.record(pairing.device, now, lease_fact(&lease, digest, sequence, pairing))?;
                Some(lease)
            }
            None => None,
        };
        let lease_until = lease.as_ref().map(|_| now + u64::from(plane.config.lease.seconds));
        let verdict = Verdict {
            version: Default::default(),
            device: pairing.device,
            pairing: pairing.id,
            epoch: pairing.epoch,
            sequence,
            time: now,
            answers: self.answers,
            standing: self.standing,
            result: self.result,
            reasons: self
                .reasons
                .iter()
                .take(limits::REASONS)
                .map(|reason| ShortText::lossy(reason))
                .collect(),
            nonce: Nonce(crate::random::bytes()),
            whole: self.whole,
            interval: self.interval,
            records: tx.device_chain(pairing.device)?.map_or(0, |chain| chain.sequence),
            lease,
        };
        tx.set_nonce(pairing.id, verdict.nonce)?;
        let topic = Topic::new(pairing.device, Channel::Verdict);
        let message = pawl_proto::signed::sign(&verdict, &topic, &plane.keys.signing.order)?;
        let row = VerdictRow { verdict, lease_until };
        tx.add_verdict(&row, &message)?;
        Ok((row.verdict, message))
    }
}

/// Signs what the TPM will check before it lets the device key and the vault be used. Gives what was
/// signed too.
fn sign_lease(
    plane: &ControlPlane,
    pairing: &Pairing,
    appraised: &Appraised,
) -> Result<(Lease, Digest), IssueError> {
    let policy = &plane.config.lease;
    let selection = PcrSelection::new(HashAlgorithm::Sha256, policy.pcrs.iter().copied())
        .map_err(|_| IssueError::Lease)?;
    let counter = NvPublic::unmarshal(&pairing.counter).map_err(|_| IssueError::Lease)?;
    let terms = LeaseTerms {
        pcr_digest: appraised.pcrs.policy_digest(&selection).map_err(|_| IssueError::Lease)?,
        selection,
        counter_name: counter.name(),
        epoch: pairing.epoch.0,
        reset_count_max: appraised.clock.reset_count.saturating_add(policy.resets),
        clock_before: appraised.clock.clock_ms.saturating_add(u64::from(policy.seconds) * 1000),
    };
    let signature = plane
        .keys
        .signing
        .lease
        .sign(&terms, pairing.policy_ref.as_bytes())
        .map_err(|_| IssueError::Lease)?;
    let lease = Lease {
        pcrs: policy.pcrs.clone(),
        pcr_digest: Digest(terms.pcr_digest),
        reset_count: terms.reset_count_max,
        clock: terms.clock_before,
        signature: SignatureBytes(signature),
    };
    let digest = to_be_signed(&terms.approved_policy(), pairing.policy_ref.as_bytes());
    Ok((lease, Digest(digest)))
}

fn lease_fact(lease: &Lease, digest: Digest, sequence: u64, pairing: &Pairing) -> Fact {
    Fact::Lease {
        sequence,
        epoch: pairing.epoch.0,
        reset_count: lease.reset_count,
        clock: lease.clock,
        pcr_digest: lease.pcr_digest.to_string(),
        signed: Some(LeaseSigned {
            pcrs: lease.pcrs.clone(),
            digest: digest.to_string(),
            signature: lease.signature.to_string(),
        }),
    }
}

/// A verdict that could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The terms of a lease cannot be made: a PCR that it names was not quoted, or the stored
    /// counter is damaged.
    #[error("a lease cannot be made from this report")]
    Lease,
}
