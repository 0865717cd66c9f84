//! The connection to the broker.
//!
//! On each connection [`client_ids`] checks that the broker takes client ids from certificates, and [`subscriptions`]
//! that it grants what the control plane reads. Beside them, two tasks: [`session`] keeps the connection and takes in what devices send, one message after
//! the other, each acknowledged only after its transaction; [`publisher`] sends what the database
//! says has not been taken by the broker yet. The database is the outbox: nothing that the MQTT
//! client forgets is lost.

mod checks;
mod outbox;
mod publisher;
pub(crate) mod revocations;
mod session;

use std::sync::Arc;

use pawl_proto::message::{SignedReceipt, Status};
use pawl_proto::{Channel, DeviceId, Topic, limits};

use crate::control_plane::ControlPlane;
use crate::store::StoreError;
use crate::{orders, posture};

pub use checks::{ClientIds, Subscriptions};
pub use outbox::{Delivered, Listener, Outbox};
pub use session::{TlsError, run};

/// Takes one message in. An error means that it must not be acknowledged: the control plane could
/// not decide about it. What is malformed or forged is refused for good, and acknowledged.
///
/// So is a message of a device whose rows in the database are damaged: the broker would send it again for ever, ahead of
/// all other devices' messages.
///
/// # Errors
/// [`StoreError`] when the database failed.
pub async fn receive(plane: &Arc<ControlPlane>, topic: &[u8], payload: &[u8]) -> Result<(), StoreError> {
    match dispatch(plane, topic, payload).await {
        Err(error @ StoreError::Malformed(_)) => {
            let topic = String::from_utf8_lossy(topic);
            tracing::error!(%topic, %error, "a message is dropped: restore the database, or enrol the device again");
            Ok(())
        }
        result => result,
    }
}

/// The broker's ACL says who may write to a topic, so the topic tells which device speaks, and a
/// message that speaks of another is refused: no device can harm but itself.
async fn dispatch(plane: &Arc<ControlPlane>, topic: &[u8], payload: &[u8]) -> Result<(), StoreError> {
    let Some(topic) = std::str::from_utf8(topic).ok().and_then(|text| text.parse::<Topic>().ok()) else {
        tracing::warn!("a message on a topic that is none of ours");
        return Ok(());
    };
    let device = topic.device;
    if !plane.messages.admit(device, plane.clock.monotonic_ms()) {
        tracing::debug!(%device, "too many messages: one is dropped");
        return Ok(());
    }
    match topic.channel {
        Channel::Status => receive_status(plane, device, payload).await,
        Channel::Posture => posture::receive(plane, device, payload.to_vec()).await,
        Channel::Receipt => receive_receipt(plane, device, payload).await,
        _ => Ok(()),
    }
}

async fn receive_status(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    payload: &[u8],
) -> Result<(), StoreError> {
    let status = match pawl_proto::decode::<Status>(payload, limits::ORDER) {
        Ok(status) if status.device == device => status,
        Ok(_) => {
            tracing::warn!(%device, "a status of another device");
            return Ok(());
        }
        Err(error) => {
            tracing::warn!(%device, %error, "a malformed status");
            return Ok(());
        }
    };
    let now = plane.clock.now();
    plane.store.transaction(move |tx| tx.set_last_seen(&status, now)).await
}

async fn receive_receipt(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    payload: &[u8],
) -> Result<(), StoreError> {
    let signed = match pawl_proto::decode::<SignedReceipt>(payload, limits::ORDER) {
        Ok(signed) => signed,
        Err(error) => {
            tracing::warn!(%device, %error, "a malformed receipt");
            return Ok(());
        }
    };
    match orders::receive_receipt(plane, Some(device), signed).await {
        Ok(_) => Ok(()),
        Err(orders::ReceiptError::Store(error)) => Err(error),
        Err(error) => {
            tracing::warn!(%device, %error, "a receipt is refused");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
