//! Decodes events to facts: selects the decoder for an event, and checks what the digest covers.

use super::fact::{EventFact, Fact, Stage, Tie};
use super::firmware::{Action, FirmwareContent};
use super::image::{BootOption, Image, PartitionTable};
use super::loader::{self, Decoded, Measured};
use super::signatures::{Authority, SignatureDatabase};
use super::uefi::{Guid, Variable};
use super::{image, uefi};
use crate::eventlog::kind::EventKind;
use crate::eventlog::log::{EventLog, EventLogError, LogEvent};
use crate::tpm::{HashAlgorithm, PCR_COUNT, TaggedDigest};

/// Returns the fact of an event and how it is tied to the digest of this bank.
fn decode<'a>(event: &LogEvent<'a>, bank: HashAlgorithm) -> (Fact<'a>, Tie) {
    if event.extended().is_none() {
        let fact = event.startup_locality().map_or(Fact::Unmeasured, Fact::StartupLocality);
        return (fact, Tie::Claim);
    }
    let other = (Fact::Other, Tie::Claim);
    // The event extended nothing in the quoted bank.
    let Some(digest) = event.digest(bank) else { return other };
    let event = Measured { event, digest };
    decode_measured(&event).unwrap_or(other)
}

fn decode_measured<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let LogEvent { kind, pcr, data, .. } = *measured.event;
    match (kind, pcr) {
        (EventKind::SEPARATOR, _) => {
            let failed = separator(measured.digest)?;
            Some((Fact::Separator { failed }, Tie::Digest))
        }
        (EventKind::EFI_ACTION | EventKind::ACTION | EventKind::OMIT_BOOT_DEVICE_EVENTS, _) => {
            Some(measured.whole(Fact::Action(Action::read(data)?)))
        }
        (EventKind::S_CRTM_VERSION, 0) => match uefi::ascii(data).or_else(|| uefi::guid_text(data)) {
            Some(version) => Some(measured.whole(Fact::FirmwareVersion(version))),
            None => firmware(measured),
        },
        (EventKind::EFI_BOOT_SERVICES_APPLICATION, 2 | 4)
        | (EventKind::EFI_BOOT_SERVICES_DRIVER | EventKind::EFI_RUNTIME_SERVICES_DRIVER, 0 | 2 | 4) => {
            Some((Fact::Image(Image::read(kind, data)), Tie::Digest))
        }
        (EventKind::EFI_GPT_EVENT | EventKind::EFI_GPT_EVENT2, 5) => {
            Some(measured.whole(Fact::Partitions(PartitionTable::read(data)?)))
        }
        (EventKind::EFI_VARIABLE_DRIVER_CONFIG, 1 | 3 | 5 | 7) => decode_configuration(measured),
        (EventKind::EFI_VARIABLE_BOOT | EventKind::EFI_VARIABLE_BOOT2, 1 | 5) => {
            decode_boot_variable(measured)
        }
        (EventKind::EFI_VARIABLE_AUTHORITY, 7) => decode_authority(measured),
        (EventKind::EVENT_TAG, 1 | 5 | 9 | 12 | 13) => loader::decode_tagged(measured),
        (EventKind::IPL, 8..=14) => loader::decode_ipl(measured),
        (EventKind::COMPACT_HASH, 8 | 9) => loader::u_boot_image(measured),
        (EventKind::EFI_SPDM_DEVICE_POLICY | EventKind::EFI_SPDM_DEVICE_AUTHORITY, 7) | (_, 0..=3 | 6) => {
            firmware(measured)
        }
        _ => None,
    }
}

fn firmware<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let content = FirmwareContent::read(measured.event.kind, measured.data())?;
    Some((Fact::FirmwareContent(content), Tie::Digest))
}

/// Returns whether a separator reports a failure; `None` if the digest is not a separator's. The firmware hashes a
/// fixed number, and not the event's data (TCG PC Client Platform Firmware Profile, section 10.4.5).
fn separator(digest: &TaggedDigest) -> Option<bool> {
    let is = |number: u32| digest.algorithm().digest(&[&number.to_le_bytes()]) == *digest;
    match () {
        () if is(0) || is(u32::MAX) => Some(false),
        () if is(1) => Some(true),
        () => None,
    }
}

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
        let is_u_boot = loader::has_started_kernel(&events);
        let facts = (1..).zip(&events).map(|(number, event)| {
            let separator = separators.get(usize::from(event.pcr)).copied().flatten();
            let stage = match separator {
                Some(offset) if event.offset <= offset => Stage::Firmware,
                _ => Stage::Loader,
            };
            let bootargs = if is_u_boot { loader::u_boot_command_line(event, stage, bank) } else { None };
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
fn first_separator(events: &[LogEvent<'_>], pcr: u8, bank: HashAlgorithm) -> Option<usize> {
    let mut extended = events.iter().filter_map(LogEvent::extended).filter(|event| event.pcr == pcr);
    extended
        .find(|event| event.digest(bank).is_some_and(|digest| separator(digest).is_some()))
        .map(|event| event.offset)
}

/// The PCR of Secure Boot's state and keys.
const SECURE_BOOT_PCR: u8 = 7;
/// The longest padding that shim leaves after a variable.
const PADDING_MAX: usize = 8;

/// Decodes EV_EFI_VARIABLE_DRIVER_CONFIG; the digest covers the whole structure.
fn decode_configuration<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let variable = Variable::read(measured.data())?;
    let fact = secure_boot(measured.event.pcr, &variable).unwrap_or(Fact::Variable(variable));
    Some(measured.whole(fact))
}

/// Decodes EV_EFI_VARIABLE_BOOT. Most firmware hashes only the value, as the profile required before
/// EV_EFI_VARIABLE_BOOT2. Then the digest ties only variables whose value identifies them; others are claims.
fn decode_boot_variable<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let variable = Variable::read(measured.data())?;
    let value_alone = measured.covers(&[variable.data]);
    let order = || image::read_boot_order(&variable).map(Fact::BootOrder);
    match BootOption::of(&variable).map(Fact::BootOption).or_else(order) {
        Some(fact) if value_alone => Some((fact, Tie::Digest)),
        Some(fact) => Some(measured.whole(fact)),
        None => Some(measured.whole(Fact::Variable(variable))),
    }
}

/// Decodes EV_EFI_VARIABLE_AUTHORITY, which shim also logs for its own variables. Old versions of shim hash a
/// few zeros after the structure, and log one byte more than they hash.
fn decode_authority<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let (variable, len) = Variable::read_front(measured.data())?;
    let fact = Authority::of(&variable).map_or(Fact::Variable(variable), Fact::Authority);
    let followed_by = measured.data().len().checked_sub(len).filter(|more| *more <= PADDING_MAX)?;
    let hashed = (0..=followed_by).filter_map(|more| measured.data().get(..len.checked_add(more)?));
    let is_covered = hashed.into_iter().any(|hashed| measured.covers(&[hashed]));
    Some((fact, if is_covered { Tie::Digest } else { Tie::Claim }))
}

fn secure_boot(pcr: u8, variable: &Variable<'_>) -> Option<Fact<'static>> {
    if pcr != SECURE_BOOT_PCR {
        return None;
    }
    if variable.is(Guid::GLOBAL_VARIABLE, "SecureBoot") {
        // Firmware without Secure Boot has no such variable, and measures it with an empty value.
        return match variable.data {
            [] | [0] => Some(Fact::SecureBoot(false)),
            [1] => Some(Fact::SecureBoot(true)),
            _ => None,
        };
    }
    SignatureDatabase::of(variable).map(Fact::SignatureDatabase)
}
