//! Verifies messages of the control plane before the core acts on them.
//!
//! The core counts refused messages, and logs each kind of refusal at most once a minute: a broker that sends garbage can fill
//! neither the log nor the disk.

use std::collections::BTreeMap;
use std::time::Duration;

use pawl_proto::codec::{DecodeError, Version};
use pawl_proto::message::{Cause, Event, EventKind, ShortText, Verdict};
use pawl_proto::record::DeviceFact;
use pawl_proto::signed::{self, VerifyError};
use pawl_proto::{Channel, Epoch, EventId, Topic};

use super::context::Context;
use crate::record::{PairingRecord, Revocation};
use crate::telemetry::event::SecurityEvent;

/// A verified message: its signature, topic, device, pairing and epoch are valid.
pub(super) enum Order {
    /// A verdict that is newer than the last one.
    Verdict(Box<Verdict>),
    /// A verdict with this sequence number, which is not newer than the last one.
    Repeated(u64),
    /// An event that is newer than the last one.
    Event(Event),
    /// A retained event that needs no action: it is for an earlier epoch, or of an unknown kind and was received before.
    Past,
}

/// The highest sequence numbers that were accepted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) verdict: u64,
    pub(super) event: u64,
}

/// Verifies a message for the pairing of `record`, and updates `seen`.
pub(super) fn verify(
    record: &PairingRecord,
    seen: &mut Seen,
    topic: &str,
    payload: &[u8],
) -> Result<Order, Refusal> {
    let topic: Topic = topic.parse().map_err(|_| Refusal::Forged)?;
    if topic.device != record.device {
        return Err(Refusal::WrongDevice);
    }
    match topic.channel {
        Channel::Verdict => {
            let verdict: Verdict = signed::verify(payload, &topic, &record.order_keys)?;
            match accept_verdict(record, seen, &verdict) {
                Err(Refusal::Replayed) => Ok(Order::Repeated(verdict.sequence)),
                accepted => accepted.map(|()| Order::Verdict(Box::new(verdict))),
            }
        }
        Channel::Event => {
            let event: Event = signed::verify(payload, &topic, &record.order_keys)?;
            if event.device == record.device && event.epoch < record.epoch {
                return Ok(Order::Past);
            }
            // The broker delivers a retained event again; an unknown one is logged once.
            let is_repeated = !event.kind.is_known() && event.sequence <= seen.event;
            if is_repeated && event.device == record.device && event.epoch == record.epoch {
                return Ok(Order::Past);
            }
            accept_event(record, seen, &event)?;
            Ok(Order::Event(event))
        }
        _ => Err(Refusal::Forged),
    }
}

/// Verifies the event that ended the pairing of `record`. Returns the cause that follows from it, and the event.
pub(super) fn verify_ending(record: &PairingRecord, message: &[u8]) -> Result<(Cause, Event), Refusal> {
    let topic = Topic::new(record.device, Channel::Event);
    let event: Event = signed::verify(message, &topic, &record.order_keys)?;
    accept_event(record, &mut Seen::default(), &event)?;
    match event.kind {
        EventKind::Revoke => Ok((Cause::Revoke, event)),
        EventKind::Repair => Ok((Cause::Repair, event)),
        _ => Err(Refusal::Malformed),
    }
}

/// Logs and records an event of a kind that only a newer version knows. The daemon does not act on it.
pub(super) fn ignore(cx: &mut Context, event: &Event) {
    let Event { id, kind, epoch, reason, .. } = event;
    let text =
        format!("ignoring an order that this version does not know: order={kind} event={id} reason={reason}");
    cx.security(SecurityEvent::ORDER_UNKNOWN, Some(*epoch), text);
    cx.record(Some(*epoch), None, DeviceFact::Ignored { event: *id, order: *kind });
}

fn accept_verdict(record: &PairingRecord, seen: &mut Seen, verdict: &Verdict) -> Result<(), Refusal> {
    if verdict.device != record.device {
        return Err(Refusal::WrongDevice);
    }
    if verdict.pairing != record.pairing {
        return Err(Refusal::WrongPairing);
    }
    if verdict.epoch != record.epoch {
        return Err(Refusal::WrongEpoch);
    }
    rises(verdict.sequence, &mut seen.verdict)
}

fn accept_event(record: &PairingRecord, seen: &mut Seen, event: &Event) -> Result<(), Refusal> {
    if event.device != record.device {
        return Err(Refusal::WrongDevice);
    }
    if event.epoch != record.epoch {
        return Err(Refusal::WrongEpoch);
    }
    rises(event.sequence, &mut seen.event)
}

fn rises(sequence: u64, highest: &mut u64) -> Result<(), Refusal> {
    if sequence <= *highest {
        return Err(Refusal::Replayed);
    }
    *highest = sequence;
    Ok(())
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// Not signed by a pinned key for this topic.
    Forged,
    /// Not a message, or not in its canonical encoding.
    Malformed,
    /// Larger than the limit.
    Oversize,
    /// Meant for another device.
    WrongDevice,
    /// Meant for another pairing of this device.
    WrongPairing,
    /// A verdict for another epoch, or an event for a later one.
    WrongEpoch,
    /// Not newer than the last message of its kind.
    Replayed,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Oversize => "oversize",
            Self::WrongDevice => "wrong-device",
            Self::WrongPairing => "wrong-pairing",
            Self::WrongEpoch => "wrong-epoch",
            Self::Replayed => "replayed",
        }
    }
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Payload(DecodeError::TooLong(_)) => Self::Oversize,
            VerifyError::Envelope | VerifyError::Payload(_) => Self::Malformed,
            _ => Self::Forged,
        }
    }
}

/// The number of refused messages, and when each kind was logged last.
#[derive(Default)]
pub(super) struct Refused {
    kinds: BTreeMap<Refusal, Tally>,
}

struct Tally {
    count: u64,
    logged: Duration,
}

/// The shortest time between two log lines about the same kind.
const QUIET: Duration = Duration::from_secs(60);

impl Refused {
    /// Counts a refusal.
    pub(super) fn count(&mut self, cx: &mut Context, refusal: Refusal) {
        let now = cx.now.boot;
        let is_first = !self.kinds.contains_key(&refusal);
        let tally = self.kinds.entry(refusal).or_insert(Tally { count: 0, logged: now });
        tally.count += 1;
        if is_first || now.saturating_sub(tally.logged) >= QUIET {
            tally.logged = now;
            let text = format!("a message was refused: kind={} count={}", refusal.as_str(), tally.count);
            cx.security(SecurityEvent::ORDER_REFUSED, None, text);
        }
    }

    /// Returns the counts, by kind.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.kinds.iter().map(|(kind, tally)| (kind.as_str().to_owned(), tally.count)).collect()
    }
}

/// Why an epoch ends.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) cause: Cause,
    pub(super) event: Option<EventId>,
    pub(super) reason: ShortText,
}

impl Ending {
    /// Returns the revocation of an epoch whose end begins at this Unix time.
    pub(super) fn into_revocation(self, ended: Epoch, time: u64) -> Revocation {
        let Self { cause, event, reason } = self;
        Revocation { version: Version, ended, cause, event, reason, time, counted: false, receipted: false }
    }
}

/// Returns the cause, reason and event of a revocation, for the log.
pub(super) fn reason(revocation: &Revocation) -> String {
    let Revocation { cause, event, reason, .. } = revocation;
    let event = event.map(|event| format!(", event {event}")).unwrap_or_default();
    format!("{cause:?}, {:?}{event}", reason.as_str())
}
