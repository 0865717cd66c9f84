use std::collections::BTreeMap;

use pawl_evidence::appraise::{ImaProgress, before_user_space};
use pawl_evidence::ima::{Findings, Outcome, Rules};
use pawl_evidence::tpm::PcrValues;
use pawl_proto::message::Evidence;
use pawl_proto::{Digest, PcrValue};

use super::ima::{self, ImaState};
use super::measure_log::{self, MeasureLogState};
use super::quoted::quoted_values;
use crate::pairing::Base;

/// A report, completed from the evidence on which it builds. A report omits fields that did not change.
#[derive(Debug)]
pub struct CompleteReport {
    /// The base of the next report.
    pub base: Base,
    /// The firmware's event log, if the device has one.
    pub boot_log: Option<Vec<u8>>,
    /// The result of comparing the IMA log with PCR 10.
    pub ima: Option<Outcome>,
    /// The findings of the policy's rules on files; `None` if there are no rules, or if no quote covers the log.
    pub findings: Option<Findings>,
    /// Whether more pieces of the IMA log are missing.
    pub behind: bool,
    /// Whether more pieces of systemd's log are missing.
    pub measured_behind: bool,
}

/// Why a report cannot be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// It builds on evidence that is no longer stored: the device must send a whole report.
    #[error("the report builds on evidence that is not stored here")]
    Unknown,
    /// It is a whole report without the boot event log that it names, or a log has another digest than the report names.
    #[error(
        "the boot event log is missing from a whole report, or does not have the digest that the report names"
    )]
    BootLog,
}

/// Returns the PCRs of a report, and the others from `before`. They are a claim until they are compared with the quote.
pub(crate) fn pcrs(evidence: &Evidence, before: Option<&Base>) -> BTreeMap<u8, PcrValue> {
    let mut pcrs = before.map(|base| base.pcrs.clone()).unwrap_or_default();
    pcrs.extend(evidence.pcrs.iter().map(|(index, value)| (*index, *value)));
    pcrs
}

impl CompleteReport {
    /// Completes a report whose PCR values are `quoted`. `before` is the evidence on which it builds, with the stored boot log;
    /// `None` for a whole report. `rules` are the policy's rules on files, if it has any.
    ///
    /// # Errors
    /// [`CompleteError`] says whether a whole report would help.
    pub fn new(
        evidence: &Evidence,
        digest: Digest,
        before: Option<(&Base, Option<Vec<u8>>)>,
        quoted: &PcrValues,
        rules: Option<&Rules>,
    ) -> Result<Self, CompleteError> {
        let base = before.as_ref().map(|(base, _)| *base);
        if base.is_some_and(|base| base.boot_id != evidence.boot_id.as_str()) {
            return Err(CompleteError::Unknown);
        }
        let state: Option<&ImaState> = base.and_then(|base| base.ima.as_ref());
        let logged = base.and_then(|base| base.measured.as_ref());
        let measured =
            measure_log::follow(logged, evidence.measure_log.as_ref()).ok_or(CompleteError::Unknown)?;
        let boot_log = boot_log(evidence, before)?;
        // IMA's first entry covers PCRs that systemd extends later, so it is compared with their values before that.
        let found = rules.is_some().then(|| {
            let log = measured.as_ref().map(MeasureLogState::log);
            before_user_space(boot_log.as_deref(), log, quoted)
        });
        let found = found.as_ref().unwrap_or(quoted);
        let followed = ima::follow(state, evidence.ima_log.as_ref(), found, rules)
            .map_err(|_| CompleteError::Unknown)?;
        let measured_behind = measured.as_ref().is_some_and(MeasureLogState::is_behind);
        Ok(Self {
            base: Base {
                evidence: digest,
                boot_id: evidence.boot_id.as_str().to_owned(),
                pcrs: quoted_values(quoted),
                measured,
                nvpcrs: evidence.nvpcrs.clone().or_else(|| Some(base?.nvpcrs.clone())).unwrap_or_default(),
                ima: followed.state,
                lease_pcrs_added: base.map(|base| base.lease_pcrs_added.clone()).unwrap_or_default(),
            },
            boot_log,
            ima: followed.outcome,
            findings: followed.findings,
            behind: followed.behind,
            measured_behind,
        })
    }

    /// Returns systemd's log, as far as it was reported.
    #[must_use]
    pub fn measure_log(&self) -> Option<&[u8]> {
        self.base.measured.as_ref().map(MeasureLogState::log)
    }

    /// Returns whether systemd's log is longer than the stored part.
    #[must_use]
    pub fn is_measure_log_cut(&self) -> bool {
        self.base.measured.as_ref().is_some_and(MeasureLogState::is_cut)
    }

    /// Returns the IMA log, as far as it was followed.
    #[must_use]
    pub fn ima_log(&self) -> ImaProgress<'_> {
        match self.ima {
            _ if self.behind => ImaProgress::Behind,
            Some(outcome) => ImaProgress::Followed { outcome, findings: self.findings.as_ref() },
            None => ImaProgress::Absent,
        }
    }
}

fn boot_log(
    evidence: &Evidence,
    before: Option<(&Base, Option<Vec<u8>>)>,
) -> Result<Option<Vec<u8>>, CompleteError> {
    let whole = before.is_none();
    let kept = before.and_then(|(_, log)| log);
    let Some(sent) = &evidence.boot_log else { return Ok(kept) };
    match &sent.bytes {
        Some(bytes) if Digest::of(bytes.as_bytes()) == sent.digest => Ok(Some(bytes.as_bytes().to_vec())),
        Some(_) => Err(CompleteError::BootLog),
        None if kept.as_deref().is_some_and(|log| Digest::of(log) == sent.digest) => Ok(kept),
        None if whole => Err(CompleteError::BootLog),
        None => Err(CompleteError::Unknown),
    }
}
