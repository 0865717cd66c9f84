//! The outbox: parcels to publish, kept until the broker has acknowledged them.

use std::collections::VecDeque;

use crate::core::{Parcel, ParcelKind};

/// The parcels in their order. The first may be in flight; it stays first until it is delivered.
#[derive(Default)]
pub(super) struct Outbox {
    parcels: VecDeque<Parcel>,
    in_flight: bool,
}

impl Outbox {
    /// Adds a parcel. A status or a report replaces an older one of its kind that is not in flight yet. A receipt replaces
    /// nothing.
    pub(super) fn push(&mut self, parcel: Parcel) {
        let waiting = self.parcels.iter_mut().skip(usize::from(self.in_flight));
        match waiting.into_iter().find(|waiting| overtakes(parcel.kind, waiting.kind)) {
            Some(overtaken) => *overtaken = parcel,
            None => self.parcels.push_back(parcel),
        }
    }

    /// Returns the parcel to send, if none is in flight, and marks it as in flight.
    pub(super) fn next(&mut self) -> Option<&Parcel> {
        if self.in_flight {
            return None;
        }
        let first = self.parcels.front()?;
        self.in_flight = true;
        Some(first)
    }

    /// Removes the parcel in flight, which the broker has acknowledged. Returns its kind; none if no parcel was in flight.
    pub(super) fn delivered(&mut self) -> Option<ParcelKind> {
        let arrived = std::mem::take(&mut self.in_flight);
        if arrived { self.parcels.pop_front().map(|parcel| parcel.kind) } else { None }
    }

    /// Marks the parcel in flight as lost, so that it is sent again.
    pub(super) fn lost(&mut self) {
        self.in_flight = false;
    }

    /// Returns whether no parcel waits or is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }
}

fn overtakes(new: ParcelKind, old: ParcelKind) -> bool {
    matches!(
        (new, old),
        (ParcelKind::Status, ParcelKind::Status) | (ParcelKind::Posture(_), ParcelKind::Posture(_))
    )
}

#[cfg(test)]
mod tests {
    use pawl_proto::{Digest, Epoch};

    use super::*;

    fn parcel(kind: ParcelKind) -> Parcel {
        Parcel { kind, payload: Vec::new() }
    }

    fn report(number: u8) -> ParcelKind {
        ParcelKind::Posture(Digest([number; 32]))
    }

    #[test]
    fn a_lost_parcel_is_sent_again_and_a_delivered_one_is_not() {
        let mut outbox = Outbox::default();
        outbox.push(parcel(ParcelKind::Receipt(Epoch(1))));
        outbox.push(parcel(ParcelKind::Receipt(Epoch(2))));
        assert_eq!(outbox.next().map(|sent| sent.kind), Some(ParcelKind::Receipt(Epoch(1))));
        assert!(outbox.next().is_none(), "two in flight");
        outbox.lost();
        assert_eq!(outbox.next().map(|sent| sent.kind), Some(ParcelKind::Receipt(Epoch(1))));
        assert_eq!(outbox.delivered(), Some(ParcelKind::Receipt(Epoch(1))));
        assert_eq!(outbox.delivered(), None, "delivered twice");
        assert_eq!(outbox.next().map(|sent| sent.kind), Some(ParcelKind::Receipt(Epoch(2))));
        assert!(!outbox.is_empty());
    }

    #[test]
    fn a_report_overtakes_one_that_waits_but_none_in_flight_and_no_receipt() {
        let mut outbox = Outbox::default();
        outbox.push(parcel(report(1)));
        assert!(outbox.next().is_some());
        outbox.push(parcel(report(2)));
        outbox.push(parcel(ParcelKind::Receipt(Epoch(1))));
        outbox.push(parcel(report(3)));
        let mut order = vec![outbox.delivered()];
        while outbox.next().is_some() {
            order.push(outbox.delivered());
        }
        assert_eq!(order, [Some(report(1)), Some(report(3)), Some(ParcelKind::Receipt(Epoch(1)))]);
    }
}
