use super::log::{EventLog, EventLogError, LogEvent};
use crate::tpm::{PcrValues, TaggedDigest};

impl EventLog<'_> {
    /// Returns the PCR values that the log gives: each PCR that it extends, in each bank with a known algorithm.
    ///
    /// # Errors
    /// If an event is malformed, or the startup locality is stated too late or changes.
    pub fn replay(&self) -> Result<PcrValues, EventLogError> {
        self.replay_with(|_, digest| *digest)
    }

    /// Replays with other digests: `replace` gets the number of an event, from 1, and one of its digests.
    pub(super) fn replay_with(
        &self,
        replace: impl Fn(usize, &TaggedDigest) -> TaggedDigest,
    ) -> Result<PcrValues, EventLogError> {
        let mut pcrs = PcrValues::default();
        let mut started_at = None;
        for (number, event) in (1..).zip(self.events()) {
            let event = event?;
            if let Some(event) = event.extended() {
                extend(&mut pcrs, event, |digest| replace(number, digest))?;
            } else if let Some(locality) = event.startup_locality()
                && started_at != Some(locality)
            {
                self.start_at(locality, &mut pcrs, &event)?;
                started_at = Some(locality);
            }
        }
        Ok(pcrs)
    }

    /// Sets the start value of PCR 0: the locality from which the TPM was started, or 4 after a hardware root of
    /// trust.
    fn start_at(
        &self,
        locality: u8,
        pcrs: &mut PcrValues,
        event: &LogEvent<'_>,
    ) -> Result<(), EventLogError> {
        for bank in self.algorithms() {
            if pcrs.get(bank, 0).is_some() {
                return Err(EventLogError::StartupLocality { offset: event.offset });
            }
            let mut start = vec![0; bank.digest_len()];
            if let Some(last) = start.last_mut() {
                *last = locality;
            }
            insert(pcrs, 0, TaggedDigest::zero_padded(bank, &start), event)?;
        }
        Ok(())
    }
}

fn extend(
    pcrs: &mut PcrValues,
    event: &LogEvent<'_>,
    replace: impl Fn(&TaggedDigest) -> TaggedDigest,
) -> Result<(), EventLogError> {
    for digest in event.digests.iter().map(replace) {
        let bank = digest.algorithm();
        let old = pcrs.get(bank, event.pcr).copied().unwrap_or_else(|| TaggedDigest::filled(bank, 0));
        insert(pcrs, event.pcr, old.extend(digest.as_bytes()), event)?;
    }
    Ok(())
}

fn insert(
    pcrs: &mut PcrValues,
    index: u8,
    value: TaggedDigest,
    event: &LogEvent<'_>,
) -> Result<(), EventLogError> {
    pcrs.insert(index, value).map_err(|_| EventLogError::Pcr { offset: event.offset, pcr: index.into() })
}
