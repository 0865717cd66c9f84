use std::collections::BTreeSet;

use super::super::evidence::Evidence;
use super::super::reason::{Area, Reason, Verdict};
use super::super::reference::BootLogRule;
use super::super::replayed::{self, Replayed};
use crate::eventlog::{BOOT_PHASES_PCR, EventLogError};
use crate::ima::IMA_PCR;
use crate::tpm::{HashAlgorithm, PcrValues};

/// Those above are extended by user space, and are in no log of the firmware.
const LAST_BOOT_PCR: u8 = 14;

const REQUIRED: &str = "boot-log.required";
const REPLAY: &str = "boot-log.replay";
const MEASURE_LOG: &str = "boot-log.user-space";

/// The boot event log, and behind it systemd's, give the PCR values that were quoted.
pub(in crate::appraise) fn accounts_for_pcrs(evidence: &Evidence<'_>, rule: BootLogRule) -> Vec<Reason> {
    let mut reasons = match replayed::of_evidence(evidence) {
        None | Some(Err(EventLogError::Empty)) => vec![absent(rule)],
        Some(Ok(replayed)) => compare(&replayed, evidence.quote.pcrs()),
        Some(Err(error)) => {
            vec![Reason::new(REPLAY, Area::Boot, Verdict::Contraindicated, error.to_string())]
        }
    };
    reasons.extend(
        replayed::measure_log_error(evidence)
            .map(|error| Reason::new(MEASURE_LOG, Area::Boot, Verdict::Contraindicated, error.to_string())),
    );
    reasons
}

fn absent(rule: BootLogRule) -> Reason {
    let (verdict, text) = match rule {
        BootLogRule::Require => {
            (Verdict::Contraindicated, "the device sent no boot event log, and the policy requires one")
        }
        BootLogRule::AllowAbsent => {
            (Verdict::Warning, "the device has no boot event log: its PCRs can be compared but not explained")
        }
    };
    Reason::new(REQUIRED, Area::Boot, verdict, text)
}

fn compare(replayed: &Replayed, quoted: &PcrValues) -> Vec<Reason> {
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
        return vec![Reason::new(REPLAY, Area::Boot, Verdict::Contraindicated, text)];
    }
    let mismatches: Vec<Reason> = quoted
        .iter()
        .filter(|(bank, index, value)| {
            is_of_the_boot(replayed, *bank, *index) && replayed.account(*index, value).is_none()
        })
        .map(|(bank, index, _)| {
            let text = format!("{} for PCR {index} ({bank}): it was altered or cut", account_fails(replayed));
            Reason::new(REPLAY, Area::Boot, Verdict::Contraindicated, text)
        })
        .collect();
    if mismatches.is_empty() {
        let text = match replayed.user_space() {
            None => "the boot event log accounts for the quoted PCRs",
            Some(_) => "the boot event log and systemd's measurement log account for the quoted PCRs",
        };
        return vec![Reason::new(REPLAY, Area::Boot, Verdict::Affirming, text)];
    }
    mismatches
}

fn account_fails(replayed: &Replayed) -> &'static str {
    match replayed.user_space() {
        None => "the boot event log does not account",
        Some(_) => "the boot event log and systemd's measurement log behind it do not account",
    }
}

/// Whether logs must account for a PCR. One of the boot that the firmware's log does not mention was never extended by
/// it: otherwise a log would become true by leaving out the events of a whole PCR.
fn is_of_the_boot(replayed: &Replayed, bank: HashAlgorithm, index: u8) -> bool {
    // IMA's log accounts for PCR 10, and a policy that names PCR 11 judges it.
    ![IMA_PCR, BOOT_PHASES_PCR].contains(&index) && (index <= LAST_BOOT_PCR || replayed.mentions(bank, index))
}
