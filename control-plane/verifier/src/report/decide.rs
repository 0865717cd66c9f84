use pawl_evidence::appraise::{NvPcrs, TpmTime};
use pawl_evidence::attest::AttestationKey;
use pawl_evidence::tpm::Public;
use pawl_proto::DeviceId;
use pawl_proto::limits;
use pawl_proto::message::Report;

use super::appraisal::{AppraisalContext, Appraised};
use super::complete::{self, CompleteError};
use super::quoted::QuotedEvidence;
use crate::boot_state::AcceptedState;
use crate::lease::LeasePolicy;
use crate::pairing::{Pairing, PairingState};
use crate::policy::DevicePolicy;

/// The state from which the appraisal of a report is computed. The caller commits the result only if this state is still
/// current, and otherwise loads it again and repeats the appraisal.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportBasis {
    /// The newest pairing of the device.
    pub pairing: Pairing,
    /// The accepted boot states of the device.
    pub accepted: Vec<AcceptedState>,
    /// When the nonce of the next report was issued, Unix seconds.
    pub challenged_at: Option<u64>,
    /// The handles of the NvPCRs that the same verdict asked for.
    pub nvpcrs_asked: Vec<u32>,
}

/// The operator's terms for the appraisal of a report.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The device's policy, if it has one.
    pub policy: Option<&'a DevicePolicy>,
    /// The policy on leases.
    pub lease: &'a LeasePolicy,
}

/// The decision on a report whose quote is valid.
#[derive(Debug)]
pub struct ReportDecision {
    /// The evidence.
    pub quoted: QuotedEvidence,
    /// The outcome.
    pub outcome: ReportOutcome,
}

/// The outcome of a report.
#[derive(Debug)]
pub enum ReportOutcome {
    /// The pairing has ended. The report is refused; the TPM's time in it can still show that the counter went backwards.
    Ended {
        /// The epoch and the TPM's time in the report.
        time: TpmTime,
    },
    /// The report is stale, builds on evidence that is no longer stored, or lacks NvPCRs for which no verdict asked. The answer
    /// has a new nonce and no attestation result.
    Challenge {
        /// Whether the next report must be a whole one.
        whole: bool,
    },
    /// A whole report contradicts itself: it is contraindicated.
    Contradiction {
        /// The contradiction, for people.
        reason: String,
    },
    /// The report was appraised.
    Appraised(Box<Appraised>),
}

/// Verifies and appraises a report that was received on the topic of `device`. `boot_log` is the firmware's event log in the
/// last whole report of this pairing.
///
/// This parses and replays logs, so call it outside database transactions.
///
/// # Errors
/// [`ReportError`] for a report that is refused permanently.
pub fn appraise_report(
    basis: &ReportBasis,
    boot_log: Option<Vec<u8>>,
    device: DeviceId,
    message: &[u8],
    terms: Terms<'_>,
    now: u64,
) -> Result<ReportDecision, ReportError> {
    let pairing = &basis.pairing;
    let report: Report = pawl_proto::decode(message, limits::MESSAGE).map_err(ReportError::new)?;
    let public = Public::unmarshal(&pairing.attestation_key).map_err(ReportError::new)?;
    let key = AttestationKey::from_public(public).map_err(ReportError::new)?;
    let quoted = QuotedEvidence::verify(&key, &report).map_err(ReportError::new)?;
    let outcome = decide(basis, boot_log, device, &quoted, terms, now)?;
    Ok(ReportDecision { quoted, outcome })
}

fn decide(
    basis: &ReportBasis,
    boot_log: Option<Vec<u8>>,
    device: DeviceId,
    quoted: &QuotedEvidence,
    terms: Terms<'_>,
    now: u64,
) -> Result<ReportOutcome, ReportError> {
    let (pairing, evidence) = (&basis.pairing, &quoted.evidence);
    let has_ended = evidence.epoch < pairing.epoch || pairing.state != PairingState::Live;
    if has_ended && evidence.device == device {
        return Ok(ReportOutcome::Ended { time: TpmTime::new(evidence.epoch.0, quoted.clock()) });
    }
    if (evidence.device, evidence.pairing, evidence.epoch) != (device, pairing.id, pairing.epoch) {
        return Err(ReportError::new("the report is for another device, pairing or epoch"));
    }
    let age = basis.challenged_at.map_or(0, |at| now.saturating_sub(at));
    let is_too_old = terms.policy.is_some_and(|policy| policy.is_too_old(age));
    // The policy may be newer than the last verdict, which then did not ask for its NvPCRs. A challenge asks for them without
    // ending the lease.
    let is_unasked = terms.policy.is_some_and(|policy| !policy.asks_only(&basis.nvpcrs_asked));
    if evidence.nonce != pairing.nonce || is_too_old || is_unasked {
        return Ok(ReportOutcome::Challenge { whole: false });
    }
    let whole = ReportOutcome::Challenge { whole: true };
    let base = match evidence.since {
        None => None,
        Some(since) => match pairing.base.as_ref().filter(|base| base.evidence == since) {
            Some(base) => Some(base),
            None => return Ok(whole),
        },
    };
    let quote = match quoted.composite(&complete::pcrs(evidence, base)) {
        Ok(quote) => quote,
        Err(_) if base.is_some() => return Ok(whole),
        Err(error) => return Ok(ReportOutcome::Contradiction { reason: error.to_string() }),
    };
    let context = AppraisalContext {
        policy: terms.policy,
        lease: terms.lease,
        pairing: Some(pairing),
        accepted: &basis.accepted,
        trust_first: false,
        // `TpmHistory::follow` checks the TPM's time.
        highest: None,
        epoch: pairing.epoch,
        attestation_key: &pairing.attestation_key,
        age,
        nvpcrs: NvPcrs::Certified(&quoted.nvpcrs),
        now,
    };
    match Appraised::new(quoted, &quote, base.map(|base| (base, boot_log)), context) {
        Ok(appraised) => Ok(ReportOutcome::Appraised(Box::new(appraised))),
        Err(CompleteError::Unknown) if base.is_some() => Ok(whole),
        Err(error) => Ok(ReportOutcome::Contradiction { reason: error.to_string() }),
    }
}

/// Why a report is refused permanently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReportError(String);

impl ReportError {
    /// Returns the error with this message.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}
