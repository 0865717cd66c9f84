//! Signs leases: the terms under which a device's TPM uses the device key and opens the vault.

use pawl_evidence::appraise::BootState as ReferenceState;
use pawl_evidence::lease::{LeaseKey, LeaseTerms, to_be_signed};
use pawl_evidence::tpm::{ClockInfo, NvPublic, PcrSelection, PcrValues};
use pawl_proto::bounded::SignatureBytes;
use pawl_proto::message::Lease;
use pawl_proto::{Digest, limits};
use serde::Deserialize;

use crate::boot_state::AcceptedState;
use crate::boot_state::LeasePcrs;
use crate::pairing::Pairing;
use crate::record::{Fact, LeaseSigned};
use crate::report::{bank_hash, pcr_values};

/// The PCRs and the duration of leases: `[lease]` of the reference control plane's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeasePolicy {
    /// The duration of a lease in seconds of the TPM's clock, which stands still while power is off.
    pub seconds: u32,
    /// The number of TPM resets that a lease survives.
    pub resets: u32,
    /// The PCRs that a lease names. They must have the appraised values.
    pub pcrs: Vec<u8>,
    /// The duration of a lease for a future boot state, in seconds of the TPM's clock. Such a lease survives one more
    /// reset: the boot into that state.
    pub ahead_seconds: u32,
}

impl Default for LeasePolicy {
    fn default() -> Self {
        // IMA extends PCR 10 at any time, and systemd extends PCR 11 while services start. Neither has a stable value.
        Self { seconds: 86_400, resets: 3, pcrs: vec![0, 2, 4, 7, 8, 9, 12, 14], ahead_seconds: 604_800 }
    }
}

/// An appraised state for which a lease may be signed.
#[derive(Clone, Debug)]
pub struct LeaseBasis {
    /// The TPM's clock when it quoted that state.
    pub clock: ClockInfo,
    /// The quoted PCRs.
    pub pcrs: PcrValues,
    /// The PCRs that a lease of this device names.
    pub lease_pcrs: LeasePcrs,
}

/// The leases of one verdict.
#[derive(Clone, Debug)]
pub struct Leases {
    /// The lease for the appraised state.
    pub present: Lease,
    /// The leases for future states that are approved in advance.
    pub ahead: Vec<Lease>,
    /// The records of the leases.
    pub facts: Vec<Fact>,
}

/// Signs leases.
#[derive(Clone, Copy)]
pub struct LeaseIssuer<'a> {
    /// The lease key.
    pub key: &'a LeaseKey,
    /// The operator's lease policy.
    pub policy: &'a LeasePolicy,
    /// The accepted boot states of the device, oldest first. Each one that is approved in advance gets a lease.
    pub accepted: &'a [AcceptedState],
    /// The leases for future states that the device holds: those of its last verdict with a result.
    pub held: &'a [Lease],
}

impl LeaseIssuer<'_> {
    /// Signs the leases of the verdict with this sequence, for a device in the appraised state.
    ///
    /// # Errors
    /// [`LeaseError`]
    pub fn issue(&self, pairing: &Pairing, basis: &LeaseBasis, sequence: u64) -> Result<Leases, LeaseError> {
        let mut signer = Signer {
            issuer: *self,
            pairing,
            lease_pcrs: &basis.lease_pcrs,
            clock: basis.clock,
            sequence,
            facts: Vec::new(),
        };
        let terms = Duration { resets: self.policy.resets, seconds: self.policy.seconds };
        let present = signer.sign(&basis.pcrs, basis.lease_pcrs.indices(), terms, None)?;
        let ahead = signer.ahead(present.pcr_digest)?;
        Ok(Leases { present, ahead, facts: signer.facts })
    }
}

/// The terms of a lease cannot be computed: a PCR that it names was not quoted, or the stored counter is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot compute a lease from this report: a PCR was not quoted, or the stored counter is damaged")]
pub struct LeaseError;

struct Signer<'a> {
    issuer: LeaseIssuer<'a>,
    pairing: &'a Pairing,
    lease_pcrs: &'a LeasePcrs,
    /// The TPM's clock, at which a lease begins.
    clock: ClockInfo,
    /// The sequence of the verdict.
    sequence: u64,
    facts: Vec<Fact>,
}

/// How long a lease lasts from now on.
#[derive(Clone, Copy)]
struct Duration {
    resets: u32,
    seconds: u32,
}

impl Duration {
    fn milliseconds(self) -> u64 {
        u64::from(self.seconds) * 1000
    }
}

impl Signer<'_> {
    /// Returns the leases for the newest boot states that are approved in advance. A lease that the device holds is sent again
    /// until half of its duration has passed, so that not every report costs a signature and a record per state.
    fn ahead(&mut self, present: Digest) -> Result<Vec<Lease>, LeaseError> {
        let LeaseIssuer { policy, accepted, held, .. } = self.issuer;
        // The boot into that state is one more reset.
        let duration = Duration { resets: policy.resets.saturating_add(1), seconds: policy.ahead_seconds };
        let coming = accepted.iter().filter(|state| state.ahead);
        let mut leases: Vec<Lease> = Vec::new();
        for AcceptedState { name, pcrs, .. } in coming.rev().take(limits::LEASES_AHEAD) {
            let indices: Vec<u8> = pcrs.keys().copied().collect();
            let pcrs = pcr_values(pcrs).map_err(|_| LeaseError)?;
            let state = ReferenceState { name: name.clone(), pcrs: pcrs.clone() };
            // Since the approval, the operator may have configured other PCRs, or the device may quote another bank.
            if !state.differences(&self.lease_pcrs.selection(), &pcrs).is_empty() {
                continue;
            }
            let Ok(wanted) = pcrs.policy_digest(&self.selection(&indices)?) else { continue };
            if wanted == present.0 {
                continue;
            }
            let young = held
                .iter()
                .find(|lease| lease.pcr_digest.0 == wanted && self.is_young(lease, &indices, duration));
            leases.push(match young {
                Some(lease) => lease.clone(),
                None => self.sign(&pcrs, &indices, duration, Some(name.clone()))?,
            });
        }
        Ok(leases)
    }

    fn is_young(&self, lease: &Lease, indices: &[u8], duration: Duration) -> bool {
        let half = self.clock.clock_ms.saturating_add(duration.milliseconds() / 2);
        lease.bank == self.lease_pcrs.bank()
            && lease.pcrs == indices
            && lease.clock > half
            && lease.reset_count >= self.clock.reset_count.saturating_add(duration.resets)
    }

    /// Signs a lease that names these PCRs of a state, and records it. `ahead` is the name of a future state.
    fn sign(
        &mut self,
        pcrs: &PcrValues,
        indices: &[u8],
        duration: Duration,
        ahead: Option<String>,
    ) -> Result<Lease, LeaseError> {
        let selection = self.selection(indices)?;
        let counter = NvPublic::unmarshal(&self.pairing.counter).map_err(|_| LeaseError)?;
        let terms = LeaseTerms {
            pcr_digest: pcrs.policy_digest(&selection).map_err(|_| LeaseError)?,
            selection,
            counter_name: counter.name(),
            epoch: self.pairing.epoch.0,
            reset_count_max: self.clock.reset_count.saturating_add(duration.resets),
            clock_before: self.clock.clock_ms.saturating_add(duration.milliseconds()),
        };
        let policy_ref = self.pairing.policy_ref.as_bytes();
        let signature = self.issuer.key.sign(&terms, policy_ref).map_err(|_| LeaseError)?;
        let lease = Lease {
            bank: self.lease_pcrs.bank(),
            pcrs: indices.to_vec(),
            pcr_digest: Digest(terms.pcr_digest),
            reset_count: terms.reset_count_max,
            clock: terms.clock_before,
            signature: SignatureBytes(signature),
        };
        let digest = Digest(to_be_signed(&terms.approved_policy(), policy_ref));
        self.record(&lease, digest, ahead);
        Ok(lease)
    }

    /// Returns the selection of these PCRs in the device's bank.
    fn selection(&self, indices: &[u8]) -> Result<PcrSelection, LeaseError> {
        let bank = bank_hash(self.lease_pcrs.bank());
        PcrSelection::new(bank, indices.iter().copied()).map_err(|_| LeaseError)
    }

    fn record(&mut self, lease: &Lease, digest: Digest, ahead: Option<String>) {
        self.facts.push(Fact::Lease {
            sequence: self.sequence,
            epoch: self.pairing.epoch.0,
            reset_count: lease.reset_count,
            clock: lease.clock,
            pcr_digest: lease.pcr_digest.to_string(),
            signed: Some(LeaseSigned {
                bank: lease.bank,
                pcrs: lease.pcrs.clone(),
                digest: digest.to_string(),
                signature: lease.signature.to_string(),
            }),
            ahead,
        });
    }
}
