//! The rules on whether the logs explain the quoted PCR values.

use std::collections::BTreeSet;

use pawl_proto::message::{Area, TrustTier};

use super::boot;
use super::boot::Replayed;
use super::evidence::{AppraisedEvidence, BootLogRule};
use super::reason::{Reason, area_of_pcr};
use crate::eventlog::{BOOT_PHASES_PCR, EventLogError, FIRMWARE_PCRS};
use crate::ima::IMA_PCR;
use crate::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

/// The last PCR that firmware and boot loaders extend; user space extends the PCRs above.
const LAST_BOOT_PCR: u8 = 14;

const REQUIRED: &str = "boot-log.required";
const REPLAY: &str = "boot-log.replay";
const MEASURE_LOG: &str = "boot-log.user-space";

/// The cause for an unexplained value if the control plane stored only the beginning of systemd's log. It continues the
/// sentence "PCR 0 has a value that …".
pub(in crate::appraise) const CUT: &str = "the stored part of systemd's log does not give: the log is longer than what \
    the control plane keeps of it. Reboot the device to start a new log";

/// The tier of a PCR that the logs do not explain, and the cause, which continues the sentence "… does not
/// explain PCR 0".
pub(in crate::appraise) type Unexplained = (TrustTier, String);

/// Checks that the boot event log, followed by systemd's log, gives the quoted PCR values. `weigh` judges a PCR
/// whose quoted value they do not give.
pub(in crate::appraise) fn accounts_for_pcrs(
    evidence: &AppraisedEvidence<'_>,
    rule: BootLogRule,
    weigh: impl Fn(u8, &TaggedDigest) -> Unexplained,
) -> Vec<Reason> {
    let mut reasons = match boot::replay_evidence(evidence) {
        None | Some(Err(EventLogError::Empty)) => vec![absent(rule)],
        Some(Ok(replayed)) => compare(&replayed, evidence, weigh),
        Some(Err(error)) => {
            vec![Reason::new(REPLAY, Area::Boot, TrustTier::Contraindicated, error.to_string())]
        }
    };
    reasons
        .extend(boot::measure_log_error(evidence).map(|error| {
            Reason::new(MEASURE_LOG, Area::Boot, TrustTier::Contraindicated, error.to_string())
        }));
    reasons
}

fn absent(rule: BootLogRule) -> Reason {
    let (tier, text) = match rule {
        BootLogRule::Require => {
            (TrustTier::Contraindicated, "the device sent no boot event log, and the policy requires one")
        }
        BootLogRule::AllowAbsent => (
            TrustTier::Warning,
            "the device has no boot event log: its PCRs can be compared but not explained",
        ),
    };
    Reason::new(REQUIRED, Area::Boot, tier, text)
}

/// Weighs an unexplained PCR without a policy. The PCRs must equal an accepted state anyway, so firmware that extends
/// without logging is only a warning. In any other PCR, an incomplete log would hide actions of a boot loader.
pub(in crate::appraise) fn without_policy(index: u8, _: &TaggedDigest) -> Unexplained {
    let tier = if FIRMWARE_PCRS.contains(&index) { TrustTier::Warning } else { TrustTier::Contraindicated };
    (tier, cause(index).to_owned())
}

/// Returns the likely causes for an unexplained PCR.
pub(in crate::appraise) fn cause(index: u8) -> &'static str {
    if FIRMWARE_PCRS.contains(&index) {
        ": firmware of some models omits events, or the log was altered"
    } else {
        ": the log was altered or cut, or something extended the PCR without logging it"
    }
}

fn compare(
    replayed: &Replayed,
    evidence: &AppraisedEvidence<'_>,
    weigh: impl Fn(u8, &TaggedDigest) -> Unexplained,
) -> Vec<Reason> {
    let quoted = evidence.quote.pcrs();
    if !quoted.iter().any(|(bank, index, _)| replayed.mentions(bank, index)) {
        let banks = |pcrs: &PcrValues| {
            let banks: BTreeSet<&str> = pcrs.iter().map(|(bank, ..)| bank.as_str()).collect();
            banks.into_iter().collect::<Vec<_>>().join(", ")
        };
        let text = format!(
            "the boot event log accounts for none of the quoted PCRs: it has the banks {}, and the quote has {}",
            banks(replayed.firmware()),
            banks(quoted)
        );
        return vec![Reason::new(REPLAY, Area::Boot, TrustTier::Contraindicated, text)];
    }
    let unexplained = quoted.iter().filter(|(bank, index, value)| {
        is_of_the_boot(replayed, *bank, *index) && replayed.account(*index, value).is_none()
    });
    let mut reasons: Vec<Reason> = unexplained
        .map(|(bank, index, value)| {
            let (tier, why) = weigh(index, value);
            let text = match evidence.measure_log_cut && tier == TrustTier::Contraindicated {
                true => format!("PCR {index} ({bank}) has a value that {CUT}"),
                false => format!("{} PCR {index} ({bank}){why}", fails_to_explain(replayed)),
            };
            Reason::new(REPLAY, area_of_pcr(index), tier, text)
        })
        .collect();
    if reasons.iter().all(|reason| reason.tier != TrustTier::Contraindicated) {
        let which = if reasons.is_empty() { "the" } else { "all other" };
        let logs = match replayed.user_space() {
            None => "the boot event log accounts",
            Some(_) => "the boot event log and systemd's measurement log account",
        };
        let text = format!("{logs} for {which} quoted PCRs");
        reasons.push(Reason::new(REPLAY, Area::Boot, TrustTier::Affirming, text));
    }
    reasons
}

fn fails_to_explain(replayed: &Replayed) -> &'static str {
    match replayed.user_space() {
        None => "the boot event log does not explain",
        Some(_) => "the boot event log and systemd's measurement log do not explain",
    }
}

/// Returns whether logs must explain a PCR. A boot PCR without events in the firmware's log must have its reset value;
/// otherwise a log that omits all events of a PCR would be accepted.
fn is_of_the_boot(replayed: &Replayed, bank: HashAlgorithm, index: u8) -> bool {
    // IMA's log explains PCR 10, and a policy that names PCR 11 appraises it.
    ![IMA_PCR, BOOT_PHASES_PCR].contains(&index) && (index <= LAST_BOOT_PCR || replayed.mentions(bank, index))
}
