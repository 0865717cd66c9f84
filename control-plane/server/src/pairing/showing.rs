use std::sync::Arc;

use pawl_evidence::appraise::{HighWater, TpmTime};
use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::message::{Appraisal, RefusalCode};

use super::case::Posture;
use super::claim::Claim;
use super::proof;
use crate::control_plane::ControlPlane;
use crate::policy::DevicePolicy;
use crate::posture::{self, Complete, LeasePcrs, Quoted, Shown};
use crate::refusal::{Refusal, RequestError};
use crate::store::{AcceptedState, BootState, StoreError, Tx};

/// What a device shows of itself when it asks to be paired.
pub(super) struct Showing {
    pub(super) claim: Claim,
    pub(super) quoted: Quoted,
    quote: VerifiedQuote,
    lease_pcrs: LeasePcrs,
    complete: Complete,
    policy: Option<Arc<DevicePolicy>>,
}

impl Showing {
    pub(super) fn new(
        plane: &ControlPlane,
        claim: Claim,
        (quoted, quote): (Quoted, VerifiedQuote),
        lease_pcrs: LeasePcrs,
    ) -> Result<Self, Refusal> {
        let policy = plane.policies.of(claim.device);
        let rules = policy.as_ref().and_then(|policy| policy.ima.as_ref());
        let complete = Complete::new(&quoted.evidence, quoted.digest, None, quote.pcrs(), rules)
            .map_err(|error| Refusal::new(RefusalCode::Proof, error))?;
        Ok(Self { claim, quoted, quote, lease_pcrs, complete, policy })
    }

    /// Keeps it, also if the device is refused for it: an operator may learn a policy from it.
    pub(super) fn keep(&self, tx: &Tx<'_>, now: u64) -> Result<(), StoreError> {
        let attestation_key = self.claim.attestation_key.public().as_bytes();
        posture::keep_sample(tx, &self.shown(), &self.quoted, attestation_key, now)
    }

    /// Judges what the device runs, so that an approver sees it. Without a policy, the boot state of a device that
    /// has none accepted is held against itself: its first pairing will accept it.
    pub(super) fn appraise(
        &self,
        plane: &ControlPlane,
        tx: &Tx<'_>,
        boot: BootState,
    ) -> Result<Posture, RequestError> {
        /// A report may overtake this request on its way: so far may its clock be ahead, milliseconds.
        /// The proof of the keys is held to the whole.
        const OVERTAKEN: u64 = 60_000;

        let claim = &self.claim;
        let highest = tx
            .high_water(claim.device)?
            .map(|highest| HighWater { clock_ms: highest.clock_ms.saturating_sub(OVERTAKEN), ..highest });
        let seen = TpmTime::new(claim.epoch.0, self.quote.clock());
        if highest.is_some_and(|highest| !highest.admits(seen)) {
            return Err(proof::went_backwards().into());
        }
        let mut accepted = tx.boot_states(claim.device)?;
        if accepted.is_empty() {
            accepted.push(AcceptedState::at_first_pairing(boot.clone(), plane.clock.now()));
        }
        let judgement = posture::judge(&self.shown(), accepted, highest);
        if judgement.result == Appraisal::Contraindicated {
            return Err(Refusal::new(RefusalCode::Posture, judgement.reasons.join("; ")).into());
        }
        Ok(Posture { result: judgement.result, reasons: judgement.reasons, boot })
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            device: self.claim.device,
            policy: self.policy.as_deref(),
            quote: &self.quote,
            lease_pcrs: &self.lease_pcrs,
            epoch: self.claim.epoch,
            // A session is short, and nothing that came before it counts.
            age: 0,
            boot_log: self.complete.boot_log.as_deref(),
            measure_log: self.complete.measure_log(),
            measure_log_behind: self.complete.measured_behind,
            ima: self.complete.ima_log(),
        }
    }
}
