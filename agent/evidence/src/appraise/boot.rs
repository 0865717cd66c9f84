//! Replays a boot's logs, the firmware's and then systemd's, and compares the result with the quoted values.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::AppraisedEvidence;
use crate::eventlog::{
    BOOT_PHASES_PCR, BootFacts, EventFact, EventLog, EventLogError, Fact, Stage, UserSpaceEvent,
};
use crate::measure_log::{MeasureLog, MeasureLogError, OS_SEPARATOR_PCRS, os_separator};
use crate::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

/// The texts that systemd extends into PCR 11, in this order. Without systemd's log, appraisal tries them; the first
/// ones are missing if the TPM's driver loads late.
const BOOT_PHASES: [&str; 4] = ["enter-initrd", "leave-initrd", "sysinit", "ready"];

/// The replayed logs of a boot. All extends in the firmware's log came before those in systemd's log.
pub(super) struct Replayed {
    firmware: PcrValues,
    user_space: Option<MeasureLog>,
}

/// The events that explain a PCR's quoted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// The firmware's log, and this many of the PCR's records in systemd's log.
    Logged(usize),
    /// The firmware's log, and an os-separator. The device has no log of systemd.
    OsSeparator,
    /// The firmware's log, and boot phases. The device has no log of systemd.
    Phases,
}

impl Replayed {
    /// Replays the firmware's log. A malformed log of systemd explains nothing.
    pub(super) fn new(log: &EventLog<'_>, measure_log: Option<&[u8]>) -> Result<Self, EventLogError> {
        let user_space = measure_log.map(|log| MeasureLog::parse(log).unwrap_or_default());
        Ok(Self { firmware: log.replay()?, user_space })
    }

    /// Returns the replay of a boot without logs.
    pub(super) fn nothing() -> Self {
        Self { firmware: PcrValues::default(), user_space: None }
    }

    /// Returns the PCR values that the firmware's log gives.
    pub(super) fn firmware(&self) -> &PcrValues {
        &self.firmware
    }

    /// Returns systemd's log, if the device has one.
    pub(super) fn user_space(&self) -> Option<&MeasureLog> {
        self.user_space.as_ref()
    }

    /// Returns whether the firmware's log has events of this PCR in this bank.
    pub(super) fn mentions(&self, bank: HashAlgorithm, pcr: u8) -> bool {
        self.firmware.get(bank, pcr).is_some()
    }

    /// Returns how the logs explain a quoted value; `None` if they do not.
    pub(super) fn account(&self, pcr: u8, quoted: &TaggedDigest) -> Option<Account> {
        let before = self.before_user_space(quoted.algorithm(), pcr);
        match &self.user_space {
            Some(log) => log.leads(pcr, &before, quoted).map(Account::Logged),
            None if before == *quoted => Some(Account::Logged(0)),
            None if ends_with_os_separator(pcr, &before, quoted) => Some(Account::OsSeparator),
            None => (pcr == BOOT_PHASES_PCR && phases_lead(&before, quoted)).then_some(Account::Phases),
        }
    }

    /// Returns a PCR's value at the end of the firmware's log.
    fn before_user_space(&self, bank: HashAlgorithm, pcr: u8) -> TaggedDigest {
        self.firmware.get(bank, pcr).copied().unwrap_or_else(|| TaggedDigest::at_reset(bank, pcr))
    }
}

/// Returns the PCR values at the start of IMA, which IMA's `boot_aggregate` covers. For a PCR that the logs explain
/// this is the value before systemd's extends, for any other the quoted value.
pub fn before_user_space(
    boot_log: Option<&[u8]>,
    measure_log: Option<&[u8]>,
    quoted: &PcrValues,
) -> PcrValues {
    let replayed = boot_log.and_then(|log| Replayed::new(&EventLog::parse(log).ok()?, measure_log).ok());
    let Some(replayed) = replayed else { return quoted.clone() };
    let mut values = quoted.clone();
    for (bank, pcr, value) in quoted.iter() {
        if replayed.account(pcr, value).is_some() {
            let _ = values.insert(pcr, replayed.before_user_space(bank, pcr));
        }
    }
    values
}

/// A PCR's value after a future boot in which systemd makes the same extends as in the present boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foretold {
    /// The predicted value.
    Value(TaggedDigest),
    /// The value cannot be predicted: the boot chain measures something that differs on each machine and boot.
    Unknown,
    /// The logs do not explain the present value, so they allow no prediction.
    Unaccounted,
}

/// Predicts a PCR after a boot in which the firmware's log gives `predicted`. `quoted` is the present value and
/// determines the bank.
///
/// # Errors
/// If the present boot event log is malformed.
pub fn foretell(
    log: &EventLog<'_>,
    measure_log: Option<&[u8]>,
    quoted: &TaggedDigest,
    pcr: u8,
    predicted: &PcrValues,
) -> Result<Foretold, EventLogError> {
    let bank = quoted.algorithm();
    let replayed = Replayed::new(log, measure_log)?;
    let Some(account) = replayed.account(pcr, quoted) else { return Ok(Foretold::Unaccounted) };
    let before = match predicted.get(bank, pcr) {
        Some(value) => *value,
        None if replayed.mentions(bank, pcr) => return Ok(Foretold::Unknown),
        None => TaggedDigest::at_reset(bank, pcr),
    };
    Ok(match (account, &replayed.user_space) {
        (Account::Logged(count), Some(records)) => {
            let digests = records.of_pcr(pcr).take(count).filter_map(|record| record.digest(bank));
            Foretold::Value(digests.fold(before, |value, digest| value.extend(digest.as_bytes())))
        }
        (Account::Logged(_), None) => Foretold::Value(before),
        (Account::OsSeparator, _) => Foretold::Value(before.extend(os_separator(bank).as_bytes())),
        (Account::Phases, _) => Foretold::Unknown,
    })
}

/// Returns why systemd's log is malformed, if it is.
pub(super) fn measure_log_error(evidence: &AppraisedEvidence<'_>) -> Option<MeasureLogError> {
    evidence.measure_log.and_then(|log| MeasureLog::parse(log).err())
}

/// Replays the logs of a device that has a boot event log.
pub(super) fn replay_evidence(evidence: &AppraisedEvidence<'_>) -> Option<Result<Replayed, EventLogError>> {
    let log = evidence.boot_log?;
    Some(EventLog::parse(log).and_then(|log| Replayed::new(&log, evidence.measure_log)))
}

fn ends_with_os_separator(pcr: u8, before: &TaggedDigest, quoted: &TaggedDigest) -> bool {
    let separator = os_separator(before.algorithm());
    OS_SEPARATOR_PCRS.contains(&pcr) && before.extend(separator.as_bytes()) == *quoted
}

/// Returns whether any subset of the boot phases, in their order, extends `from` to `to`.
fn phases_lead(from: &TaggedDigest, to: &TaggedDigest) -> bool {
    let bank = from.algorithm();
    (0..1_u8 << BOOT_PHASES.len()).any(|some| {
        let phases = BOOT_PHASES.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1);
        let value =
            phases.fold(*from, |value, (_, phase)| value.extend(bank.digest(&[phase.as_bytes()]).as_bytes()));
        value == *to
    })
}

impl Account {
    /// Returns how many of the PCR's records in systemd's log the explanation uses.
    pub(super) fn records(self) -> usize {
        match self {
            Self::Logged(records) => records,
            Self::OsSeparator | Self::Phases => 0,
        }
    }
}

/// The events of a boot that a quote confirms.
pub(in crate::appraise) struct Boot<'a> {
    /// The quoted bank, whose digests decode the events.
    bank: HashAlgorithm,
    quoted: &'a PcrValues,
    accounts: BTreeMap<u8, Account>,
    facts: Vec<EventFact<'a>>,
}

impl<'a> Boot<'a> {
    pub(in crate::appraise) fn read(
        log: &'a [u8],
        measure_log: Option<&[u8]>,
        quoted: &'a PcrValues,
    ) -> Result<Self, EventLogError> {
        let log = EventLog::parse(log)?;
        let replayed = Replayed::new(&log, measure_log)?;
        let bank = quoted_bank(quoted);
        let accounts = accounts(&replayed, bank, quoted);
        let mut facts = log.facts_of(bank)?;
        facts.retain(|event| accounts.contains_key(&event.pcr));
        let mut left: BTreeMap<u8, usize> = accounts.iter().map(|(pcr, how)| (*pcr, how.records())).collect();
        let records = replayed.user_space().map(|log| log.facts(bank)).unwrap_or_default();
        facts.extend(records.into_iter().filter(|record| match left.get_mut(&record.pcr) {
            Some(0) | None => false,
            Some(count) => {
                *count = count.saturating_sub(1);
                true
            }
        }));
        Ok(Self { bank, quoted, accounts, facts })
    }

    /// Describes a boot without a log.
    pub(super) fn unlogged(quoted: &'a PcrValues) -> Self {
        let bank = quoted_bank(quoted);
        Self { bank, quoted, accounts: accounts(&Replayed::nothing(), bank, quoted), facts: Vec::new() }
    }

    /// Returns the events of the PCRs that the quote confirms, in order: the firmware's, then systemd's.
    pub(in crate::appraise) fn events(&self) -> &[EventFact<'a>] {
        &self.facts
    }

    /// Returns a summary of the events.
    pub(in crate::appraise) fn facts(&self) -> BootFacts<'_, 'a> {
        BootFacts::new(&self.facts)
    }

    /// Returns the quoted bank, whose digests decode the events.
    pub(super) fn bank(&self) -> HashAlgorithm {
        self.bank
    }

    /// Returns a PCR's quoted value in that bank.
    pub(super) fn quoted(&self, pcr: u8) -> Option<&TaggedDigest> {
        self.quoted.get(self.bank, pcr)
    }

    /// Returns whether the events of this PCR give its quoted value or, if it has no events, whether it was
    /// never extended.
    pub(super) fn accounts_for(&self, pcr: u8) -> bool {
        self.accounts.contains_key(&pcr)
    }

    /// Returns the number of os-separators of a PCR: those in systemd's log, and the one that only the quoted
    /// value shows.
    pub(super) fn os_separators(&self, pcr: u8) -> usize {
        let unlogged = usize::from(self.accounts.get(&pcr) == Some(&Account::OsSeparator));
        let is_one = |event: &&EventFact<'_>| {
            event.pcr == pcr && event.stage == Stage::UserSpace && is_os_separator(event)
        };
        self.facts.iter().filter(is_one).count().saturating_add(unlogged)
    }

    /// Returns the PCRs that have an os-separator.
    pub(super) fn separated(&self) -> BTreeSet<u8> {
        self.accounts.keys().copied().filter(|pcr| self.os_separators(*pcr) > 0).collect()
    }
}

/// Returns whether the digest is an os-separator's, for any type that the log gives the event.
pub(super) fn is_os_separator(event: &EventFact<'_>) -> bool {
    event.fact == Fact::UserSpace(UserSpaceEvent::OsSeparator)
        || event.digest.is_some_and(|digest| digest == os_separator(digest.algorithm()))
}

/// Returns the bank of a quote; SHA-256 for a quote with several banks.
fn quoted_bank(quoted: &PcrValues) -> HashAlgorithm {
    quoted.sole_bank().unwrap_or(HashAlgorithm::Sha256)
}

fn accounts(replayed: &Replayed, bank: HashAlgorithm, quoted: &PcrValues) -> BTreeMap<u8, Account> {
    quoted.bank(bank).filter_map(|(pcr, value)| Some((pcr, replayed.account(pcr, value)?))).collect()
}
