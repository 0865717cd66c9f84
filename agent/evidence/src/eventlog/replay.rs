use super::error::EventLogError;
use super::event::Event;
use super::header::EventLog;
use super::kind::EventKind;
use crate::tpm::{Digest, PcrValues};

/// TCG_EfiStartupLocalityEvent: followed by one byte.
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";

impl EventLog<'_> {
    /// The PCR values that the log accounts for: each PCR that it extends, in each bank whose algorithm is
    /// known.
    ///
    /// # Errors
    /// When an event cannot be read, or the startup locality comes too late.
    pub fn replay(&self) -> Result<PcrValues, EventLogError> {
        let mut pcrs = PcrValues::default();
        for event in self.events() {
            let event = event?;
            if event.kind != EventKind::NO_ACTION {
                extend(&mut pcrs, &event)?;
            } else if let Some(locality) = startup_locality(&event) {
                self.start_at(locality, &mut pcrs, &event)?;
            }
        }
        Ok(pcrs)
    }

    /// A TPM that was started from another locality than 0, or by a hardware root of trust (4), begins with
    /// that number in PCR 0.
    fn start_at(&self, locality: u8, pcrs: &mut PcrValues, event: &Event<'_>) -> Result<(), EventLogError> {
        for bank in self.algorithms() {
            if pcrs.get(bank, 0).is_some() {
                return Err(EventLogError::StartupLocality { offset: event.offset });
            }
            let mut start = vec![0; bank.digest_len()];
            if let Some(last) = start.last_mut() {
                *last = locality;
            }
            insert(pcrs, 0, Digest::zero_padded(bank, &start), event)?;
        }
        Ok(())
    }
}

fn extend(pcrs: &mut PcrValues, event: &Event<'_>) -> Result<(), EventLogError> {
    for digest in &event.digests {
        let bank = digest.algorithm();
        let old = pcrs.get(bank, event.pcr).copied().unwrap_or_else(|| Digest::filled(bank, 0));
        insert(pcrs, event.pcr, old.extend(digest.as_bytes()), event)?;
    }
    Ok(())
}

fn insert(pcrs: &mut PcrValues, index: u8, value: Digest, event: &Event<'_>) -> Result<(), EventLogError> {
    pcrs.insert(index, value).map_err(|_| EventLogError::Pcr { offset: event.offset, pcr: index.into() })
}

fn startup_locality(event: &Event<'_>) -> Option<u8> {
    match event.data.strip_prefix(STARTUP_LOCALITY)? {
        [locality] if event.pcr == 0 => Some(*locality),
        _ => None,
    }
}
