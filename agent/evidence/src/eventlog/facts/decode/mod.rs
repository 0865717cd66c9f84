//! Decodes an event to its fact: selects the decoder, and checks what the digest covers.

mod list;
mod loader;
mod tagged;
mod u_boot;
mod variable;

use super::action::Action;
use super::event_fact::Tie;
use super::fact::Fact;
use super::firmware::FirmwareContent;
use super::image::Image;
use super::partitions::PartitionTable;
use super::text;
use crate::eventlog::event::Event;
use crate::eventlog::kind::EventKind;
use crate::tpm::{HashAlgorithm, TaggedDigest};

/// The result of a decoder; `None` if the event is unknown, in the wrong PCR, or malformed.
type Decoded<'a> = Option<(Fact<'a>, Tie)>;

/// An event with the digest that counts.
struct Measured<'e, 'a> {
    event: &'e Event<'a>,
    digest: &'e TaggedDigest,
}

impl<'a> Measured<'_, 'a> {
    fn data(&self) -> &'a [u8] {
        self.event.data
    }

    /// Returns whether the digest is the hash of these parts in sequence.
    fn covers(&self, parts: &[&[u8]]) -> bool {
        self.digest.algorithm().digest(parts) == *self.digest
    }

    /// Returns the fact, which was decoded from all of the data.
    fn whole(&self, fact: Fact<'a>) -> (Fact<'a>, Tie) {
        let tie = if self.covers(&[self.data()]) { Tie::Digest } else { Tie::Claim };
        (fact, tie)
    }
}

/// Returns the fact of an event and how it is tied to the digest of this bank.
fn decode<'a>(event: &Event<'a>, bank: HashAlgorithm) -> (Fact<'a>, Tie) {
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
    let Event { kind, pcr, data, .. } = *measured.event;
    match (kind, pcr) {
        (EventKind::SEPARATOR, _) => {
            let failed = separator(measured.digest)?;
            Some((Fact::Separator { failed }, Tie::Digest))
        }
        (EventKind::EFI_ACTION | EventKind::ACTION | EventKind::OMIT_BOOT_DEVICE_EVENTS, _) => {
            Some(measured.whole(Fact::Action(Action::read(data)?)))
        }
        (EventKind::S_CRTM_VERSION, 0) => match text::ascii(data).or_else(|| text::guid(data)) {
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
        (EventKind::EFI_VARIABLE_DRIVER_CONFIG, 1 | 3 | 5 | 7) => variable::configuration(measured),
        (EventKind::EFI_VARIABLE_BOOT | EventKind::EFI_VARIABLE_BOOT2, 1 | 5) => variable::boot(measured),
        (EventKind::EFI_VARIABLE_AUTHORITY, 7) => variable::authority(measured),
        (EventKind::EVENT_TAG, 1 | 5 | 9 | 12 | 13) => tagged::decode(measured),
        (EventKind::IPL, 8..=14) => loader::decode(measured),
        (EventKind::COMPACT_HASH, 8 | 9) => u_boot::image(measured),
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

/// Returns whether a separator reports a failure; `None` if the digest is not a separator's. The digest is of a
/// fixed number, whatever the event's data is (TCG PC Client Platform Firmware Profile, section 10.4.5).
fn separator(digest: &TaggedDigest) -> Option<bool> {
    let is = |number: u32| digest.algorithm().digest(&[&number.to_le_bytes()]) == *digest;
    match () {
        () if is(0) || is(u32::MAX) => Some(false),
        () if is(1) => Some(true),
        () => None,
    }
}
