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

/// A report, completed from the evidence on which it builds: a report leaves out what did not change.
#[derive(Debug)]
pub struct CompleteReport {
    /// On what the next report builds.
    pub base: Base,
    /// The firmware's event log, if the device has one.
    pub boot_log: Option<Vec<u8>>,
    /// What the IMA log has to do with PCR 10.
    pub ima: Option<Outcome>,
    /// What the policy's rules on files found in it; none if there are no rules, and if nothing accounts for
    /// the log.
    pub findings: Option<Findings>,
    /// More pieces of the IMA log have to come.
    pub behind: bool,
    /// Whether more pieces of systemd's log are missing.
    pub measured_behind: bool,
}

/// Why a report cannot be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// It builds on evidence that is not kept any more: the device has to send a whole report.
    #[error("the report builds on what is not known here")]
    Unknown,
    /// It leaves out of a whole report what belongs there, or contradicts itself.
    #[error("the boot event log is missing from a whole report, or is not the one that it names")]
    BootLog,
}

/// The PCRs of a report, and the others as they were: a claim until the quote's composite is
/// compared.
pub(crate) fn pcrs(evidence: &Evidence, before: Option<&Base>) -> BTreeMap<u8, PcrValue> {
    let mut pcrs = before.map(|base| base.pcrs.clone()).unwrap_or_default();
    pcrs.extend(evidence.pcrs.iter().map(|(index, value)| (*index, *value)));
    pcrs
}

impl CompleteReport {
    /// Completes a report whose PCR values are `quoted`. `before` is what it builds on, with the
    /// boot log that was kept; none for a whole report. `rules` are the policy's on files, if it has any.
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
        // IMA's first entry is over PCRs that systemd extended later.
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

    /// Returns whether systemd's log is longer than what is kept of it.
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
