use std::sync::Arc;

use pawl_evidence::appraise::{
    self, AppraisedEvidence, AttestationResult, BootLogRule, BootState as ReferenceState, HighWater,
    ImaProgress, NvPcrs, ReferenceValues, TpmTime,
};
use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::Epoch;

use super::complete::{CompleteError, CompleteReport};
use super::judgement::{Judgement, judge};
use super::kept::KeptEvidence;
use super::quoted::{QuotedEvidence, pcr_values};
use crate::boot_state::{AcceptedBy, AcceptedState, BootState, LeasePcrs};
use crate::lease::LeasePolicy;
use crate::pairing::{Base, Pairing};
use crate::policy::DevicePolicy;

/// The inputs of an appraisal besides the report.
#[derive(Clone, Copy)]
pub struct AppraisalContext<'a> {
    /// The device's policy, if it has one.
    pub policy: Option<&'a DevicePolicy>,
    /// The operator's policy on leases.
    pub lease: &'a LeasePolicy,
    /// The pairing whose leases name further PCRs, if any.
    pub pairing: Option<&'a Pairing>,
    /// The accepted boot states.
    pub accepted: &'a [AcceptedState],
    /// Whether the present state counts as accepted if there is no accepted state: for a device's first pairing.
    pub trust_first: bool,
    /// The latest time that the TPM has attested, if the appraisal must check the TPM's time too.
    pub highest: Option<HighWater>,
    /// The epoch in which the device reports.
    pub epoch: Epoch,
    /// `TPMT_PUBLIC` of the key that signed the quote.
    pub attestation_key: &'a [u8],
    /// Seconds between the challenge and the quote's arrival.
    pub age: u64,
    /// The NvPCRs that the TPM certified; `NotAsked` if no verdict could ask for them yet.
    pub nvpcrs: NvPcrs<'a>,
    /// Unix time, seconds.
    pub now: u64,
}

/// A report that was completed and appraised.
#[derive(Debug)]
pub struct Appraised {
    /// The judgement on it.
    pub judgement: Judgement,
    /// The base of the next report.
    pub base: Base,
    /// The firmware's event log, if the device has one.
    pub boot_log: Option<Vec<u8>>,
    /// The PCRs that the device's leases name.
    pub lease_pcrs: LeasePcrs,
    /// Their values; `None` if one of them was not quoted.
    pub boot: Option<BootState>,
    /// The TPM's time in the quote.
    pub time: TpmTime,
    /// The evidence to store; `None` if the attestation key is too long to store.
    pub kept: Option<KeptEvidence>,
}

impl Appraised {
    /// Completes a report and appraises it. `before` is the evidence on which it builds, with the stored boot log; `None` for a
    /// whole report.
    ///
    /// This parses and replays logs, so call it outside database transactions.
    ///
    /// # Errors
    /// [`CompleteError`] says whether a whole report would help.
    pub fn new(
        quoted: &QuotedEvidence,
        quote: &VerifiedQuote,
        before: Option<(&Base, Option<Vec<u8>>)>,
        context: AppraisalContext<'_>,
    ) -> Result<Self, CompleteError> {
        let rules = context.policy.and_then(|policy| policy.ima.as_ref());
        let mut complete = CompleteReport::new(&quoted.evidence, quoted.digest, before, quote.pcrs(), rules)?;
        let lease_pcrs = LeasePcrs::of(
            context.lease,
            context.pairing,
            complete.boot_log.as_deref(),
            complete.measure_log(),
            quote.pcrs(),
        );
        complete.base.lease_pcrs_added.clone_from(lease_pcrs.added());
        let boot = lease_pcrs.state(&complete.base.pcrs);
        let mut accepted = context.accepted.to_vec();
        if let (true, true, Some(boot)) = (context.trust_first, accepted.is_empty(), &boot) {
            accepted.push(AcceptedState::at_first_pairing(boot.clone(), context.now));
        }
        let input = AppraisalInput {
            policy: context.policy,
            quote,
            lease_pcrs: &lease_pcrs,
            epoch: context.epoch,
            age: context.age,
            boot_log: complete.boot_log.as_deref(),
            measure_log: complete.measure_log(),
            measure_log_cut: complete.is_measure_log_cut(),
            measure_log_behind: complete.measured_behind,
            nvpcrs: context.nvpcrs,
            ima: complete.ima_log(),
        };
        let judgement = judge(&input, accepted, context.highest);
        let kept = KeptEvidence::new(&input, quoted, context.attestation_key, context.now).ok();
        let time = TpmTime::new(context.epoch.0, quote.clock());
        let CompleteReport { base, boot_log, .. } = complete;
        Ok(Self { judgement, base, boot_log, lease_pcrs, boot, time, kept })
    }
}

/// Complete evidence under a quote, and the policy to appraise it by.
#[derive(Clone, Copy)]
pub struct AppraisalInput<'a> {
    /// The device's policy, if it has one. Its rules on files were applied to the IMA log.
    pub policy: Option<&'a DevicePolicy>,
    /// The quote, over the PCR values in it.
    pub quote: &'a VerifiedQuote,
    /// The PCRs that the device's leases name.
    pub lease_pcrs: &'a LeasePcrs,
    /// The epoch in which the device reports.
    pub epoch: Epoch,
    /// Seconds between the challenge and the quote's arrival.
    pub age: u64,
    /// The firmware's event log.
    pub boot_log: Option<&'a [u8]>,
    /// systemd's measurement log, as far as it was reported.
    pub measure_log: Option<&'a [u8]>,
    /// Whether systemd's log is longer than the stored part.
    pub measure_log_cut: bool,
    /// Whether more pieces of systemd's log are missing.
    pub measure_log_behind: bool,
    /// The NvPCRs that the TPM certified, if a verdict asked for them.
    pub nvpcrs: NvPcrs<'a>,
    /// The IMA log, as far as it was followed.
    pub ima: ImaProgress<'a>,
}

/// Appraises evidence by the device's policy, or without one by the accepted boot states. `highest` is the latest time that the
/// TPM has attested, if the appraisal must check the TPM's time too.
///
/// This parses and replays logs, which takes milliseconds of CPU for a large log.
#[must_use]
pub fn appraise(
    input: &AppraisalInput<'_>,
    accepted: Vec<AcceptedState>,
    highest: Option<HighWater>,
) -> AttestationResult {
    let evidence = AppraisedEvidence {
        quote: input.quote,
        epoch: input.epoch.0,
        age_s: input.age,
        boot_log: input.boot_log,
        measure_log: input.measure_log,
        measure_log_cut: input.measure_log_cut,
        nvpcrs: input.nvpcrs,
        ima: input.ima,
    };
    let reference = ReferenceValues {
        lease_selection: input.lease_pcrs.selection(),
        policy: input.policy.map(|policy| Arc::clone(&policy.policy)),
        boot_states: boot_states(accepted, input.policy.is_some()),
        // Boards without UEFI have no event log.
        boot_log: BootLogRule::AllowAbsent,
        high_water: highest,
    };
    appraise::appraise(&evidence, &reference)
}

/// Returns the states to compare with. Under a policy, the state of the first pairing is left out: no operator has checked it.
fn boot_states(accepted: Vec<AcceptedState>, under_policy: bool) -> Vec<ReferenceState> {
    accepted
        .into_iter()
        .filter(|state| !(under_policy && state.by == AcceptedBy::FirstPairing))
        .filter_map(|state| Some(ReferenceState { pcrs: pcr_values(&state.pcrs).ok()?, name: state.name }))
        .collect()
}
