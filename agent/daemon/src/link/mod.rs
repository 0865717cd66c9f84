//! The link: the MQTT session over mutual TLS, on a thread of its own.
//!
//! The thread only carries messages. It does not verify what it receives. It keeps each parcel until the broker has acknowledged
//! it.

mod outbox;
mod session;
#[cfg(test)]
mod tests;

use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use pawl_proto::message::{Broker, Status};
use pawl_proto::{Channel, DeviceId, encode};
use rumqttc::{AckMode, LastWill, ManualAck, MqttOptions, NetworkOptions, QoS, TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::sync::mpsc;

use crate::core::{Parcel, ParcelKind};

/// What the link reports.
pub(crate) enum LinkEvent {
    /// The connection is up, and the subscriptions are requested.
    Connected,
    /// The connection was lost or could not be made. The link retries.
    Lost(String),
    /// A message for this device, not verified yet.
    Message { topic: String, payload: Vec<u8>, acknowledgement: Option<Acknowledgement> },
    /// The broker has confirmed the subscriptions.
    Subscribed,
    /// The broker refuses a subscription.
    SubscriptionRefused(String),
    /// The broker has accepted a parcel for at least one subscriber.
    Delivered(ParcelKind),
    /// The broker has dropped a parcel: it has no subscriber, or the broker refuses it.
    Undelivered(ParcelKind),
}

/// The right to acknowledge one message, once.
pub(crate) struct Acknowledgement(ManualAck);

enum Command {
    Publish(Parcel),
    Subscribe,
    Acknowledge(Acknowledgement),
    Stop,
}

/// A running link. Dropping it disconnects.
pub(crate) struct Link {
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// The broker and the client's identity.
pub(crate) struct Endpoint {
    pub(crate) device: DeviceId,
    pub(crate) broker: Broker,
    pub(crate) tls: ClientConfig,
    /// The last will: the status that the broker publishes if the connection breaks.
    pub(crate) last_will: Status,
}

impl Link {
    /// Starts the thread, which connects and retries.
    ///
    /// # Errors
    /// If the system cannot create a thread.
    pub(crate) fn start(endpoint: Endpoint, events: mpsc::Sender<LinkEvent>) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let thread = Builder::new().name("pawl-link".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(session::run(endpoint, inbox, events)),
                Err(error) => tracing::error!(%error, "cannot start the link's runtime"),
            }
        })?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Publishes a parcel, now or once the connection is up.
    pub(crate) fn publish(&self, parcel: Parcel) {
        // A link that has ended drops parcels: the daemon is stopping, or the epoch has ended.
        let _ = self.commands.send(Command::Publish(parcel));
    }

    /// Asks the broker for the subscriptions again.
    pub(crate) fn subscribe(&self) {
        let _ = self.commands.send(Command::Subscribe);
    }

    /// Acknowledges a message to the broker.
    pub(crate) fn acknowledge(&self, acknowledgement: Option<Acknowledgement>) {
        if let Some(acknowledgement) = acknowledgement {
            let _ = self.commands.send(Command::Acknowledge(acknowledgement));
        }
    }

    /// Tells the thread to send the queued parcels and to disconnect, and returns it. It ends within its grace period.
    pub(crate) fn stop(mut self) -> Option<JoinHandle<()>> {
        let thread = self.thread.take();
        drop(self);
        thread
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Do not wait for the thread here: the calling thread serves workloads.
        let _ = self.commands.send(Command::Stop);
    }
}

/// Longer than the longest lease: the broker keeps a revocation for an offline device at least until its lease has expired.
const SESSION_EXPIRY: Duration = Duration::from_secs(30 * 24 * 3600);
const KEEP_ALIVE_SECONDS: u16 = 90;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Above the largest order, so that the daemon refuses and counts one that is too large, instead of losing the connection.
const LARGEST_PACKET: u32 = 256 * 1024;
const IN_FLIGHT: u16 = 4;

fn options(endpoint: &Endpoint) -> Result<MqttOptions, pawl_proto::codec::EncodeError> {
    let broker = (endpoint.broker.host.as_str(), endpoint.broker.port);
    // Reports are small: waiting to fill a segment would delay them by 40 ms.
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    let mut options = MqttOptions::new(endpoint.device.as_str(), broker);
    let status = pawl_proto::Topic::new(endpoint.device, Channel::Status).to_string();
    let seconds = u32::try_from(SESSION_EXPIRY.as_secs()).unwrap_or(u32::MAX);
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(endpoint.tls.clone().into())))
        .set_network_options(network)
        .set_keep_alive(KEEP_ALIVE_SECONDS)
        .set_connect_timeout(CONNECT_TIMEOUT)
        .set_clean_start(true)
        .set_session_expiry_interval(Some(seconds))
        .set_incoming_packet_size_limit(rumqttc::IncomingPacketSizeLimit::Bytes(LARGEST_PACKET))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_receive_maximum(Some(IN_FLIGHT))
        .set_ack_mode(AckMode::Manual)
        .set_last_will(LastWill::new(status, encode(&endpoint.last_will)?, QoS::AtLeastOnce, true, None));
    Ok(options)
}
