//! A device whose epoch is over, while the link still stands: the receipt goes to the broker,
//! then the order is acknowledged, and only then the connection is given up. Its key is dead, so
//! it could not be made again.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::Epoch;
use pawl_proto::codec::Version;
use pawl_proto::local::{Problem, Wiped};
use pawl_proto::message::{DeviceState, Status};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::idle::Idle;
use super::receipts;
use super::{Device, Phase};
use crate::link::{Acknowledgement, Link, LinkEvent, Parcel, ParcelKind};
use crate::problem;
use crate::shared::Shared;
use crate::store::{PairingRecord, Revocation};
use crate::wipe;

/// How long the broker may take before the receipt goes over HTTPS.
const GRACE: Duration = Duration::from_secs(10);

pub(super) struct Revoked {
    record: Arc<PairingRecord>,
    revocation: Revocation,
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    acknowledgement: Option<Acknowledgement>,
    until: Instant,
}

/// What happens while the receipt is under way.
pub(super) enum Input {
    Link(LinkEvent),
    /// The broker took too long.
    Late,
}

impl Revoked {
    pub(super) async fn next(&mut self) -> Input {
        tokio::select! {
            event = self.events.recv() => match event {
                Some(event) => Input::Link(event),
                None => Input::Late,
            },
            () = sleep_until(self.until) => Input::Late,
        }
    }

    /// Whether this phase is over: the broker has the receipt, or will not get it from here.
    pub(super) fn handle(&mut self, shared: &Shared, input: Input) -> bool {
        match input {
            Input::Link(LinkEvent::Delivered(ParcelKind::Receipt(epoch))) => {
                receipts::taken(shared, epoch, "broker");
                self.link.acknowledge(self.acknowledgement.take());
                true
            }
            Input::Link(LinkEvent::Lost(_)) | Input::Late => true,
            Input::Link(_) => false,
        }
    }

    pub(super) fn announce(&self) {
        publish_status(&self.link, &self.record, DeviceState::Revoked, true);
    }

    pub(super) fn record(&self) -> &PairingRecord {
        &self.record
    }
}

/// Publishes the status, for people and dashboards.
pub(super) fn publish_status(link: &Link, record: &PairingRecord, state: DeviceState, online: bool) {
    let status = Status { version: Version, device: record.device, online, state, epoch: record.epoch };
    match pawl_proto::encode(&status) {
        Ok(payload) => link.publish(Parcel { kind: ParcelKind::Status, payload }),
        Err(error) => tracing::error!(%error, "the status is not published"),
    }
}

impl Device {
    /// Ends the live pairing.
    pub(super) async fn wipe(
        &mut self,
        order: wipe::Order,
        acknowledgement: Option<Acknowledgement>,
    ) -> Result<Wiped, Problem> {
        let Phase::Paired(paired) = &self.phase else { return Err(problem::unpaired()) };
        let record = Arc::clone(paired.record());
        let wiped = wipe::wipe(&self.shared, &record, order).await;
        let answer = match &wiped.refusal {
            Some(error) => Err(problem::counter_owed(error)),
            None => {
                // Without a receipt the value is not known yet; it has moved on by at least one.
                let next = Epoch(record.epoch.0.saturating_add(1));
                Ok(Wiped { ended: record.epoch, epoch: wiped.epoch.unwrap_or(next) })
            }
        };
        self.leave_pairing(&record, wiped, acknowledgement);
        answer
    }

    /// Goes on to deliver the receipt: over the link while it stands, else over HTTPS. What the
    /// pairing had under way ends here.
    fn leave_pairing(
        &mut self,
        record: &Arc<PairingRecord>,
        wiped: wipe::Wiped,
        acknowledgement: Option<Acknowledgement>,
    ) {
        let idle = Idle::after_wipe(PairingRecord::clone(record), &wiped);
        let phase = std::mem::replace(&mut self.phase, Phase::Idle(Box::new(idle)));
        let connection = match phase {
            Phase::Paired(paired) => paired.connection.into_standing(),
            _ => None,
        };
        match (connection, wiped.receipt) {
            (Some((link, events)), Some(payload)) => {
                link.publish(Parcel { kind: ParcelKind::Receipt(record.epoch), payload });
                self.phase = Phase::Revoked(Box::new(Revoked {
                    record: Arc::clone(record),
                    revocation: wiped.revocation,
                    link,
                    events,
                    acknowledgement,
                    until: Instant::now() + GRACE,
                }));
            }
            (_, _) => self.revocation_over(),
        }
    }

    /// Nothing more goes over the link.
    pub(super) fn revocation_over(&mut self) {
        if let Phase::Revoked(revoked) = &self.phase {
            let idle = Idle::revoked(PairingRecord::clone(&revoked.record), revoked.revocation.clone());
            self.phase = Phase::Idle(Box::new(idle));
        }
        self.deliver_receipts();
        self.show_session();
        self.make_granted();
    }
}
