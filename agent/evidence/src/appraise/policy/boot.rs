use std::collections::{BTreeMap, BTreeSet};

use crate::appraise::replayed::{Account, Replayed};
use crate::eventlog::{BootFacts, EventFact, EventLog, EventLogError, Fact, Stage, UserSpaceEvent};
use crate::measure_log::os_separator;
use crate::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

/// A boot as its logs describe it, as far as a quote confirms them.
pub(in crate::appraise) struct Boot<'a> {
    /// The quoted bank, by which everything is appraised.
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

    /// Returns a boot without a log.
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

    /// Returns the bank by which everything is appraised.
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

/// Returns whether the digest is an os-separator's, whatever the log calls the event.
pub(super) fn is_os_separator(event: &EventFact<'_>) -> bool {
    event.fact == Fact::UserSpace(UserSpaceEvent::OsSeparator)
        || event.digest.is_some_and(|digest| digest == os_separator(digest.algorithm()))
}

/// Returns the bank of a quote. Of a quote with several banks only the sha256 bank counts.
fn quoted_bank(quoted: &PcrValues) -> HashAlgorithm {
    quoted.sole_bank().unwrap_or(HashAlgorithm::Sha256)
}

fn accounts(replayed: &Replayed, bank: HashAlgorithm, quoted: &PcrValues) -> BTreeMap<u8, Account> {
    quoted.bank(bank).filter_map(|(pcr, value)| Some((pcr, replayed.account(pcr, value)?))).collect()
}
