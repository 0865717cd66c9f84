//! The connection to the broker.
//!
//! `session` keeps the connection and receives the devices' messages, one after the other; each is acknowledged only after
//! its transaction. `publisher` sends the messages that the broker has not acknowledged, from the database: the database
//! is the outbox, so nothing is lost when the MQTT client loses its state. On each connection `checks` verifies that the
//! broker takes client ids from certificates and grants the subscriptions.

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

/// Receives one message. After `Ok` the caller must acknowledge it, even if it is malformed, forged or of a device
/// whose rows in the database are damaged: the broker would otherwise send it again forever, ahead of all other
/// devices' messages.
///
/// # Errors
/// [`StoreError`] when the database failed; the message must not be acknowledged.
pub async fn receive(plane: &Arc<ControlPlane>, topic: &[u8], payload: &[u8]) -> Result<(), StoreError> {
    match dispatch(plane, topic, payload).await {
        Err(error @ StoreError::Malformed(_)) => {
            let topic = String::from_utf8_lossy(topic);
            tracing::error!(%topic, %error, "message dropped: restore the database, or enrol the device again");
            Ok(())
        }
        result => result,
    }
}

/// Dispatches a message by its topic. The broker's ACL lets each device write only to its own topics, so the topic names the
/// sender; a message about another device is refused.
async fn dispatch(plane: &Arc<ControlPlane>, topic: &[u8], payload: &[u8]) -> Result<(), StoreError> {
    let Some(topic) = std::str::from_utf8(topic).ok().and_then(|text| text.parse::<Topic>().ok()) else {
        tracing::warn!("message on an unknown topic ignored");
        return Ok(());
    };
    let device = topic.device;
    if !plane.messages.admit(device, plane.clock.monotonic_ms()) {
        tracing::debug!(%device, "message dropped: too many messages");
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
            tracing::warn!(%device, %error, "receipt refused");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
