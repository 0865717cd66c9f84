use std::sync::Arc;

use pawl_evidence::appraise::{
    self, Appraisal, BootLog, BootLogRule, BootState as ReferenceState, Evidence, HighWater, ImaLog,
    ReferenceValues,
};
use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::{DeviceId, Epoch};

use super::complete::Complete;
use super::lease_pcrs::LeasePcrs;
use super::measured::MeasuredState;
use super::quoted::pcr_values;
use crate::policy::DevicePolicy;
use crate::store::{AcceptedBy, AcceptedState};

/// What a device has shown of itself, tied to a quote and complete.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) device: DeviceId,
    /// By which it is judged. The rules on files that were applied to the IMA log are its own.
    pub(crate) policy: Option<&'a DevicePolicy>,
    pub(crate) quote: &'a VerifiedQuote,
    /// The PCRs that its leases name.
    pub(crate) lease_pcrs: &'a LeasePcrs,
    pub(crate) epoch: Epoch,
    /// Seconds between the challenge and the quote's arrival.
    pub(crate) age: u64,
    pub(crate) boot_log: Option<&'a [u8]>,
    pub(crate) measure_log: Option<&'a [u8]>,
    /// More pieces of it have to come.
    pub(crate) measure_log_behind: bool,
    pub(crate) ima: ImaLog<'a>,
}

/// Appraises it, by the device's policy if it has one.
pub(crate) fn appraise(
    shown: &Shown<'_>,
    accepted: Vec<AcceptedState>,
    highest: Option<HighWater>,
) -> Appraisal {
    let evidence = Evidence {
        quote: shown.quote,
        epoch: shown.epoch.0,
        age_s: shown.age,
        boot_log: shown.boot_log.map_or(BootLog::Absent, BootLog::Whole),
        measure_log: shown.measure_log,
        ima: shown.ima,
    };
    let reference = ReferenceValues {
        lease_selection: shown.lease_pcrs.selection(),
        policy: shown.policy.map(|policy| Arc::clone(&policy.policy)),
        boot_states: boot_states(accepted, shown.policy.is_some()),
        // Boards without UEFI have none.
        boot_log: BootLogRule::AllowAbsent,
        high_water: highest,
    };
    appraise::appraise(&evidence, &reference)
}

/// The states to compare with. Nobody has looked at what a device ran when it was first paired, so a policy is not
/// overruled by that.
fn boot_states(accepted: Vec<AcceptedState>, under_policy: bool) -> Vec<ReferenceState> {
    accepted
        .into_iter()
        .filter(|state| !(under_policy && state.by == AcceptedBy::FirstPairing))
        .filter_map(|state| Some(ReferenceState { pcrs: pcr_values(&state.pcrs).ok()?, name: state.name }))
        .collect()
}

impl Complete {
    /// systemd's log, as far as it was reported.
    pub(crate) fn measure_log(&self) -> Option<&[u8]> {
        self.base.measured.as_ref().map(MeasuredState::log)
    }

    /// The IMA log, as far as it was followed.
    pub(crate) fn ima_log(&self) -> ImaLog<'_> {
        match self.ima {
            _ if self.behind => ImaLog::Behind,
            Some(outcome) => ImaLog::Followed { outcome, findings: self.findings.as_ref() },
            None => ImaLog::Absent,
        }
    }
}
