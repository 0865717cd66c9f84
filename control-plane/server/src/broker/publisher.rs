use std::sync::Arc;
use std::time::Duration;

use pawl_proto::{EventId, Topic};
use rumqttc::{AsyncClient, PublishOptions};
use tokio::task::JoinSet;

use super::outbox::Delivered;
use super::session::IN_FLIGHT;
use crate::control_plane::ControlPlane;
use crate::store::StoreError;

/// What the broker did not take while it was connected is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// Publishes what the database holds for the broker, orders first, whenever it is woken.
pub(super) async fn run(plane: Arc<ControlPlane>, client: AsyncClient) {
    loop {
        plane.outbox.woken().await;
        while !drained(&plane, &client).await {
            // A message that a session lost with its end has nobody who wakes for it.
            let _ = tokio::time::timeout(AGAIN, plane.outbox.woken()).await;
        }
    }
}

/// Publishes until nothing is left, or until the connection is lost: then the next connection
/// wakes the publisher. False when something has to be tried again.
async fn drained(plane: &Arc<ControlPlane>, client: &AsyncClient) -> bool {
    drain(plane, client).await.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot read what has to be published");
        false
    })
}

async fn drain(plane: &Arc<ControlPlane>, client: &AsyncClient) -> Result<bool, StoreError> {
    while plane.outbox.connected() {
        let limit = usize::from(IN_FLIGHT);
        let batch =
            plane
                .store
                .transaction(move |tx| {
                    let events = tx
                        .unpublished_events(limit)?
                        .into_iter()
                        .map(|(topic, id, message)| Parcel { topic, message, what: What::Event(id) });
                    let verdicts =
                        tx.unpublished_verdicts(limit)?.into_iter().map(|(topic, sequence, message)| {
                            Parcel { topic, message, what: What::Verdict(sequence) }
                        });
                    Ok::<_, StoreError>(events.chain(verdicts).take(limit).collect::<Vec<_>>())
                })
                .await?;
        if batch.is_empty() {
            return Ok(true);
        }
        let mut in_flight = JoinSet::new();
        for parcel in batch {
            in_flight.spawn(publish(Arc::clone(plane), client.clone(), parcel));
        }
        let delivered = in_flight.join_all().await;
        if !delivered.into_iter().all(|delivered| delivered) {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Parcel {
    topic: Topic,
    message: Vec<u8>,
    what: What,
}

enum What {
    Event(EventId),
    Verdict(u64),
}

/// Publishes one message and notes that the broker has it; false when it does not.
async fn publish(plane: Arc<ControlPlane>, client: AsyncClient, parcel: Parcel) -> bool {
    let Parcel { topic, message, what } = parcel;
    let options = match what {
        What::Event(_) => PublishOptions::at_least_once().retained(),
        What::Verdict(_) => PublishOptions::at_least_once(),
    };
    let published_at_ms = plane.clock.now_ms();
    let acknowledged = match client.publish_tracked(topic.to_string(), message, options).await {
        Ok(notice) => notice.wait_completion_async().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = acknowledged {
        tracing::warn!(%topic, error, "the broker has not taken a message");
        return false;
    }
    let acknowledged_at_ms = plane.clock.now_ms();
    let delivered = match what {
        What::Event(id) => Delivered::Event { id, published_at_ms, acknowledged_at_ms },
        What::Verdict(sequence) => Delivered::Verdict { device: topic.device, sequence },
    };
    let noted = plane
        .store
        .transaction(move |tx| match delivered {
            Delivered::Event { id, published_at_ms, acknowledged_at_ms } => {
                tx.event_published(id, published_at_ms, acknowledged_at_ms)
            }
            Delivered::Verdict { device, sequence } => tx.verdict_published(device, sequence),
        })
        .await;
    match noted {
        Ok(()) => {
            plane.outbox.announce(delivered);
            true
        }
        Err(error) => {
            tracing::error!(%topic, %error, "cannot note a delivery");
            false
        }
    }
}
