use super::{decode, separator, u_boot};
use crate::eventlog::error::EventLogError;
use crate::eventlog::event::Event;
use crate::eventlog::facts::event_fact::{EventFact, Stage};
use crate::eventlog::header::EventLog;
use crate::tpm::{HashAlgorithm, PCR_COUNT};

impl<'a> EventLog<'a> {
    /// Returns the fact of each event, in order, by the bank that devices quote: SHA-256 if the log has it, else
    /// SHA-384.
    ///
    /// # Errors
    /// As [`EventLog::facts_of`].
    pub fn facts(&self) -> Result<Vec<EventFact<'a>>, EventLogError> {
        let has_sha256 = self.algorithms().any(|bank| bank == HashAlgorithm::Sha256);
        let has_sha384 = self.algorithms().any(|bank| bank == HashAlgorithm::Sha384);
        let bank = if has_sha384 && !has_sha256 { HashAlgorithm::Sha384 } else { HashAlgorithm::Sha256 };
        self.facts_of(bank)
    }

    /// Returns the fact of each event, in order, by the digests of one bank.
    ///
    /// Trust the facts only if [`EventLog::replay`] gives the quoted PCRs.
    ///
    /// # Errors
    /// If an event is malformed.
    pub fn facts_of(&self, bank: HashAlgorithm) -> Result<Vec<EventFact<'a>>, EventLogError> {
        let events = self.events().collect::<Result<Vec<_>, _>>()?;
        let separators: Vec<_> = (0..PCR_COUNT).map(|pcr| first_separator(&events, pcr, bank)).collect();
        let is_u_boot = u_boot::has_started_kernel(&events);
        let facts = (1..).zip(&events).map(|(number, event)| {
            let separator = separators.get(usize::from(event.pcr)).copied().flatten();
            let stage = match separator {
                Some(offset) if event.offset <= offset => Stage::Firmware,
                _ => Stage::Loader,
            };
            let bootargs = if is_u_boot { u_boot::command_line(event, stage, bank) } else { None };
            let (fact, tie) = bootargs.unwrap_or_else(|| decode(event, bank));
            EventFact {
                number,
                offset: event.offset,
                pcr: event.pcr,
                kind: Some(event.kind),
                digest: event.extended().and_then(|event| event.digest(bank)).copied(),
                tie,
                stage,
                fact,
            }
        });
        Ok(facts.collect())
    }
}

/// Returns the place of a PCR's first separator.
fn first_separator(events: &[Event<'_>], pcr: u8, bank: HashAlgorithm) -> Option<usize> {
    let mut extended = events.iter().filter_map(Event::extended).filter(|event| event.pcr == pcr);
    extended
        .find(|event| event.digest(bank).is_some_and(|digest| separator(digest).is_some()))
        .map(|event| event.offset)
}
