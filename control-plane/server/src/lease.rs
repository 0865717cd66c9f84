//! Leases: what a TPM wants to see before it uses the device key or opens the vault.

use pawl_evidence::appraise::BootState;
use pawl_evidence::lease::{LeaseTerms, to_be_signed};
use pawl_evidence::tpm::{ClockInfo, NvPublic, PcrSelection, PcrValues};
use pawl_proto::bounded::SignatureBytes;
use pawl_proto::message::Lease;
use pawl_proto::{Digest, limits};

use crate::control_plane::ControlPlane;
use crate::posture::{LeasePcrs, bank_hash, pcr_values};
use crate::record::{Fact, LeaseSigned};
use crate::store::{AcceptedState, Pairing, Tx};
use crate::verdict::IssueError;

/// A state that was just appraised and found good enough.
pub(crate) struct Appraised {
    /// The TPM's clock when it quoted that state.
    pub(crate) clock: ClockInfo,
    /// The quoted PCRs.
    pub(crate) pcrs: PcrValues,
    /// Those that a lease of this device names.
    pub(crate) lease_pcrs: LeasePcrs,
}

/// The leases of one verdict.
pub(crate) struct Leases {
    /// For the state that was appraised.
    pub(crate) present: Lease,
    /// For those that are approved and still to come.
    pub(crate) ahead: Vec<Lease>,
}

/// Signs and records what the verdict of this number brings to a device in the appraised state.
pub(crate) fn grant(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    pairing: &Pairing,
    appraised: &Appraised,
    sequence: u64,
) -> Result<Leases, IssueError> {
    let lease_pcrs = &appraised.lease_pcrs;
    let signer = Signer { plane, tx, pairing, lease_pcrs, clock: appraised.clock, sequence };
    let policy = &plane.config.lease;
    let present = signer.sign(
        &appraised.pcrs,
        lease_pcrs.indices(),
        Lasting { resets: policy.resets, seconds: policy.seconds },
        None,
    )?;
    let ahead = signer.ahead(present.pcr_digest)?;
    Ok(Leases { present, ahead })
}

struct Signer<'a> {
    plane: &'a ControlPlane,
    tx: &'a Tx<'a>,
    pairing: &'a Pairing,
    lease_pcrs: &'a LeasePcrs,
    /// The TPM's clock, from which a lease counts.
    clock: ClockInfo,
    /// The number of the verdict.
    sequence: u64,
}

/// How long a lease is for, from the present on.
#[derive(Clone, Copy)]
struct Lasting {
    resets: u32,
    seconds: u32,
}

impl Lasting {
    fn milliseconds(self) -> u64 {
        u64::from(self.seconds) * 1000
    }
}

impl Signer<'_> {
    /// The leases for the boot states that were approved last and have not come. One that the device
    /// has is given again until half its time is over, so that a report does not cost a signature and
    /// a record for each.
    fn ahead(&self, present: Digest) -> Result<Vec<Lease>, IssueError> {
        let config = &self.plane.config.lease;
        // The boot into that state is a reset of its own.
        let lasting = Lasting { resets: config.resets.saturating_add(1), seconds: config.ahead_seconds };
        let given = self.tx.judged(self.pairing.id)?.map(|row| row.verdict.ahead).unwrap_or_default();
        let mut states = self.tx.boot_states(self.pairing.device)?;
        states.retain(|state| state.ahead);
        let mut leases: Vec<Lease> = Vec::new();
        for AcceptedState { name, pcrs, .. } in states.into_iter().rev().take(limits::LEASES_AHEAD) {
            let indices: Vec<u8> = pcrs.keys().copied().collect();
            let pcrs = pcr_values(&pcrs).map_err(|_| IssueError::Lease)?;
            let state = BootState { name: name.clone(), pcrs: pcrs.clone() };
            // Other PCRs may have been configured since it was approved, or the device may quote another bank.
            if !state.differences(&self.lease_pcrs.selection(), &pcrs).is_empty() {
                continue;
            }
            let Ok(wanted) = pcrs.policy_digest(&self.selection(&indices)?) else { continue };
            if wanted == present.0 {
                continue;
            }
            let held = given
                .iter()
                .find(|lease| lease.pcr_digest.0 == wanted && self.is_young(lease, &indices, lasting));
            leases.push(match held {
                Some(lease) => lease.clone(),
                None => self.sign(&pcrs, &indices, lasting, Some(name))?,
            });
        }
        Ok(leases)
    }

    fn is_young(&self, lease: &Lease, indices: &[u8], lasting: Lasting) -> bool {
        let half = self.clock.clock_ms.saturating_add(lasting.milliseconds() / 2);
        lease.bank == self.lease_pcrs.bank()
            && lease.pcrs == indices
            && lease.clock > half
            && lease.reset_count >= self.clock.reset_count.saturating_add(lasting.resets)
    }

    /// Signs a lease that names these PCRs of a state, and records it. `ahead` names a state still to come.
    fn sign(
        &self,
        pcrs: &PcrValues,
        indices: &[u8],
        lasting: Lasting,
        ahead: Option<String>,
    ) -> Result<Lease, IssueError> {
        let selection = self.selection(indices)?;
        let counter = NvPublic::unmarshal(&self.pairing.counter).map_err(|_| IssueError::Lease)?;
        let terms = LeaseTerms {
            pcr_digest: pcrs.policy_digest(&selection).map_err(|_| IssueError::Lease)?,
            selection,
            counter_name: counter.name(),
            epoch: self.pairing.epoch.0,
            reset_count_max: self.clock.reset_count.saturating_add(lasting.resets),
            clock_before: self.clock.clock_ms.saturating_add(lasting.milliseconds()),
        };
        let policy_ref = self.pairing.policy_ref.as_bytes();
        let signature =
            self.plane.keys.signing.lease.sign(&terms, policy_ref).map_err(|_| IssueError::Lease)?;
        let lease = Lease {
            bank: self.lease_pcrs.bank(),
            pcrs: indices.to_vec(),
            pcr_digest: Digest(terms.pcr_digest),
            reset_count: terms.reset_count_max,
            clock: terms.clock_before,
            signature: SignatureBytes(signature),
        };
        let digest = Digest(to_be_signed(&terms.approved_policy(), policy_ref));
        self.record(&lease, digest, ahead)?;
        Ok(lease)
    }

    /// These PCRs of the device's bank.
    fn selection(&self, indices: &[u8]) -> Result<PcrSelection, IssueError> {
        let bank = bank_hash(self.lease_pcrs.bank());
        PcrSelection::new(bank, indices.iter().copied()).map_err(|_| IssueError::Lease)
    }

    fn record(&self, lease: &Lease, digest: Digest, ahead: Option<String>) -> Result<(), IssueError> {
        let fact = Fact::Lease {
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
        };
        Ok(self.tx.record(self.pairing.device, self.plane.clock.now(), fact)?)
    }
}
