//! Signs verdicts: the messages that renew a device's entitlement.

use std::collections::BTreeMap;

use p256::ecdsa::SigningKey;
use pawl_proto::codec::EncodeError;
use pawl_proto::message::{Area, Entitlement, ShortText, Standing, TrustTier, Verdict};
use pawl_proto::{Channel, Digest, Nonce, Topic, limits};

use crate::lease::{LeaseBasis, LeaseError, LeaseIssuer};
use crate::pairing::Pairing;
use crate::record::Fact;

/// The content of a verdict; [`VerdictDraft::issue`] adds sequence, nonce and signatures.
#[derive(Clone, Debug)]
pub struct VerdictDraft {
    /// SHA-256 of the evidence that it answers.
    pub answers: Option<Digest>,
    /// The device's standing, which the operator sets.
    pub standing: Standing,
    /// The trust tier, if evidence was appraised.
    pub result: Option<TrustTier>,
    /// The trust tier of each area.
    pub areas: BTreeMap<Area, TrustTier>,
    /// SHA-256 of the policy by which the evidence was appraised.
    pub policy: Option<Digest>,
    /// The reasons for the result.
    pub reasons: Vec<String>,
    /// Whether the next report must be whole.
    pub whole: bool,
    /// Seconds until the next report is due.
    pub interval: u32,
    /// The state for which leases are signed, if any are.
    pub lease: Option<LeaseBasis>,
}

/// The fields of a verdict that its draft does not contain.
pub struct VerdictContext<'a> {
    /// The pairing.
    pub pairing: &'a Pairing,
    /// The device's current entitlement.
    pub entitlement: Entitlement,
    /// A sequence above that of every earlier verdict of the device.
    pub sequence: u64,
    /// The sequence of the device's last record that the control plane has.
    pub records: u64,
    /// The handles of the NvPCRs that the device's policy names.
    pub nvpcrs: Vec<u32>,
    /// The random nonce of the next report.
    pub nonce: Nonce,
    /// Unix time, seconds.
    pub now: u64,
    /// Signs the leases.
    pub leases: LeaseIssuer<'a>,
    /// The key that signs the verdict.
    pub order_key: &'a SigningKey,
}

/// A signed verdict.
#[derive(Clone, Debug)]
pub struct IssuedVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The signed message.
    pub message: Vec<u8>,
    /// When its lease ends by the wall clock, Unix seconds. This is an estimate: the TPM's clock decides.
    pub lease_until: Option<u64>,
    /// The records of its leases.
    pub facts: Vec<Fact>,
}

impl VerdictDraft {
    /// Returns a verdict without an attestation result, which asks for a report at once.
    #[must_use]
    pub fn challenge(standing: Standing, whole: bool) -> Self {
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

    /// Returns the same with the reason of a suspension. `reason` is left out unless the device is suspended.
    #[must_use]
    pub fn ask(standing: Standing, reason: Option<&str>, whole: bool) -> Self {
        let reason = reason.filter(|_| standing == Standing::Suspended);
        Self { reasons: reason.map(str::to_owned).into_iter().collect(), ..Self::challenge(standing, whole) }
    }

    /// Adds a reason at the front, which may lower the trust tier. A contraindicated device gets no lease.
    pub fn weigh(&mut self, area: Area, weight: TrustTier, reason: String) {
        self.result = self.result.map(|result| result.max(weight));
        let on_area = self.areas.entry(area).or_insert(weight);
        *on_area = weight.max(*on_area);
        self.reasons.insert(0, format!("{area}: {reason}"));
        if weight == TrustTier::Contraindicated {
            self.lease = None;
        }
    }

    /// Signs the verdict and its leases.
    ///
    /// # Errors
    /// [`IssueError`]
    pub fn issue(self, context: VerdictContext<'_>) -> Result<IssuedVerdict, IssueError> {
        let VerdictContext { pairing, sequence, now, leases: issuer, .. } = context;
        let mut facts = Vec::new();
        let (mut lease, mut ahead) = (None, Vec::new());
        if let Some(basis) = &self.lease {
            let leases = issuer.issue(pairing, basis, sequence)?;
            (lease, ahead, facts) = (Some(leases.present), leases.ahead, leases.facts);
        }
        let lease_until = lease.as_ref().map(|_| now.saturating_add(u64::from(issuer.policy.seconds)));
        let verdict = Verdict {
            version: Default::default(),
            device: pairing.device,
            pairing: pairing.id,
            epoch: pairing.epoch,
            sequence,
            time: now,
            answers: self.answers,
            entitlement: context.entitlement,
            result: self.result,
            areas: self.areas,
            reasons: self
                .reasons
                .iter()
                .take(limits::REASONS)
                .map(|reason| ShortText::lossy(reason))
                .collect(),
            policy: self.policy,
            nonce: context.nonce,
            whole: self.whole,
            nvpcrs: context.nvpcrs,
            interval: self.interval,
            records: context.records,
            lease,
            ahead,
        };
        let topic = Topic::new(pairing.device, Channel::Verdict);
        let message = pawl_proto::signed::sign(&verdict, &topic, context.order_key)?;
        Ok(IssuedVerdict { verdict, message, lease_until, facts })
    }
}

/// Why a verdict could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The message cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A lease cannot be made.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}
