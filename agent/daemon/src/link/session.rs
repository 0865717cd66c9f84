//! The MQTT session: connects, subscribes, carries messages, reconnects.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pawl_proto::{Channel, Topic};
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, NoticeFailureReason, PubAckReason, PublishNoticeError,
    PublishOptions, PublishResult, QoS, SubscribeFilter, SubscribeNoticeError,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::outbox::Outbox;
use super::{Acknowledgement, Command, Endpoint, LinkEvent, options};
use crate::backoff::Backoff;
use crate::core::ParcelKind;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// How long the link waits for the acknowledgement of a parcel. After that it connects again: MQTT sends a message again only on
/// a new connection (MQTT 5.0, section 4.4).
const ACKNOWLEDGED_WITHIN: Duration =
    if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(20) };
/// Time at a stop for parcels in flight.
const GRACE: Duration = Duration::from_secs(2);

/// Runs until it is stopped or its handle is dropped.
pub(super) async fn run(
    endpoint: Endpoint,
    mut commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<LinkEvent>,
) {
    let options = match options(&endpoint) {
        Ok(options) => options,
        Err(error) => return tracing::error!(%error, "cannot encode the last will; not connecting"),
    };
    let (client, eventloop) = AsyncClient::builder(options).capacity(16).build();
    let (packets, mut received) = mpsc::channel(16);
    let reconnect = Arc::new(Notify::new());
    let poller = tokio::spawn(poll(eventloop, packets, Arc::clone(&reconnect)));
    let mut session = Session {
        endpoint,
        client,
        events,
        outbox: Outbox::default(),
        connected: false,
        reconnect,
        subscriptions: JoinSet::new(),
    };
    let mut in_flight = None;
    loop {
        if in_flight.is_none() {
            in_flight = session.send_next();
        }
        tokio::select! {
            packet = received.recv() => match packet {
                Some(packet) => session.receive(packet).await,
                None => break,
            },
            command = commands.recv() => match command {
                Some(Command::Publish(parcel)) => session.outbox.push(parcel),
                Some(Command::Acknowledge(Acknowledgement(ack))) => {
                    // After a reconnect the packet id is void, and the broker delivers the message again.
                    let _ = session.client.try_manual_ack(ack);
                }
                Some(Command::Subscribe) if session.connected => session.subscribe(),
                Some(Command::Subscribe) => {}
                Some(Command::Stop) | None => break,
            },
            Some(Ok(outcome)) = session.subscriptions.join_next() => session.subscribed(outcome).await,
            outcome = sent(&mut in_flight) => session.complete(outcome).await,
        }
    }
    session.stop(in_flight, &mut received).await;
    poller.abort();
}

/// Drives the connection, with back-off between attempts.
async fn poll(mut eventloop: EventLoop, packets: mpsc::Sender<Packet>, reconnect: Arc<Notify>) {
    let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
    let mut connected_at: Option<Instant> = None;
    loop {
        let polled = tokio::select! {
            polled = eventloop.poll() => polled,
            () = reconnect.notified() => {
                // The outbox sends again what was in flight, so the client must not.
                eventloop.clean();
                eventloop.drain_pending_as_failed(NoticeFailureReason::SessionReset);
                connected_at = None;
                let error = "the broker acknowledges nothing".to_owned();
                if packets.send(Packet::Lost(error)).await.is_err() {
                    return;
                }
                sleep(backoff.delay()).await;
                continue;
            }
        };
        let (packet, wait) = match polled {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                // The first connection of a process starts a clean MQTT session, because the process does not know which messages
                // an earlier one had in flight. Later connections resume the MQTT session.
                eventloop.options.set_clean_start(false);
                connected_at = Some(Instant::now());
                (Packet::Connected, None)
            }
            Ok(Event::Incoming(Incoming::Publish(publish))) => (Packet::Publish(publish), None),
            Ok(_) => continue,
            Err(rumqttc::ConnectionError::RequestsDone) => return,
            Err(error) => {
                if let Some(since) = connected_at.take() {
                    backoff.reset_if_stable(since.elapsed());
                }
                (Packet::Lost(describe(&error)), Some(backoff.delay()))
            }
        };
        if packets.send(packet).await.is_err() {
            return;
        }
        if let Some(wait) = wait {
            sleep(wait).await;
        }
    }
}

enum Packet {
    Connected,
    Lost(String),
    Publish(rumqttc::Publish),
}

struct Session {
    endpoint: Endpoint,
    client: AsyncClient,
    events: mpsc::Sender<LinkEvent>,
    outbox: Outbox,
    connected: bool,
    /// Makes [`poll`] drop the connection and connect again.
    reconnect: Arc<Notify>,
    /// The subscription that the broker has not answered yet.
    subscriptions: JoinSet<Result<(), SubscribeNoticeError>>,
}

impl Session {
    async fn receive(&mut self, packet: Packet) {
        let event = match packet {
            Packet::Connected => {
                self.connected = true;
                self.subscribe();
                LinkEvent::Connected
            }
            Packet::Lost(error) => {
                self.connected = false;
                LinkEvent::Lost(error)
            }
            Packet::Publish(publish) => LinkEvent::Message {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                acknowledgement: self.client.prepare_ack(&publish).map(Acknowledgement),
                payload: publish.payload.to_vec(),
            },
        };
        // A closed channel means that the daemon is stopping.
        let _ = self.events.send(event).await;
    }

    /// Subscribes to the control plane's topics on every connection: a broker that lost the MQTT session has lost the
    /// subscriptions, and a retained event is delivered again.
    fn subscribe(&mut self) {
        self.subscriptions.abort_all();
        let filters = [Channel::Event, Channel::Verdict].map(|channel| {
            let topic = Topic::new(self.endpoint.device, channel).to_string();
            SubscribeFilter::new(topic, QoS::AtLeastOnce)
        });
        match self.client.try_subscribe_many_tracked(filters) {
            Ok(notice) => drop(self.subscriptions.spawn(notice.wait_completion_async())),
            Err(error) => tracing::warn!(%error, "cannot send a subscription"),
        }
    }

    /// Reports the broker's answer to a subscription. If the connection was lost first, the next one subscribes again.
    async fn subscribed(&mut self, outcome: Result<(), SubscribeNoticeError>) {
        let event = match outcome {
            Ok(()) => LinkEvent::Subscribed,
            Err(SubscribeNoticeError::V5SubAckFailure(reasons)) => LinkEvent::SubscriptionRefused(format!(
                "the broker refuses the subscription to the control plane's orders ({reasons:?}): check its ACL"
            )),
            Err(error) => return tracing::debug!(%error, "a subscription was lost"),
        };
        let _ = self.events.send(event).await;
    }

    /// Sends the next parcel, if the connection is up and none is in flight.
    fn send_next(&mut self) -> Option<InFlight> {
        if !self.connected {
            return None;
        }
        let parcel = self.outbox.next()?;
        let topic = Topic::new(self.endpoint.device, parcel.kind.channel()).to_string();
        let options = PublishOptions::at_least_once().retain(parcel.kind == ParcelKind::Status);
        match self.client.try_publish_tracked(topic, parcel.payload.clone(), options) {
            Ok(notice) => Some(Box::pin(async {
                match timeout(ACKNOWLEDGED_WITHIN, notice.wait_async()).await {
                    Ok(outcome) => outcome.map_err(NotAcknowledged::Lost),
                    Err(_) => Err(NotAcknowledged::InTime),
                }
            })),
            Err(error) => {
                tracing::debug!(%error, "cannot send a parcel yet");
                self.outbox.lost();
                None
            }
        }
    }

    /// Removes the parcel in flight from the outbox, or marks it to be sent again.
    async fn complete(&mut self, outcome: Outcome) {
        let is_taken = match outcome {
            Ok(PublishResult::Qos1(puback)) => match puback.reason {
                PubAckReason::Success => true,
                PubAckReason::NoMatchingSubscribers => {
                    tracing::debug!("the broker has no subscriber for a message");
                    false
                }
                // The broker would refuse it again.
                reason => {
                    tracing::error!(
                        ?reason,
                        "the broker refused a message; check its ACL and its size limit"
                    );
                    false
                }
            },
            Ok(_) => true,
            Err(NotAcknowledged::Lost(error)) => {
                tracing::debug!(%error, "a parcel was not acknowledged; sending it again");
                return self.outbox.lost();
            }
            Err(NotAcknowledged::InTime) => {
                let limit = ACKNOWLEDGED_WITHIN.as_secs();
                tracing::warn!(limit_s = limit, "the broker does not acknowledge a parcel; connecting again");
                // Send nothing more on this connection.
                self.connected = false;
                self.reconnect.notify_one();
                return self.outbox.lost();
            }
        };
        if let Some(kind) = self.outbox.delivered() {
            let event = if is_taken { LinkEvent::Delivered(kind) } else { LinkEvent::Undelivered(kind) };
            let _ = self.events.send(event).await;
        }
    }

    /// Sends the queued parcels, for at most [`GRACE`], and disconnects.
    async fn stop(mut self, mut in_flight: Option<InFlight>, received: &mut mpsc::Receiver<Packet>) {
        let drain = async {
            while self.connected && !self.outbox.is_empty() {
                if in_flight.is_none() {
                    in_flight = self.send_next();
                }
                tokio::select! {
                    outcome = sent(&mut in_flight) => match outcome {
                        Ok(_) => drop(self.outbox.delivered()),
                        Err(_) => return,
                    },
                    packet = received.recv() => if !matches!(packet, Some(Packet::Publish(_))) { return },
                }
            }
        };
        let _ = timeout(GRACE, drain).await;
        if self.connected && self.client.try_disconnect().is_ok() {
            let _ = timeout(GRACE, async { while received.recv().await.is_some() {} }).await;
        }
    }
}

/// Resolves to the outcome of the parcel in flight.
type InFlight = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The broker's acknowledgement of a parcel, or why there is none.
type Outcome = Result<PublishResult, NotAcknowledged>;

/// Why a parcel has to be sent again.
enum NotAcknowledged {
    /// The connection ended first.
    Lost(PublishNoticeError),
    /// The broker did not answer within [`ACKNOWLEDGED_WITHIN`].
    InTime,
}

/// Waits for the outcome of the parcel in flight; forever if there is none. Cancel-safe.
async fn sent(in_flight: &mut Option<InFlight>) -> Outcome {
    let Some(parcel) = in_flight else { return pending().await };
    let outcome = parcel.await;
    *in_flight = None;
    outcome
}

/// Returns the innermost cause of an error, which names what failed.
fn describe(error: &rumqttc::ConnectionError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
