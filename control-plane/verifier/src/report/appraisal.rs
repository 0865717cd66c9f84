use std::sync::Arc;

use pawl_evidence::appraise::{
    self, AttestationResult, BootLogRule, BootState as ReferenceState, Evidence, HighWater, ImaProgress,
    NvPcrs, ReferenceValues,
};
use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::Epoch;

use super::quoted::pcr_values;
use crate::boot_state::{AcceptedBy, AcceptedState};
use crate::lease_pcrs::LeasePcrs;
use crate::policy::DevicePolicy;

/// Complete evidence, tied to a quote, and the policy to judge it by.
#[derive(Clone, Copy)]
pub struct AppraisalInput<'a> {
    /// The device's policy, if it has one. The rules on files that were applied to the IMA log are its own.
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
    /// systemd's log is longer than what is kept of it.
    pub measure_log_cut: bool,
    /// More pieces of systemd's log have to come.
    pub measure_log_behind: bool,
    /// The NvPCRs that the TPM certified, where the device was asked for them.
    pub nvpcrs: NvPcrs<'a>,
    /// The IMA log, as far as it was followed.
    pub ima: ImaProgress<'a>,
}

/// Appraises evidence, by the device's policy if it has one, else by the accepted boot states. `highest` is the latest
/// point at which the TPM was seen, where the appraisal is to judge the TPM's time too.
///
/// It parses and replays logs: milliseconds of CPU for a large one.
#[must_use]
pub fn appraise(
    input: &AppraisalInput<'_>,
    accepted: Vec<AcceptedState>,
    highest: Option<HighWater>,
) -> AttestationResult {
    let evidence = Evidence {
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
        // Boards without UEFI have none.
        boot_log: BootLogRule::AllowAbsent,
        high_water: highest,
    };
    appraise::appraise(&evidence, &reference)
}

/// Returns the states to compare with. Nobody has looked at what a device ran when it was first paired, so under a
/// policy that state does not count.
fn boot_states(accepted: Vec<AcceptedState>, under_policy: bool) -> Vec<ReferenceState> {
    accepted
        .into_iter()
        .filter(|state| !(under_policy && state.by == AcceptedBy::FirstPairing))
        .filter_map(|state| Some(ReferenceState { pcrs: pcr_values(&state.pcrs).ok()?, name: state.name }))
        .collect()
}
