//! Whether the broker takes client ids from certificates.
//!
//! Where it does not, any device can connect under the control plane's client id or another device's:
//! the broker then closes the other's connection, and a clean start destroys what waits in its
//! session. [`check`] tries this on two connections of a name that nobody else has, with a
//! certificate that is made for it and kept in memory: it disturbs no client and leaves no session.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, Packet};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, QoS, StateError, TlsConfiguration, Transport,
};
use rustls::ClientConfig;

use super::tls::{TlsError, config_of};
use crate::control_plane::ControlPlane;

/// For a connection, or an answer on one.
const ANSWER: Duration = Duration::from_secs(20);
/// A broker that takes over a session closes the older connection first (MQTT 5, 3.1.4), but a
/// clustered one may be late.
const TAKE_OVER: Duration = Duration::from_secs(3);

/// What two connections with one certificate showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIds {
    /// A certificate has one client id, whatever it offers.
    Bound,
    /// A certificate may connect under any client id.
    Free,
}

/// Checks the broker that the configuration names. Changes nothing there.
pub(super) async fn check(plane: &ControlPlane) -> Result<ClientIds, CheckError> {
    let name = format!("pawl-check-{}", hex::encode(crate::random::bytes::<8>()));
    let (chain, key) = plane.keys.authority.passing_client(&name).map_err(CheckError::Certificate)?;
    let tls = Arc::new(config_of(&plane.keys.authority, chain, key)?);
    let mut first = Connection::open(plane, &tls, &name).await?;
    let mut second = match Connection::open(plane, &tls, &format!("{name}-2")).await {
        Ok(second) => second,
        Err(CheckError::Connection(error)) if refuses_the_id(&error) => {
            first.close().await;
            return Ok(ClientIds::Bound);
        }
        Err(error) => return Err(error),
    };
    let found = match first.end_within(TAKE_OVER).await {
        Some(end) if is_take_over(&end) => Ok(ClientIds::Bound),
        // It says no reason: then the second connection shows that it was not the network.
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

/// A connection whose session ends with it.
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

    /// Whether the broker answers on this connection. Any answer is one, also that the topic may not
    /// be subscribed to.
    async fn answers(&mut self) -> Result<(), CheckError> {
        self.client.try_subscribe("pawl/v1/nobody/status", QoS::AtMostOnce)?;
        self.wait(|packet| matches!(packet, Packet::SubAck(_))).await
    }

    /// Why the connection ended, if it does within `limit`.
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
            let _ = self.end_within(TAKE_OVER).await;
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
        tokio::time::timeout(ANSWER, answer).await.map_err(|_| CheckError::Silent)?
    }
}

/// A check that shows nothing.
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
