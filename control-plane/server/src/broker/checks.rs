//! Checks the broker: that it takes client ids from certificates, and that it grants the control plane's subscriptions.
//!
//! If the broker does not take client ids from certificates, any device can connect under the client id of the control
//! plane or of another device. The broker then closes the other connection, and a clean start destroys the messages
//! that wait in its MQTT session. [`check_client_ids`] tries this with two connections of a unique name and a
//! certificate that is kept in memory: it disturbs no client and leaves no MQTT session.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::Channel;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, Packet};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, QoS, StateError, SubscribeNotice,
    SubscribeNoticeError, TlsConfiguration, Transport,
};
use rustls::ClientConfig;

use super::session::{TlsError, client_config_with};
use crate::control_plane::ControlPlane;

/// Time for a connection, or for an answer on one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A broker that takes over a session closes the older connection first (MQTT 5, 3.1.4), but a
/// clustered one may be late.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the broker binds client ids to certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIds {
    /// Each certificate has one client id.
    Bound,
    /// A certificate may connect under any client id.
    Free,
}

/// Checks how the configured broker assigns client ids, without changing anything there.
pub(super) async fn check_client_ids(plane: &ControlPlane) -> Result<ClientIds, CheckError> {
    let name = format!("pawl-check-{}", hex::encode(crate::random::bytes::<8>()));
    let (chain, key) = plane.keys.authority.passing_client(&name).map_err(CheckError::Certificate)?;
    let tls = Arc::new(client_config_with(&plane.keys.authority, chain, key)?);
    let mut first = Connection::open(plane, &tls, &name).await?;
    let mut second = match Connection::open(plane, &tls, &format!("{name}-2")).await {
        Ok(second) => second,
        Err(CheckError::Connection(error)) if refuses_the_id(&error) => {
            first.close().await;
            return Ok(ClientIds::Bound);
        }
        Err(error) => return Err(error),
    };
    let found = match first.end_within(TAKE_OVER_TIMEOUT).await {
        Some(end) if is_take_over(&end) => Ok(ClientIds::Bound),
        // Without a reason code, an answer on the second connection rules out a network failure.
        Some(_) => second.answers().await.map(|()| ClientIds::Bound),
        None => first.answers().await.map(|()| ClientIds::Free),
    };
    if matches!(found, Ok(ClientIds::Free)) {
        first.close().await;
    }
    second.close().await;
    found
}

fn refuses_the_id(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::ClientIdentifierNotValid
                | ConnectReturnCode::NotAuthorized
                | ConnectReturnCode::BadUserNamePassword
        )
    )
}

fn is_take_over(error: &ConnectionError) -> bool {
    let reason = DisconnectReasonCode::SessionTakenOver;
    matches!(error, ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. })
        if *reason_code == reason)
}

/// A connection whose MQTT session ends with it.
struct Connection {
    client: AsyncClient,
    events: EventLoop,
}

impl Connection {
    async fn open(plane: &ControlPlane, tls: &Arc<ClientConfig>, id: &str) -> Result<Self, CheckError> {
        let broker = &plane.config.broker;
        let mut options = MqttOptions::new(id, (broker.host.as_str(), broker.port));
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))))
            .set_clean_start(true)
            .set_session_expiry_interval(Some(0));
        let (client, events) = AsyncClient::builder(options).capacity(2).build();
        let mut connection = Self { client, events };
        connection.wait(|packet| matches!(packet, Packet::ConnAck(_))).await?;
        Ok(connection)
    }

    /// Checks that the broker answers on this connection. A refused subscription is an answer, too.
    async fn answers(&mut self) -> Result<(), CheckError> {
        self.client.try_subscribe("pawl/v1/nobody/status", QoS::AtMostOnce)?;
        self.wait(|packet| matches!(packet, Packet::SubAck(_))).await
    }

    /// Returns why the connection ended, if it ends within `limit`.
    async fn end_within(&mut self, limit: Duration) -> Option<ConnectionError> {
        let end = async {
            loop {
                if let Err(error) = self.events.poll().await {
                    return error;
                }
            }
        };
        tokio::time::timeout(limit, end).await.ok()
    }

    async fn close(&mut self) {
        if self.client.try_disconnect().is_ok() {
            let _ = self.end_within(TAKE_OVER_TIMEOUT).await;
        }
    }

    async fn wait(&mut self, wanted: impl Fn(&Packet) -> bool) -> Result<(), CheckError> {
        let answer = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(packet)) if wanted(&packet) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(CheckError::Connection(Box::new(error))),
                }
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| CheckError::Silent)?
    }
}

/// Why a check has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("cannot make a certificate: {0}")]
    Certificate(rcgen::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the broker refused or lost a connection with a certificate of the fleet: {0}")]
    Connection(Box<ConnectionError>),
    #[error("the broker does not answer")]
    Silent,
    #[error("cannot ask the broker: {0}")]
    Client(#[from] rumqttc::ClientError),
}

const CHANNELS: [Channel; 3] = [Channel::Status, Channel::Posture, Channel::Receipt];

/// Time after which a refused subscription is requested again: an operator may have changed the broker's access list.
const RETRY: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(60) };

const SUBSCRIPTION_REFUSED: &str = "the broker refuses a subscription: the control plane does not receive the devices' messages on this \
    topic. Let the user pawl-control-plane read pawl/v1/# in the broker's access list, as the packaged pawl.acl does, and \
    reload the broker; the control plane requests the subscription again every minute";

/// Whether the broker lets the control plane receive the devices' messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscriptions {
    /// Every subscription is granted.
    Granted,
    /// At least one subscription is refused.
    Refused,
}

/// A subscription that was requested on this connection; none if the client had no room for the request.
type PendingSubscription = (Channel, Option<SubscribeNotice>);

/// Requests all subscriptions, before anything is published. If the broker has kept the MQTT session, this changes
/// nothing.
pub(super) fn subscribe_to_all(client: &AsyncClient) -> Vec<PendingSubscription> {
    subscribe(client, &CHANNELS)
}

fn subscribe(client: &AsyncClient, channels: &[Channel]) -> Vec<PendingSubscription> {
    let subscribe_one = |channel: Channel| {
        client
            .try_subscribe_tracked(channel.of_every_device(), QoS::AtLeastOnce)
            .inspect_err(|error| tracing::error!(%error, channel = channel.as_str(), "cannot subscribe"))
            .ok()
    };
    channels.iter().map(|channel| (*channel, subscribe_one(*channel))).collect()
}

/// Waits for the broker's answers, and repeats refused requests until they are granted. Returns when the connection is lost:
/// the next one requests all subscriptions.
pub(super) async fn confirm_subscriptions(
    plane: Arc<ControlPlane>,
    client: AsyncClient,
    mut asked: Vec<PendingSubscription>,
) {
    plane.outbox.set_subscriptions(None);
    loop {
        let mut missing = Vec::new();
        for (channel, notice) in asked {
            let Some(notice) = notice else {
                missing.push(channel);
                continue;
            };
            match notice.wait_completion_async().await {
                Ok(()) => {}
                Err(SubscribeNoticeError::V5SubAckFailure(reasons)) => {
                    tracing::error!(topic = channel.of_every_device(), ?reasons, "{SUBSCRIPTION_REFUSED}");
                    missing.push(channel);
                }
                Err(_) => return,
            }
        }
        if missing.is_empty() {
            tracing::info!("the broker grants all subscriptions");
            return plane.outbox.set_subscriptions(Some(Subscriptions::Granted));
        }
        plane.outbox.set_subscriptions(Some(Subscriptions::Refused));
        tokio::time::sleep(RETRY).await;
        asked = subscribe(&client, &missing);
    }
}
