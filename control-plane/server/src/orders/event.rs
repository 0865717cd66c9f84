use std::sync::Arc;
use std::time::Duration;

use pawl_evidence::appraise::Uncovered;
use pawl_proto::codec::EncodeError;
use pawl_proto::message::{Event, EventKind, ShortText};
use pawl_proto::{DeviceId, Digest, EventId, SessionId};
use pawl_verifier::event::{EventContext, IssuedEvent, Order, OrderRefused, PendingOrder};

use crate::broker::Delivered;
use crate::control_plane::ControlPlane;
use crate::entitlement::AccessError;
use crate::store::{StoreError, Tx};
use crate::verdict::IssueError;

/// So long an operator waits for the broker's word before being told that the order is stored.
const DELIVERY: Duration = Duration::from_secs(5);

/// An order that stands: stored, and on its way.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The event.
    pub event: Event,
    /// When it was handed to the broker and when the broker acknowledged it, Unix milliseconds;
    /// none while the broker is away.
    pub delivered_at_ms: Option<(u64, u64)>,
}

/// Orders something of a device. A `revoke` or `repair` ends the pairing for this control plane
/// in the same transaction: tokens and leases stop at once, whether the device hears of it or not.
///
/// # Errors
/// [`OrderError`] when there is nothing to order, or the same is ordered already.
pub async fn order(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    kind: EventKind,
    reason: ShortText,
) -> Result<Ordered, OrderError> {
    let listener = plane.outbox.listen();
    let plane_in_tx = Arc::clone(plane);
    let event =
        plane.store.transaction(move |tx| order_in(&plane_in_tx, tx, device, kind, reason, None)).await?;
    plane.outbox.wake();
    tracing::info!(%device, id = %event.id, kind = %event.kind, epoch = %event.epoch, "ordered");

    let delivered_at_ms = if plane.outbox.connected() {
        listener.wait(DELIVERY, |delivered| times_of(delivered, event.id)).await
    } else {
        None
    };
    Ok(Ordered { event, delivered_at_ms })
}

fn times_of(delivered: Delivered, wanted: EventId) -> Option<(u64, u64)> {
    match delivered {
        Delivered::Event { id, published_at_ms, acknowledged_at_ms } if id == wanted => {
            Some((published_at_ms, acknowledged_at_ms))
        }
        _ => None,
    }
}

fn order_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: DeviceId,
    kind: EventKind,
    reason: ShortText,
    session: Option<SessionId>,
) -> Result<Event, OrderError> {
    tx.device(device)?.ok_or(OrderError::UnknownDevice)?;
    let newest = tx.newest_pairing(device)?;
    let pending = match &newest {
        Some(pairing) => tx.pending_events(device, pairing.epoch)?,
        None => Vec::new(),
    };
    let pending: Vec<PendingOrder> =
        pending.iter().map(|row| PendingOrder { id: row.id, kind: row.kind, epoch: row.epoch }).collect();
    let order = Order::new(newest.as_ref(), &pending, kind)?;
    let now = plane.clock.now();
    let issued = order.issue(EventContext {
        id: EventId::from_random(plane.random.bytes()),
        sequence: tx.next_event_sequence(device)?,
        reason,
        now,
        order_key: &plane.keys.signing.order,
    })?;
    let IssuedEvent { event, message, fact, .. } = issued;
    tx.add_event(&event, session, &message)?;
    if let (Some(pairing), Some(fact)) = (newest, fact) {
        tx.begin_revoking(pairing.id)?;
        tx.record(device, now, fact)?;
    }
    Ok(event)
}

/// Ends the live pairing of a device because a session was approved. Where there is none, or its
/// end is ordered already, nothing is left to be done.
pub(crate) fn end(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: DeviceId,
    kind: EventKind,
    reason: ShortText,
    session: SessionId,
) -> Result<(), IssueError> {
    match order_in(plane, tx, device, kind, reason, Some(session)) {
        Ok(event) => {
            tracing::info!(%device, id = %event.id, %kind, epoch = %event.epoch, %session, "ordered");
            Ok(())
        }
        Err(OrderError::Failed(error)) => Err(error),
        Err(_) => Ok(()),
    }
}

/// An order that cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Nobody enrolled it.
    #[error("no such device; `pawl-control-plane devices` lists them")]
    UnknownDevice,
    /// There is nothing to order, or another order has to be carried out first.
    #[error(transparent)]
    Refused(#[from] OrderRefused),
    /// No report has come yet whose boot state could be accepted.
    #[error("the device has reported nothing that could be accepted")]
    NothingReported,
    /// What would be accepted leaves kernel or command line open.
    #[error("this boot state cannot be accepted: {0}")]
    Uncovered(#[from] Uncovered),
    /// The device has reported another boot state than the operator has looked at.
    #[error(
        "the device has meanwhile reported another boot state, {reported}, than {seen}: look at it \
         (`pawl-control-plane show`) and name that one"
    )]
    OtherState {
        /// What the operator names.
        seen: Digest,
        /// What the device reported last.
        reported: Digest,
    },
    /// The operator resumes a device that works.
    #[error("the device is not suspended")]
    NotSuspended,
    /// The device was suspended again since the operator looked.
    #[error(
        "the device is under suspension {now} ({reason}), not {seen}: look at it (`pawl-control-plane show`) and name \
         that one"
    )]
    OtherSuspension {
        /// What the operator names.
        seen: u64,
        /// The suspension that is in force.
        now: u64,
        /// Its reason.
        reason: String,
    },
    /// What the operator grants cannot be granted.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The database failed, or a message could not be signed.
    #[error(transparent)]
    Failed(#[from] IssueError),
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<EncodeError> for OrderError {
    fn from(error: EncodeError) -> Self {
        Self::Failed(error.into())
    }
}
