use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pawl_proto::{EventId, Topic};
use rumqttc::{AsyncClient, PublishNoticeError, PublishOptions};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::outbox::Delivered;
use super::session::IN_FLIGHT;
use crate::control_plane::ControlPlane;
use crate::store::StoreError;

/// Time after which a message that the broker did not acknowledge is published again.
const RETRY: Duration = Duration::from_secs(5);

/// The most refused messages that queries skip. With more, the end of a task triggers no further query until the retry.
const MOST_REFUSED: usize = 1024;

/// Time after which an unacknowledged message counts as lost and the control plane reconnects: MQTT sends messages again
/// only on a new connection (MQTT 5.0, section 4.4).
const ACKNOWLEDGED_WITHIN: Duration =
    if cfg!(test) { Duration::from_secs(8) } else { Duration::from_secs(20) };

/// Publishes the messages in the database that the broker has not acknowledged, orders first, whenever it is woken.
///
/// A message that the broker does not acknowledge delays no other one.
pub(super) async fn run(plane: Arc<ControlPlane>, client: AsyncClient) {
    let mut publisher = Publisher {
        plane,
        client,
        tasks: JoinSet::new(),
        in_flight: HashMap::new(),
        may_wait: false,
        refused: HashSet::new(),
        again: None,
    };
    loop {
        tokio::select! {
            () = publisher.plane.outbox.woken() => publisher.publish().await,
            Some(ended) = publisher.tasks.join_next_with_id() => {
                publisher.ended(ended);
                // One query serves all tasks that have ended by now.
                while let Some(ended) = publisher.tasks.try_join_next_with_id() {
                    publisher.ended(ended);
                }
                if publisher.may_wait {
                    publisher.publish().await;
                }
            }
            () = at(publisher.again) => {
                publisher.again = None;
                publisher.refused.clear();
                publisher.publish().await;
            }
        }
    }
}

struct Publisher {
    plane: Arc<ControlPlane>,
    client: AsyncClient,
    tasks: JoinSet<Outcome>,
    /// The message that each task publishes.
    in_flight: HashMap<Id, Message>,
    /// Whether the last query returned as many messages as there was room for, so that more may wait.
    may_wait: bool,
    /// Messages that the broker refused. They wait until `again` without blocking others.
    refused: HashSet<Message>,
    /// When failed messages are published again.
    again: Option<Instant>,
}

/// The outcome of publishing a message.
enum Outcome {
    Delivered,
    /// The broker refused it, by its access list or a limit.
    Refused,
    /// The connection ended first, or the database failed.
    Lost,
}

impl Publisher {
    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (task, outcome) = ended.unwrap_or_else(|error| (error.id(), Outcome::Lost));
        let message = self.in_flight.remove(&task);
        if matches!(outcome, Outcome::Delivered) {
            return;
        }
        self.again.get_or_insert_with(|| Instant::now() + RETRY);
        if matches!(outcome, Outcome::Refused) && self.refused.len() < MOST_REFUSED {
            self.refused.extend(message);
        } else {
            // It is still the first in the database: another query would publish it again at once.
            self.may_wait = false;
        }
    }

    /// Publishes messages that are not in flight, as far as there is room. Publishes nothing while the connection is lost:
    /// the next connection wakes it.
    async fn publish(&mut self) {
        if !self.plane.outbox.connected() {
            return;
        }
        match self.waiting().await {
            Ok(messages) => {
                self.may_wait = messages.len() == self.room();
                for queued in messages {
                    let message = queued.message;
                    let task = publish(Arc::clone(&self.plane), self.client.clone(), queued);
                    self.in_flight.insert(self.tasks.spawn(task).id(), message);
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the messages to publish");
                self.again.get_or_insert_with(|| Instant::now() + RETRY);
            }
        }
    }

    fn room(&self) -> usize {
        usize::from(IN_FLIGHT).saturating_sub(self.in_flight.len())
    }

    /// Reads the waiting messages, as many as may still be in flight.
    async fn waiting(&self) -> Result<Vec<QueuedMessage>, StoreError> {
        let room = self.room();
        if room == 0 {
            return Ok(Vec::new());
        }
        let skipped: HashSet<Message> = self.in_flight.values().chain(&self.refused).copied().collect();
        let limit = room + skipped.len();
        let read = move |tx: &crate::store::Tx<'_>| {
            let events = tx
                .unpublished_events(limit)?
                .into_iter()
                .map(|(topic, id, payload)| QueuedMessage { topic, payload, message: Message::Event(id) });
            let verdicts = tx.unpublished_verdicts(limit)?.into_iter().map(|(topic, sequence, payload)| {
                let message = Message::Verdict { device: topic.device, sequence };
                QueuedMessage { topic, payload, message }
            });
            let waits = events.chain(verdicts).filter(|queued| !skipped.contains(&queued.message));
            Ok::<_, StoreError>(waits.take(room).collect())
        };
        self.plane.store.transaction(read).await
    }
}

struct QueuedMessage {
    topic: Topic,
    payload: Vec<u8>,
    message: Message,
}

/// The identity of a message in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    Event(EventId),
    Verdict { device: pawl_proto::DeviceId, sequence: u64 },
}

/// Publishes one message, and stores that the broker has acknowledged it.
async fn publish(plane: Arc<ControlPlane>, client: AsyncClient, queued: QueuedMessage) -> Outcome {
    let QueuedMessage { topic, payload, message } = queued;
    let options = match message {
        Message::Event(_) => PublishOptions::at_least_once().retained(),
        Message::Verdict { .. } => PublishOptions::at_least_once(),
    };
    let published_at_ms = plane.clock.now_ms();
    let acknowledged = async {
        let notice = client.publish_tracked(topic.to_string(), payload, options).await;
        let notice = notice.map_err(|error| (Outcome::Lost, error.to_string()))?;
        notice.wait_completion_async().await.map_err(|error| match error {
            PublishNoticeError::V5PubAck(_) => (Outcome::Refused, error.to_string()),
            _ => (Outcome::Lost, error.to_string()),
        })
    };
    let acknowledged = timeout(ACKNOWLEDGED_WITHIN, acknowledged).await.unwrap_or_else(|_| {
        if plane.outbox.connected() {
            plane.outbox.reconnect();
        }
        let limit = ACKNOWLEDGED_WITHIN.as_secs();
        Err((Outcome::Lost, format!("not acknowledged within {limit} s; the control plane connects again")))
    });
    if let Err((outcome, error)) = acknowledged {
        tracing::warn!(%topic, error, "the broker has not acknowledged a message");
        return outcome;
    }
    let acknowledged_at_ms = plane.clock.now_ms();
    let delivered = match message {
        Message::Event(id) => Delivered::Event { id, published_at_ms, acknowledged_at_ms },
        Message::Verdict { device, sequence } => Delivered::Verdict { device, sequence },
    };
    let recorded = plane
        .store
        .transaction(move |tx| match delivered {
            Delivered::Event { id, published_at_ms, acknowledged_at_ms } => {
                tx.set_event_published(id, published_at_ms, acknowledged_at_ms)
            }
            Delivered::Verdict { device, sequence } => tx.set_verdict_published(device, sequence),
        })
        .await;
    match recorded {
        Ok(()) => {
            plane.outbox.announce(delivered);
            Outcome::Delivered
        }
        Err(error) => {
            tracing::error!(%topic, %error, "cannot record a delivery");
            Outcome::Lost
        }
    }
}

/// Waits until `time`, or forever if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
