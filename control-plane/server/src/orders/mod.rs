//! Events that operators or approvals order, and the receipts that prove they were carried out.

mod entitle;
mod retire;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use pawl_evidence::appraise::{TpmTime, Uncovered};
use pawl_proto::codec::EncodeError;
use pawl_proto::message::{Cause, Event, EventKind, Receipt, ShortText, SignedReceipt};
use pawl_proto::{DecodeError, DeviceId, Digest, EventId, SessionId};
use pawl_verifier::event::{EventContext, IssuedEvent, Order, OrderRefused, PendingOrder};
use pawl_verifier::receipt::{self, VerifiedReceipt, verify_receipt};

use crate::broker::{Delivered, Listener};
use crate::control_plane::ControlPlane;
use crate::entitlement::AccessError;
use crate::incident;
use crate::store::{StoreError, Tx};
use crate::verdict::IssueError;

pub(crate) use entitle::entitle_in;
pub use entitle::{AccessChanged, entitle};
pub use receive as receive_receipt;
pub use retire::{Deleted, Retired, delete, rename, retire};
pub use standing::{StandingChanged, accept, resume, suspend};

/// How long an operator's command waits for the broker before it reports that the order is only stored.
const DELIVERY: Duration = Duration::from_secs(5);

/// A stored order.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The event.
    pub event: Event,
    /// When it was sent to the broker and when the broker acknowledged it, Unix milliseconds; none while the broker cannot
    /// be reached.
    pub delivered_at_ms: Option<(u64, u64)>,
}

/// Orders an event. A `revoke` or `repair` ends the pairing at the control plane in the same transaction: tokens and leases
/// stop at once, whether the event reaches the device or not.
///
/// # Errors
/// [`OrderError`] when there is no pairing to order it for, or the same is ordered already.
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

    let delivered_at_ms = wait_for_event(plane, listener, event.id).await;
    Ok(Ordered { event, delivered_at_ms })
}

/// Waits for the broker to acknowledge an event. Returns when it was sent and acknowledged, Unix milliseconds.
async fn wait_for_event(plane: &ControlPlane, listener: Listener, id: EventId) -> Option<(u64, u64)> {
    if !plane.outbox.connected() {
        return None;
    }
    listener.wait(DELIVERY, |delivered| times_of(delivered, id)).await
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

/// Orders the end of a device's live pairing for an approved session. Does nothing if there is none or its end is
/// ordered already.
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

/// Why an order is refused.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It is not enrolled.
    #[error("no such device; `pawl-control-plane devices` lists them")]
    UnknownDevice,
    /// There is no pairing for it, or another order must be carried out first.
    #[error(transparent)]
    Refused(#[from] OrderRefused),
    /// The device has not reported yet.
    #[error("the device has not reported a boot state yet")]
    NothingReported,
    /// The boot state does not cover kernel or command line.
    #[error("this boot state cannot be accepted: {0}")]
    Uncovered(#[from] Uncovered),
    /// The device has reported another boot state than the operator has seen.
    #[error(
        "the device has since reported another boot state, {reported}, instead of {seen}: inspect it \
         (`pawl-control-plane show`) and name that one"
    )]
    OtherState {
        /// The digest that the operator names.
        seen: Digest,
        /// The digest of the last reported state.
        reported: Digest,
    },
    /// The device is retired.
    #[error("the device is retired: to use it again, enrol it again")]
    Retired,
    /// The device is in service.
    #[error("only a retired device is deleted: see `pawl-control-plane retire`")]
    NotRetired,
    /// The device is not suspended.
    #[error("the device is not suspended")]
    NotSuspended,
    /// The device was suspended again after the operator inspected it.
    #[error(
        "the device is under suspension {now} ({reason}), not {seen}: inspect it (`pawl-control-plane show`) and name \
         that one"
    )]
    OtherSuspension {
        /// The number that the operator names.
        seen: u64,
        /// The suspension that is in force.
        now: u64,
        /// Its reason.
        reason: String,
    },
    /// The scopes or audiences cannot be granted.
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

/// Verifies and stores a receipt. The attestation key's signature authenticates it, so anybody may deliver it. `from`
/// is the device on whose topic it arrived.
///
/// Returns the signed event that ended the epoch, if the device does not know it.
///
/// # Errors
/// [`ReceiptError`] names the failed check; such a receipt is not stored.
pub async fn receive(
    plane: &Arc<ControlPlane>,
    from: Option<DeviceId>,
    signed: SignedReceipt,
) -> Result<Option<Vec<u8>>, ReceiptError> {
    let receipt: Receipt = pawl_proto::decode(signed.receipt.as_bytes(), signed.receipt.as_bytes().len())?;
    if from.is_some_and(|device| device != receipt.device) {
        return Err(ReceiptError::OtherDevice);
    }
    let now_ms = plane.clock.now_ms();
    plane.store.transaction(move |tx| receive_in(tx, &receipt, &signed, now_ms)).await
}

fn receive_in(
    tx: &Tx<'_>,
    receipt: &Receipt,
    signed: &SignedReceipt,
    now_ms: u64,
) -> Result<Option<Vec<u8>>, ReceiptError> {
    let VerifiedReceipt { clock, fact } =
        verify_receipt(tx.pairing(receipt.pairing)?.as_ref(), receipt, signed)?;
    let (time, now) = (TpmTime::new(receipt.epoch.0, clock), now_ms / 1000);
    let order = unknown_order(tx, receipt)?;
    if !tx.add_receipt(receipt, signed, now_ms)? {
        return Ok(order);
    }
    // A late receipt is older than the stored history. Even a receipt that contradicts the history proves that its
    // epoch is over.
    match tx.tpm_history(receipt.device)?.raised_to(time) {
        Some(history) => tx.set_tpm_history(receipt.device, &history)?,
        None => incident::check_history(tx, receipt.device, time, now)?,
    }
    // The TPM has certified that its counter is at `receipt.epoch`: every earlier epoch is over.
    tx.end_pairings_below(receipt.device, receipt.epoch, now)?;
    tx.settle_events_below(receipt.device, receipt.epoch)?;
    tx.record(receipt.device, now, fact)?;
    tracing::info!(device = %receipt.device, ended = %receipt.ended, epoch = %receipt.epoch, "receipt verified");
    Ok(order)
}

/// Returns the event that ended the device's newest pairing, if the receipt's cause is `recovery`: the daemon was
/// killed between the increment and the write of the cause, and does not know why the epoch ended.
fn unknown_order(tx: &Tx<'_>, receipt: &Receipt) -> Result<Option<Vec<u8>>, StoreError> {
    let newest = tx.newest_pairing(receipt.device)?;
    if receipt.cause != Cause::Recovery || newest.is_none_or(|pairing| pairing.id != receipt.pairing) {
        return Ok(None);
    }
    tx.ending_event(receipt.device, receipt.ended)
}

/// Why a receipt is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// It is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It arrived on another device's topic.
    #[error("the receipt is about another device")]
    OtherDevice,
    /// The TPM's attestation does not prove its content.
    #[error(transparent)]
    Unproven(#[from] receipt::ReceiptError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests;
