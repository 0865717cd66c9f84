use std::collections::BTreeSet;

use super::super::evidence::{BootLog, Evidence};
use super::super::reason::{Area, Reason, Verdict};
use super::super::reference::BootLogRule;
use crate::eventlog::{BOOT_PHASES_PCR, EventLog, EventLogError};
use crate::ima::IMA_PCR;
use crate::tpm::{Digest, HashAlgorithm, PcrValues};

/// Those above are extended by user space, and are in no log of the firmware.
const LAST_BOOT_PCR: u8 = 14;

const REQUIRED: &str = "boot-log.required";
const REPLAY: &str = "boot-log.replay";

/// A boot event log gives the PCR values that were quoted.
pub(in crate::appraise) fn accounts_for_pcrs(evidence: &Evidence<'_>, rule: BootLogRule) -> Vec<Reason> {
    match evidence.boot_log {
        BootLog::Absent => vec![absent(rule)],
        BootLog::Whole(log) => match EventLog::parse(log).and_then(|log| log.replay()) {
            Ok(replayed) => compare(&replayed, evidence.quote.pcrs()),
            Err(EventLogError::Empty) => vec![absent(rule)],
            Err(error) => {
                vec![Reason::new(REPLAY, Area::Boot, Verdict::Contraindicated, error.to_string())]
            }
        },
    }
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

fn compare(replayed: &PcrValues, quoted: &PcrValues) -> Vec<Reason> {
    if !quoted.iter().any(|(bank, index, _)| replayed.get(bank, index).is_some()) {
        let banks = |pcrs: &PcrValues| {
            let banks: BTreeSet<&str> = pcrs.iter().map(|(bank, ..)| bank.as_str()).collect();
            banks.into_iter().collect::<Vec<_>>().join(", ")
        };
        let text = format!(
            "the boot event log accounts for none of the quoted PCRs: it has the banks {}, and the quote has {}",
            banks(replayed),
            banks(quoted)
        );
        return vec![Reason::new(REPLAY, Area::Boot, Verdict::Contraindicated, text)];
    }
    let mismatches: Vec<Reason> = quoted
        .iter()
        .filter(|(bank, index, value)| {
            expected(replayed, *bank, *index).is_some_and(|expected| expected != **value)
        })
        .map(|(bank, index, _)| {
            let text = format!(
                "the boot event log does not account for PCR {index} ({bank}): it was altered or cut"
            );
            Reason::new(REPLAY, Area::Boot, Verdict::Contraindicated, text)
        })
        .collect();
    if mismatches.is_empty() {
        let text = "the boot event log accounts for the quoted PCRs";
        return vec![Reason::new(REPLAY, Area::Boot, Verdict::Affirming, text)];
    }
    mismatches
}

/// What the log makes of a PCR. One of the boot that it does not mention was never extended: otherwise a log
/// would become true by leaving out the events of a whole PCR.
fn expected(replayed: &PcrValues, bank: HashAlgorithm, index: u8) -> Option<Digest> {
    if [IMA_PCR, BOOT_PHASES_PCR].contains(&index) {
        return None;
    }
    let untouched = (index <= LAST_BOOT_PCR).then(|| Digest::filled(bank, 0));
    replayed.get(bank, index).copied().or(untouched)
}
