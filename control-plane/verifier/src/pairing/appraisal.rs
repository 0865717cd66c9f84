use pawl_evidence::appraise::{HighWater, NvPcrs, TpmTime};
use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::Epoch;
use pawl_proto::message::{RefusalCode, TrustTier};

use super::Pairing;
use super::claim::Claim;
use crate::boot_state::{AcceptedState, BootState};
use crate::refusal::Refusal;
use crate::report::{AppraisalContext, Appraised, QuotedEvidence, Terms};

/// The state from which the appraisal of a device in a pairing is computed. The caller commits the result only if this state
/// is still current, and otherwise loads it again and repeats the appraisal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairingBasis {
    /// The newest pairing of the device, even if it has ended.
    pub newest: Option<Pairing>,
    /// The accepted boot states of the device.
    pub accepted: Vec<AcceptedState>,
    /// The latest time that its TPM has attested.
    pub highest: Option<HighWater>,
}

/// The step of a pairing in which a device is appraised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairingStep {
    /// The opening of the session.
    Opening,
    /// The proof of the keys.
    Proof,
}

/// The appraisal of a device that requests a pairing.
#[derive(Debug)]
pub struct AppraisedDevice {
    /// The appraisal.
    pub report: Appraised,
    /// The values of the PCRs that its leases name.
    pub boot: BootState,
    highest: Option<HighWater>,
}

/// Appraises a device that requests a pairing. Without a policy and accepted boot states, the present state counts as accepted:
/// the first pairing accepts it.
///
/// This parses and replays logs, so call it outside database transactions.
///
/// # Errors
/// [`Refusal`] if the report cannot be appraised. This does not refuse by the result: call [`AppraisedDevice::check_time`] and
/// [`AppraisedDevice::check_result`].
pub fn appraise_device(
    basis: &PairingBasis,
    claim: &Claim,
    epoch: Epoch,
    (quoted, quote): (&QuotedEvidence, &VerifiedQuote),
    terms: Terms<'_>,
    step: PairingStep,
    now: u64,
) -> Result<AppraisedDevice, Refusal> {
    /// How far the request's TPM clock may be behind, in milliseconds: a later report may arrive before the request.
    const OVERTAKEN: u64 = 60_000;

    let tolerance = if step == PairingStep::Opening { OVERTAKEN } else { 0 };
    let highest = basis
        .highest
        .map(|highest| HighWater { clock_ms: highest.clock_ms.saturating_sub(tolerance), ..highest });
    let context = AppraisalContext {
        policy: terms.policy,
        lease: terms.lease,
        // A policy names the required measurements itself. Accepted states are compared in all PCRs that leases named.
        pairing: basis.newest.as_ref().filter(|_| terms.policy.is_none()),
        accepted: &basis.accepted,
        trust_first: true,
        highest,
        epoch,
        attestation_key: claim.attestation_key.public().as_bytes(),
        // The nonce belongs to this session, which is short.
        age: 0,
        // The first verdict asks for the NvPCRs.
        nvpcrs: NvPcrs::NotAsked,
        now,
    };
    let report = Appraised::new(quoted, quote, None, context)
        .map_err(|error| Refusal::new(RefusalCode::Proof, error))?;
    let boot = report
        .boot
        .clone()
        .ok_or_else(|| Refusal::new(RefusalCode::Posture, "a PCR that leases name was not quoted"))?;
    Ok(AppraisedDevice { report, boot, highest })
}

impl AppraisedDevice {
    /// Refuses a TPM that went back in time.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn check_time(&self) -> Result<(), Refusal> {
        check_time(self.highest, self.report.time)
    }

    /// Refuses a contraindicated device.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn check_result(&self) -> Result<(), Refusal> {
        let judgement = &self.report.judgement;
        if judgement.result == TrustTier::Contraindicated {
            return Err(Refusal::new(RefusalCode::Posture, judgement.reasons.join("; ")));
        }
        Ok(())
    }
}

/// Refuses a TPM whose time is before `highest`.
///
/// # Errors
/// [`Refusal`]
pub fn check_time(highest: Option<HighWater>, now: TpmTime) -> Result<(), Refusal> {
    if highest.is_some_and(|highest| !highest.admits(now)) {
        let message = "the TPM went back in time: an older state of it was restored, or it was cleared";
        return Err(Refusal::new(RefusalCode::WentBackwards, message));
    }
    Ok(())
}
