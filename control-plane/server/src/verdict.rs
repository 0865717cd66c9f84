//! Verdicts: the one kind of message that renews a device's entitlement.

use std::collections::BTreeMap;

use pawl_proto::codec::EncodeError;
use pawl_proto::message::{Appraisal, Area, ShortText, Standing, Verdict};
use pawl_proto::{Channel, Digest, Nonce, Topic, limits};

use crate::control_plane::ControlPlane;
use crate::entitlement::entitlement;
use crate::lease::{self, Appraised};
use crate::store::{Device, Pairing, StoreError, Tx, VerdictRow};

/// What a verdict is to say; numbers, nonce and signatures are added by [`Draft::issue`].
pub(crate) struct Draft {
    /// SHA-256 of the evidence that is answered.
    pub(crate) answers: Option<Digest>,
    /// The operator's decision.
    pub(crate) standing: Standing,
    /// The judgement, if something is judged.
    pub(crate) result: Option<Appraisal>,
    /// The judgement on each area.
    pub(crate) areas: BTreeMap<Area, Appraisal>,
    /// The policy by which it was judged.
    pub(crate) policy: Option<Digest>,
    /// Why.
    pub(crate) reasons: Vec<String>,
    /// The next report is to be whole.
    pub(crate) whole: bool,
    /// Seconds until it is due.
    pub(crate) interval: u32,
    /// The state to which a lease is bound, where one is due.
    pub(crate) lease: Option<Appraised>,
}

impl Draft {
    /// A verdict that judges nothing and asks for a report at once.
    pub(crate) fn challenge(standing: Standing, whole: bool) -> Self {
        Self {
            answers: None,
            standing,
            result: None,
            areas: BTreeMap::new(),
            policy: None,
            reasons: Vec::new(),
            whole,
            interval: 0,
            lease: None,
        }
    }

    /// The same for a device as it stands: one that is suspended is told again why.
    pub(crate) fn ask(device: &Device, whole: bool) -> Self {
        let reason = device.standing_reason.clone().filter(|_| device.standing == Standing::Suspended);
        Self { reasons: reason.into_iter().collect(), ..Self::challenge(device.standing, whole) }
    }

    /// Adds a reason to a judgement, first of all, which may make it worse. What is contraindicated brings
    /// no lease.
    pub(crate) fn weigh(&mut self, area: Area, weight: Appraisal, reason: String) {
        self.result = self.result.map(|result| result.max(weight));
        let on_area = self.areas.entry(area).or_insert(weight);
        *on_area = weight.max(*on_area);
        self.reasons.insert(0, format!("{area}: {reason}"));
        if weight == Appraisal::Contraindicated {
            self.lease = None;
        }
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
        let leases = match &self.lease {
            Some(appraised) => Some(lease::grant(plane, tx, pairing, appraised, sequence)?),
            None => None,
        };
        let (lease, ahead) = leases.map_or((None, Vec::new()), |leases| (Some(leases.present), leases.ahead));
        let lease_until = lease.as_ref().map(|_| now + u64::from(plane.config.lease.seconds));
        let verdict = Verdict {
            version: Default::default(),
            device: pairing.device,
            pairing: pairing.id,
            epoch: pairing.epoch,
            sequence,
            time: now,
            answers: self.answers,
            entitlement: entitlement(plane, tx, pairing, self.standing)?,
            result: self.result,
            areas: self.areas,
            reasons: self
                .reasons
                .iter()
                .take(limits::REASONS)
                .map(|reason| ShortText::lossy(reason))
                .collect(),
            policy: self.policy,
            nonce: Nonce(crate::random::bytes()),
            whole: self.whole,
            interval: self.interval,
            records: tx.device_chain(pairing.device)?.map_or(0, |chain| chain.sequence),
            lease,
            ahead,
        };
        tx.set_nonce(pairing.id, verdict.nonce)?;
        let topic = Topic::new(pairing.device, Channel::Verdict);
        let message = pawl_proto::signed::sign(&verdict, &topic, &plane.keys.signing.order)?;
        let row = VerdictRow { verdict, lease_until };
        tx.add_verdict(&row, &message)?;
        Ok((row.verdict, message))
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
