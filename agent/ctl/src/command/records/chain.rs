//! Checks that each record follows the one before it.

use pawl_local_api::LocalRecord;
use pawl_proto::Digest;
use pawl_proto::record::Link;

/// The part of the chain that was checked so far.
pub(super) struct Chain {
    after: u64,
    first: Option<u64>,
    head: Option<(u64, Digest)>,
}

impl Chain {
    /// Returns an empty chain that continues after the record with this number.
    pub(super) fn after(after: u64) -> Self {
        Self { after, first: None, head: None }
    }

    /// Returns the number of the first record, if there is one.
    pub(super) fn first(&self) -> Option<u64> {
        self.first
    }

    /// Returns the number of the last record, if there is one.
    pub(super) fn last(&self) -> Option<u64> {
        self.head.map(|(sequence, _)| sequence)
    }

    /// Adds the next record.
    ///
    /// # Errors
    /// If it does not follow the one before. The first record's predecessor cannot be checked, unless the record is number 1.
    pub(super) fn add(&mut self, next: &LocalRecord) -> Result<(), Broken> {
        let sequence = next.record.sequence;
        let previous = digest(&next.previous).ok_or(Broken::Altered { sequence })?;
        match self.head {
            Some((last, _)) if sequence != last.saturating_add(1) => {
                return Err(Broken::Missing { expected: last.saturating_add(1), found: sequence });
            }
            Some((last, head)) if previous != head => return Err(Broken::Unlinked { sequence, last }),
            None if sequence <= self.after => {
                return Err(Broken::Missing { expected: self.after.saturating_add(1), found: sequence });
            }
            None if sequence == 1 && previous != Link::START => {
                return Err(Broken::Unlinked { sequence, last: 0 });
            }
            _ => {}
        }
        let link = Link::forge(previous, &next.record).map_err(|_| Broken::Altered { sequence })?;
        if digest(&next.digest) != Some(link.digest) {
            return Err(Broken::Altered { sequence });
        }
        self.first = self.first.or(Some(sequence));
        self.head = Some((sequence, link.digest));
        Ok(())
    }
}

fn digest(digits: &str) -> Option<Digest> {
    Digest::try_from(hex::decode(digits).ok()?.as_slice()).ok()
}

/// A record that does not follow the one before.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("the chain breaks at record {sequence}: its digest does not match its content")]
    Altered { sequence: u64 },
    #[error("the chain breaks at record {sequence}: it does not follow record {last}")]
    Unlinked { sequence: u64, last: u64 },
    #[error("the chain breaks at record {expected}: record {found} is in its place")]
    Missing { expected: u64, found: u64 },
}

#[cfg(test)]
mod tests {
    use pawl_proto::Epoch;
    use pawl_proto::codec::Version;
    use pawl_proto::record::{DeviceFact, DeviceRecord};

    use super::*;

    fn chain(numbers: std::ops::RangeInclusive<u64>) -> Vec<LocalRecord> {
        let mut previous = Link::START;
        let mut records = Vec::new();
        for sequence in 1..=*numbers.end() {
            let fact = DeviceFact::Missed { count: sequence };
            let (clock, resets, epoch) = (Some(5), None, Some(Epoch(7)));
            let record = DeviceRecord { version: Version, sequence, time: 9, clock, resets, epoch, fact };
            let link = Link::forge(previous, &record).unwrap();
            previous = link.digest;
            let (previous, digest) = (link.previous.to_string(), link.digest.to_string());
            records.push(LocalRecord { record, previous, digest });
        }
        records.split_off(usize::try_from(numbers.start() - 1).unwrap())
    }

    fn check(after: u64, records: &[LocalRecord]) -> Result<Option<u64>, Broken> {
        let mut chain = Chain::after(after);
        records.iter().try_for_each(|record| chain.add(record))?;
        Ok(chain.last())
    }

    #[test]
    fn a_valid_chain_verifies_from_any_record() {
        assert_eq!(check(0, &chain(1..=5)), Ok(Some(5)));
        assert_eq!(check(0, &chain(3..=5)), Ok(Some(5)));
        assert_eq!(check(2, &chain(3..=5)), Ok(Some(5)));
        assert_eq!(check(0, &[]), Ok(None));
    }

    #[test]
    fn a_break_is_found_at_its_record() {
        let mut altered = chain(1..=5);
        altered[2].record.time += 1;
        assert_eq!(check(0, &altered), Err(Broken::Altered { sequence: 3 }));

        let mut missing = chain(1..=5);
        missing.remove(2);
        assert_eq!(check(0, &missing), Err(Broken::Missing { expected: 3, found: 4 }));

        let mut forged = chain(1..=5);
        let other = Link::forge(Digest([9; 32]), &forged[2].record).unwrap();
        forged[2].previous = other.previous.to_string();
        forged[2].digest = other.digest.to_string();
        assert_eq!(check(0, &forged), Err(Broken::Unlinked { sequence: 3, last: 2 }));

        let mut headless = chain(1..=1);
        let other = Link::forge(Digest([9; 32]), &headless[0].record).unwrap();
        headless[0].previous = other.previous.to_string();
        headless[0].digest = other.digest.to_string();
        assert_eq!(check(0, &headless), Err(Broken::Unlinked { sequence: 1, last: 0 }));
        assert_eq!(check(3, &chain(2..=4)), Err(Broken::Missing { expected: 4, found: 2 }));
    }

    #[test]
    fn an_invalid_digest_breaks_the_chain() {
        for digits in ["", "zz", "00"] {
            let mut records = chain(1..=2);
            records[1].digest = digits.to_owned();
            assert_eq!(check(0, &records), Err(Broken::Altered { sequence: 2 }));
        }
    }
}
