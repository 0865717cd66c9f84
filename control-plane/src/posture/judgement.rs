use pawl_evidence::appraise::{
    self, BootLog, BootLogRule, BootState as ReferenceState, Evidence as Appraisable, ReferenceValues,
};
use pawl_evidence::attest::VerifiedQuote;
use pawl_evidence::ima::IMA_PCR;
use pawl_evidence::tpm::{ClockInfo, Digest as TpmDigest, HashAlgorithm, PcrSelection};
use pawl_proto::message::{Appraisal, Standing, Verdict};
use pawl_proto::{Digest, Epoch};

use super::complete::Complete;
use super::quoted::{Quoted, pcr_values, quoted_values};
use crate::control_plane::ControlPlane;
use crate::record::{ChainHead, Fact};
use crate::store::{AcceptedState, BootState, HighWater, StoreError, Tx};
use crate::verdict::{Appraised, Draft};

/// A judgement, before it is told to anybody.
pub(crate) struct Judgement {
    pub(crate) result: Appraisal,
    pub(crate) reasons: Vec<String>,
    /// More pieces of a log have to come: the device is to report again at once.
    behind: bool,
    appraised: Appraised,
}

/// Judges a completed report.
pub(crate) fn judge(
    plane: &ControlPlane,
    quote: &VerifiedQuote,
    complete: &Complete,
    epoch: Epoch,
    accepted: Vec<AcceptedState>,
    highest: Option<HighWater>,
) -> Judgement {
    let evidence = Appraisable {
        quote,
        epoch: epoch.0,
        boot_log: complete.boot_log.as_deref().map_or(BootLog::Absent, BootLog::Whole),
        ima: complete.ima,
    };
    let appraisal = appraise::appraise(&evidence, &reference(plane, accepted, highest));
    let mut result = match appraisal.result {
        appraise::Verdict::Affirming => Appraisal::Affirming,
        appraise::Verdict::Warning => Appraisal::Warning,
        appraise::Verdict::Contraindicated => Appraisal::Contraindicated,
    };
    // What decided, and not what else there is to say about the device.
    let mut reasons: Vec<String> = appraisal
        .reasons
        .iter()
        .filter(|reason| reason.verdict == appraisal.result)
        .map(|reason| format!("{}: {}", reason.area, reason.text))
        .collect();
    if let Some(reason) = missing_ima(quote, complete) {
        result = result.max(Appraisal::Warning);
        reasons.push(reason.to_owned());
    }
    let appraised = Appraised { clock: quote.clock(), pcrs: quote.pcrs().clone() };
    Judgement { result, reasons, behind: complete.behind, appraised }
}

fn reference(
    plane: &ControlPlane,
    accepted: Vec<AcceptedState>,
    highest: Option<HighWater>,
) -> ReferenceValues {
    // The configuration admits PCRs 0 to 23 alone.
    let lease_selection = PcrSelection::new(HashAlgorithm::Sha256, plane.config.lease.pcrs.iter().copied())
        .unwrap_or_else(|_| PcrSelection::lease_default());
    ReferenceValues {
        lease_selection,
        boot_states: accepted
            .into_iter()
            .filter_map(|state| {
                Some(ReferenceState { pcrs: pcr_values(&state.pcrs).ok()?, name: state.name })
            })
            .collect(),
        // Boards without UEFI have none.
        boot_log: BootLogRule::AllowAbsent,
        high_water: highest.map(|highest| appraise::HighWater {
            epoch: highest.epoch.0,
            reset_count: highest.reset_count,
            clock_ms: highest.clock,
        }),
    }
}

/// What pawl-evidence cannot know: that a log is withheld, or is still on its way.
fn missing_ima(quote: &VerifiedQuote, complete: &Complete) -> Option<&'static str> {
    let untouched = TpmDigest::filled(HashAlgorithm::Sha256, 0);
    let extended = quote.pcrs().get(HashAlgorithm::Sha256, IMA_PCR).is_some_and(|value| *value != untouched);
    if complete.behind {
        return Some("runtime: more of the IMA log has to come");
    }
    (extended && complete.ima.is_none())
        .then_some("runtime: PCR 10 was extended, and the device sent no IMA log")
}

impl Judgement {
    /// The verdict on the evidence of this digest. A good one brings a lease, unless the operator
    /// says otherwise.
    pub(crate) fn into_draft(
        self,
        plane: &ControlPlane,
        standing: Standing,
        standing_reason: Option<String>,
        answers: Digest,
    ) -> Draft {
        let good = self.result != Appraisal::Contraindicated && standing == Standing::Active;
        Draft {
            answers: Some(answers),
            standing,
            result: Some(self.result),
            reasons: standing_reason.into_iter().chain(self.reasons).collect(),
            whole: false,
            interval: if self.behind { 0 } else { plane.config.report_interval() },
            lease: good.then_some(self.appraised),
        }
    }
}

/// The values of the PCRs that leases name; none when one of them was not quoted.
pub(crate) fn boot_state(lease_pcrs: &[u8], quote: &VerifiedQuote) -> Option<BootState> {
    let pcrs = quoted_values(quote.pcrs());
    lease_pcrs.iter().map(|index| Some((*index, *pcrs.get(index)?))).collect()
}

/// The record of an accepted boot state.
pub(crate) fn accepted_fact(state: &BootState, by: &str) -> Fact {
    let pcrs = state.iter().map(|(index, value)| format!("{index}={value}")).collect();
    Fact::Accepted { pcrs, by: by.to_owned() }
}

/// The record of a verdict, with the quote on which it rests, and how far the device's own records
/// were known by then.
pub(crate) fn record_verdict(
    tx: &Tx<'_>,
    verdict: &Verdict,
    quoted: &Quoted,
    records: Option<ChainHead>,
) -> Result<(), StoreError> {
    let fact = Fact::Verdict {
        sequence: verdict.sequence,
        result: verdict.result.map(|result| result.to_string()).unwrap_or_default(),
        reasons: verdict.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        evidence: quoted.digest.to_string(),
        quote: hex::encode(quoted.attest.as_bytes()),
        signature: hex::encode(quoted.signature.as_bytes()),
        at: Some(quoted.clock().into()),
        by: Some(concat!("pawl-control-plane ", env!("CARGO_PKG_VERSION")).to_owned()),
        records,
    };
    tx.record(verdict.device, verdict.time, fact)
}

/// Remembers how far a TPM has come. False when it was further before: then nothing is changed.
pub(crate) fn raise_high_water(
    tx: &Tx<'_>,
    ak_name: &[u8],
    epoch: Epoch,
    clock: ClockInfo,
) -> Result<bool, StoreError> {
    let now = HighWater { epoch, reset_count: clock.reset_count, clock: clock.clock_ms };
    if tx.high_water(ak_name)?.is_some_and(|highest| now < highest) {
        return Ok(false);
    }
    tx.raise_high_water(ak_name, now)?;
    Ok(true)
}
