use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_backoff::Backoff;
use pawl_proto::limits;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::{
    AckMode, AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, NoticeFailureReason,
    PersistedAckMode, PersistedSession, SessionStore, SessionStoreError, SessionStoreKey, TlsConfiguration,
    Transport,
};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;

use super::checks::{ClientIds, check_client_ids, confirm_subscriptions, subscribe_to_all};
use super::{publisher, receive};
use crate::control_plane::ControlPlane;
use crate::keys::{Authority, BROKER_USER, Identity};

pub(super) const CLIENT_ID: &str = BROKER_USER;
/// How long the broker keeps the devices' messages while this program does not run: a week, in seconds.
pub(super) const SESSION_EXPIRY: u32 = 7 * 24 * 3600;
/// The most unacknowledged messages in either direction.
pub(super) const IN_FLIGHT: u16 = 32;
/// Length of the client's queues: room for all acknowledgements that can be due at once, and for subscriptions.
const QUEUE: usize = 2 * IN_FLIGHT as usize;
const KEEP_ALIVE: u16 = 30;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Size of topic and properties above the largest message.
const PACKET_OVERHEAD: usize = 4 * 1024;

/// The log message about a broker that does not bind client ids to certificates.
const FREE_CLIENT_IDS: &str = "the broker lets a certificate connect under any client id: each device can \
    disconnect the control plane and other devices, delay revocations and destroy queued messages. In \
    mosquitto's configuration set `use_username_as_clientid true` beside `use_identity_as_username true`, as \
    the packaged pawl.conf does, and restart mosquitto; in another broker bind the client id to the \
    certificate's common name";

/// Connects to the broker, and connects again whenever the connection is lost.
///
/// # Errors
/// [`TlsError`] when the certificates cannot be used. A broker that cannot be reached is not an error.
pub async fn run(plane: Arc<ControlPlane>) -> Result<(), TlsError> {
    let (client, events) = AsyncClient::builder(options(&plane)?).capacity(QUEUE).build();
    let publishing = publisher::run(Arc::clone(&plane), client.clone());
    tokio::select! {
        () = keep_connected(&plane, client, events) => Ok(()),
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

/// Sets TCP_NODELAY: orders are small, and waiting to fill a segment would delay a revocation by 40 ms.
fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network
}

async fn keep_connected(plane: &Arc<ControlPlane>, client: AsyncClient, mut events: EventLoop) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut connected_at: Option<Instant> = None;
    // Dropped with this function; a new connection replaces the checks of an older one.
    let mut checks = JoinSet::new();
    loop {
        let polled = tokio::select! {
            polled = events.poll() => polled,
            () = plane.outbox.reconnect_requested() => {
                // The publisher publishes again what was in flight, so the client must not.
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
                let asked = subscribe_to_all(&client);
                on_connected(plane, connected.session_present).await;
                checks.abort_all();
                checks.spawn(confirm_subscriptions(Arc::clone(plane), client.clone(), asked));
                checks.spawn(report_client_ids(Arc::clone(plane)));
                continue;
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                match receive_published(plane, &client, &publish).await {
                    Ok(()) => continue,
                    // On the next connection the broker sends unacknowledged messages again.
                    Err(error) => {
                        events.clean();
                        error
                    }
                }
            }
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

/// Logs what to change if the broker lets a certificate connect under any client id. The control plane keeps running:
/// if it stopped, it would deliver no revocation at all.
async fn report_client_ids(plane: Arc<ControlPlane>) {
    plane.outbox.set_client_ids(None);
    match check_client_ids(&plane).await {
        Ok(found) => {
            plane.outbox.set_client_ids(Some(found));
            match found {
                ClientIds::Bound => tracing::info!("the broker takes client ids from certificates"),
                ClientIds::Free => tracing::error!("{FREE_CLIENT_IDS}"),
            }
        }
        Err(error) => tracing::warn!(
            %error,
            "cannot check that the broker takes client ids from certificates; checking again with the next connection"
        ),
    }
}

/// Receives a message, and acknowledges it when its transaction is committed.
async fn receive_published(
    plane: &Arc<ControlPlane>,
    client: &AsyncClient,
    publish: &Publish,
) -> Result<(), String> {
    receive(plane, &publish.topic, &publish.payload).await.map_err(|error| error.to_string())?;
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
        tracing::error!(%error, "cannot queue messages to be published again");
    }
    plane.outbox.set_connected(true);
    plane.outbox.wake();
}

/// Lets the MQTT client resume the MQTT session that the broker kept over a restart of this program. Messages in flight are
/// not restored: those that the broker has not acknowledged are published again from the database.
#[derive(Debug)]
pub(super) struct NothingInFlight;

type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingInFlight {
    fn load<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, Option<PersistedSession>> {
        Box::pin(async {
            Ok(Some(PersistedSession {
                format_version: 1,
                client_id: CLIENT_ID.to_owned(),
                clean_start: false,
                session_expiry_interval: Some(SESSION_EXPIRY),
                outgoing_inflight_upper_limit: Some(IN_FLIGHT),
                ack_mode: PersistedAckMode::Manual,
                last_pkid: 0,
                last_puback: 0,
                replay: Vec::new(),
                incoming_qos2: Vec::new(),
            }))
        })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Configures TLS 1.3 to the broker, with the fleet's authority and this client certificate.
pub(super) fn client_config(authority: &Authority, identity: &Identity) -> Result<ClientConfig, TlsError> {
    let chain =
        CertificateDer::pem_file_iter(&identity.certificate)?.collect::<Result<Vec<_>, pem::Error>>()?;
    client_config_with(authority, chain, PrivateKeyDer::from_pem_file(&identity.key)?)
}

/// Configures TLS 1.3 to the broker with a client certificate and key in memory.
pub(super) fn client_config_with(
    authority: &Authority,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?)
}

/// Why TLS cannot use certificates and keys.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read a certificate or key: {0}")]
    Pem(#[from] pem::Error),
    /// Certificate and key do not match, or one of them is of an unknown kind.
    #[error("cannot use a certificate or key: {0}")]
    Tls(#[from] rustls::Error),
}
