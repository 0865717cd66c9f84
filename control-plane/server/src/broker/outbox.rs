use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pawl_proto::{DeviceId, EventId};
use tokio::sync::{Notify, broadcast};

use super::checks::ClientIds;
use super::checks::Subscriptions;

/// Deliveries that are buffered for a slow listener.
const DELIVERIES: usize = 64;

/// Wakes the publisher, and announces the messages that the broker has acknowledged. The messages themselves are in the
/// database.
pub struct Outbox {
    wake: Notify,
    reconnect: Notify,
    delivered: broadcast::Sender<Delivered>,
    connected: AtomicBool,
    client_ids: Mutex<Option<ClientIds>>,
    subscriptions: Mutex<Option<Subscriptions>>,
}

/// A message that the broker has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// An event, with the Unix milliseconds at which it was sent and acknowledged.
    Event {
        /// The event.
        id: EventId,
        /// When it was sent to the broker.
        published_at_ms: u64,
        /// When the broker acknowledged it.
        acknowledged_at_ms: u64,
    },
    /// A verdict.
    Verdict {
        /// The device.
        device: DeviceId,
        /// Its number.
        sequence: u64,
    },
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            wake: Notify::new(),
            reconnect: Notify::new(),
            delivered: broadcast::Sender::new(DELIVERIES),
            connected: AtomicBool::new(false),
            client_ids: Mutex::default(),
            subscriptions: Mutex::default(),
        }
    }
}

impl Outbox {
    /// Wakes the publisher: there may be something to publish.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Returns whether the broker is connected.
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Returns a listener for later deliveries.
    pub fn listen(&self) -> Listener {
        Listener(self.delivered.subscribe())
    }

    /// Returns whether the broker takes client ids from certificates; none until it has been checked.
    pub fn client_ids(&self) -> Option<ClientIds> {
        *self.client_ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_client_ids(&self, found: Option<ClientIds>) {
        *self.client_ids.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Returns whether the broker grants the subscriptions; none until it has answered.
    pub fn subscriptions(&self) -> Option<Subscriptions> {
        *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_subscriptions(&self, found: Option<Subscriptions>) {
        *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Requests a new connection: the broker does not answer on this one.
    pub(super) fn reconnect(&self) {
        self.reconnect.notify_one();
    }

    /// Waits for [`Self::reconnect`].
    pub(super) async fn reconnect_requested(&self) {
        self.reconnect.notified().await;
    }

    pub(super) fn announce(&self, delivered: Delivered) {
        // Fails if nobody listens.
        let _ = self.delivered.send(delivered);
    }
}

/// Receives announced deliveries.
pub struct Listener(broadcast::Receiver<Delivered>);

impl Listener {
    /// Waits until `wanted` accepts a delivery, for at most `limit`.
    pub async fn wait<T>(mut self, limit: Duration, wanted: impl Fn(Delivered) -> Option<T>) -> Option<T> {
        let search = async {
            loop {
                match self.0.recv().await {
                    Ok(delivered) => {
                        if let Some(found) = wanted(delivered) {
                            return Some(found);
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        };
        tokio::time::timeout(limit, search).await.ok().flatten()
    }
}
