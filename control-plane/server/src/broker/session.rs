use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_backoff::Backoff;
use pawl_proto::limits;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::{
    AckMode, AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, NoticeFailureReason,
    TlsConfiguration, Transport,
};
use tokio::task::JoinSet;

use super::client_ids::{self, ClientIds};
use super::memory::NothingInFlight;
use super::tls::{TlsError, client_config};
use super::{incoming, publisher, subscriptions};
use crate::control_plane::ControlPlane;
use crate::keys::BROKER_USER;

pub(super) const CLIENT_ID: &str = BROKER_USER;
/// The broker keeps what devices send while this program is away: for a week, in seconds.
pub(super) const SESSION_EXPIRY: u32 = 7 * 24 * 3600;
/// Unacknowledged messages in either direction.
pub(super) const IN_FLIGHT: u16 = 32;
/// The client's queues: room for every acknowledgement that can be due at once, and subscriptions.
const QUEUE: usize = 2 * IN_FLIGHT as usize;
const KEEP_ALIVE: u16 = 30;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Above the largest message: topic and properties.
const PACKET_OVERHEAD: usize = 4 * 1024;

/// For the operator of a broker that another client can use to keep orders from devices.
const FREE_CLIENT_IDS: &str = "the broker lets a certificate connect under any client id: each device can \
    disconnect the control plane and other devices, delay revocations and destroy queued messages. In \
    mosquitto's configuration set `use_username_as_clientid true` beside `use_identity_as_username true`, as \
    the packaged pawl.conf does, and restart mosquitto; in another broker bind the client id to the \
    certificate's common name";

/// Keeps the connection for as long as the program runs.
///
/// # Errors
/// [`TlsError`] at once, when the certificates cannot be used. A broker that cannot be reached is
/// no error: it is tried again.
pub async fn run(plane: Arc<ControlPlane>) -> Result<(), TlsError> {
    let (client, events) = AsyncClient::builder(options(&plane)?).capacity(QUEUE).build();
    let publishing = publisher::run(Arc::clone(&plane), client.clone());
    tokio::select! {
        () = keep(&plane, client, events) => Ok(()),
        () = publishing => Ok(()),
    }
}

fn options(plane: &ControlPlane) -> Result<MqttOptions, TlsError> {
    let tls = client_config(&plane.keys.authority, &plane.keys.broker_client)?;
    let broker = &plane.config.broker;
    let mut options = MqttOptions::new(CLIENT_ID, (broker.host.as_str(), broker.port));
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))))
        .set_keep_alive(KEEP_ALIVE)
        .set_network_options(network())
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_EXPIRY))
        .set_session_store(NothingInFlight)
        .set_ack_mode(AckMode::Manual)
        .set_receive_maximum(Some(IN_FLIGHT))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_max_packet_size(u32::try_from(limits::MESSAGE + PACKET_OVERHEAD).ok());
    Ok(options)
}

/// Orders are small: waiting to fill a segment would delay a revocation by 40 ms.
fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network
}

async fn keep(plane: &Arc<ControlPlane>, client: AsyncClient, mut events: EventLoop) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut connected_at: Option<Instant> = None;
    // Ends with this function; a new connection replaces a check of an older one.
    let mut checks = JoinSet::new();
    loop {
        let polled = tokio::select! {
            polled = events.poll() => polled,
            () = plane.outbox.reconnect_requested() => {
                // The publisher publishes again what was in flight; the client is not to do it as well.
                events.clean();
                events.drain_pending_as_failed(NoticeFailureReason::SessionReset);
                lost(plane, &mut connected_at, &mut backoff, "the broker acknowledges nothing").await;
                continue;
            }
        };
        let error = match polled {
            Ok(Event::Incoming(Packet::ConnAck(connected))) => {
                connected_at = Some(Instant::now());
                tracing::info!(session_present = connected.session_present, "broker connected");
                let asked = subscriptions::ask_for_all(&client);
                on_connected(plane, connected.session_present).await;
                checks.abort_all();
                checks.spawn(subscriptions::confirm(Arc::clone(plane), client.clone(), asked));
                checks.spawn(check_client_ids(Arc::clone(plane)));
                continue;
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => match take(plane, &client, &publish).await {
                Ok(()) => continue,
                // On the next connection the broker sends what was not acknowledged once more.
                Err(error) => {
                    events.clean();
                    error
                }
            },
            Ok(_) => continue,
            Err(error) => error.to_string(),
        };
        lost(plane, &mut connected_at, &mut backoff, &error).await;
    }
}

/// Marks the connection as lost, and waits before the next one.
async fn lost(plane: &ControlPlane, connected_at: &mut Option<Instant>, backoff: &mut Backoff, error: &str) {
    plane.outbox.set_connected(false);
    if let Some(since) = connected_at.take() {
        backoff.reset_if_stable(since.elapsed());
    }
    let pause = backoff.delay();
    tracing::warn!(error, pause_ms = pause.as_millis(), "no connection to the broker");
    tokio::time::sleep(pause).await;
}

/// Says what to change where a certificate may connect under any client id. The control plane goes on:
/// one that stopped would deliver no revocation at all.
async fn check_client_ids(plane: Arc<ControlPlane>) {
    plane.outbox.set_client_ids(None);
    match client_ids::check(&plane).await {
        Ok(found) => {
            plane.outbox.set_client_ids(Some(found));
            match found {
                ClientIds::Bound => tracing::info!("the broker takes client ids from certificates"),
                ClientIds::Free => tracing::error!("{FREE_CLIENT_IDS}"),
            }
        }
        Err(error) => tracing::warn!(
            %error,
            "cannot check that the broker takes client ids from certificates; it is checked again with the next connection"
        ),
    }
}

/// Takes a message in, and acknowledges it when its transaction is committed.
async fn take(plane: &Arc<ControlPlane>, client: &AsyncClient, publish: &Publish) -> Result<(), String> {
    incoming::receive(plane, &publish.topic, &publish.payload).await.map_err(|error| error.to_string())?;
    client.try_ack(publish).map_err(|error| error.to_string())
}

async fn on_connected(plane: &Arc<ControlPlane>, session_present: bool) {
    let again = plane
        .store
        .transaction(move |tx| {
            tx.publish_events_again()?;
            if session_present { Ok(()) } else { tx.publish_verdicts_again() }
        })
        .await;
    if let Err(error) = again {
        tracing::error!(%error, "cannot look up what has to be published again");
    }
    plane.outbox.set_connected(true);
    plane.outbox.wake();
}
