//! Signs events: the orders of the control plane to a device.

use p256::ecdsa::SigningKey;
use pawl_proto::codec::EncodeError;
use pawl_proto::message::{Event, EventKind, ShortText};
use pawl_proto::{Channel, Epoch, EventId, Topic};

use crate::pairing::{Pairing, PairingState};
use crate::record::Fact;

/// An order that the device has not yet proven to have carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingOrder {
    /// Its id.
    pub id: EventId,
    /// Its kind.
    pub kind: EventKind,
    /// The epoch that it concerns.
    pub epoch: Epoch,
}

/// An order that passed the checks of [`Order::new`]. [`Order::issue`] signs it.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pairing: &'a Pairing,
    kind: EventKind,
}

/// The fields of an event that do not follow from its order.
pub struct EventContext<'a> {
    /// A random id.
    pub id: EventId,
    /// A sequence above that of every earlier event of the device.
    pub sequence: u64,
    /// The operator's reason.
    pub reason: ShortText,
    /// Unix time, seconds.
    pub now: u64,
    /// The key that signs the event.
    pub order_key: &'a SigningKey,
}

/// A signed event.
#[derive(Clone, Debug)]
pub struct IssuedEvent {
    /// The event.
    pub event: Event,
    /// The signed message.
    pub message: Vec<u8>,
    /// The pairing's state from now on: a `revoke` or `repair` ends it for the control plane at once.
    pub state: PairingState,
    /// The record; only of an order that ends the pairing.
    pub fact: Option<Fact>,
}

impl<'a> Order<'a> {
    /// Checks that an order of this kind can be given to a device. `newest` is its newest pairing; `pending` are the orders
    /// that it has not proven to have carried out.
    ///
    /// # Errors
    /// [`OrderRefused`]
    pub fn new(
        newest: Option<&'a Pairing>,
        pending: &[PendingOrder],
        kind: EventKind,
    ) -> Result<Self, OrderRefused> {
        let pairing =
            newest.filter(|pairing| pairing.state != PairingState::Ended).ok_or(OrderRefused::NotPaired)?;
        // The broker retains only the newest event, so a weaker order must not replace one that ends the pairing.
        let is_in_the_way = |other: EventKind| match kind {
            EventKind::Revoke => other == EventKind::Revoke,
            _ => other != EventKind::Refresh,
        };
        let other = pending.iter().find(|other| other.epoch == pairing.epoch && is_in_the_way(other.kind));
        match other {
            Some(other) => Err(OrderRefused::Pending { kind: other.kind, id: other.id }),
            None => Ok(Self { pairing, kind }),
        }
    }

    /// Signs the event.
    ///
    /// # Errors
    /// [`EncodeError`]
    pub fn issue(self, context: EventContext<'_>) -> Result<IssuedEvent, EncodeError> {
        let Self { pairing, kind } = self;
        let event = Event {
            version: Default::default(),
            id: context.id,
            kind,
            device: pairing.device,
            epoch: pairing.epoch,
            sequence: context.sequence,
            time: context.now,
            reason: context.reason,
        };
        let topic = Topic::new(event.device, Channel::Event);
        let message = pawl_proto::signed::sign(&event, &topic, context.order_key)?;
        if !matches!(kind, EventKind::Revoke | EventKind::Repair) {
            return Ok(IssuedEvent { event, message, state: pairing.state, fact: None });
        }
        let fact = Some(Fact::RevokeOrdered {
            event: event.id.to_string(),
            order: event.kind.to_string(),
            epoch: event.epoch.0,
            reason: event.reason.as_str().to_owned(),
        });
        Ok(IssuedEvent { event, message, state: PairingState::Revoking, fact })
    }
}

/// Why an order cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderRefused {
    /// The device has no pairing to end or to refresh.
    #[error("the device has no pairing")]
    NotPaired,
    /// The device must carry out another order first.
    #[error("{kind} {id} is pending: the device has not answered it yet")]
    Pending {
        /// The kind of the pending order.
        kind: EventKind,
        /// Its id.
        id: EventId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::tests::pairing;
    use crate::testing::SoftTpm;

    #[test]
    fn a_weaker_order_does_not_replace_one_that_ends_the_pairing() {
        let pairing = pairing(&SoftTpm::new());
        let order = |pending: EventKind, epoch, kind| {
            let pending = PendingOrder { id: EventId::from_random([1; 16]), kind: pending, epoch };
            Order::new(Some(&pairing), &[pending], kind).is_ok()
        };
        use EventKind::{Refresh, Repair, Revoke};
        for (pending, kind, given) in [
            (Revoke, Revoke, false),
            (Revoke, Repair, false),
            (Revoke, Refresh, false),
            (Repair, Revoke, true),
            (Repair, Repair, false),
            (Refresh, Revoke, true),
            (Refresh, Refresh, true),
        ] {
            assert_eq!(order(pending, pairing.epoch, kind), given, "{kind} after {pending}");
            assert!(
                order(pending, Epoch(pairing.epoch.0 - 1), kind),
                "an order for an earlier epoch has no effect"
            );
        }
    }

    #[test]
    fn revoke_ends_the_pairing_at_once_and_refresh_does_not() {
        let mut pairing = pairing(&SoftTpm::new());
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let issue = |pairing: &Pairing, kind| {
            let context = EventContext {
                id: EventId::from_random([2; 16]),
                sequence: 4,
                reason: ShortText::lossy("sold"),
                now: 1_700_000_000,
                order_key: &key,
            };
            Order::new(Some(pairing), &[], kind).unwrap().issue(context).unwrap()
        };
        let revoke = issue(&pairing, EventKind::Revoke);
        assert_eq!((revoke.state, revoke.event.sequence), (PairingState::Revoking, 4));
        assert!(revoke.fact.is_some());
        let refresh = issue(&pairing, EventKind::Refresh);
        assert_eq!((refresh.state, refresh.fact), (PairingState::Live, None));
        pairing.state = PairingState::Ended;
        assert_eq!(Order::new(Some(&pairing), &[], EventKind::Revoke).unwrap_err(), OrderRefused::NotPaired);
    }
}
