//! A client of the broker that may do what the control plane may, under a name of its own.
//!
//! It is driven by the thread that waits for it, so that no thread of its own stands between a
//! message's arrival and the clock. Between waits it reads nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use pawl_e2e::Rig;
use pawl_e2e::rig::{ClientCertificate, wait};
use pawl_proto::Channel;
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, IncomingPacketSizeLimit, MqttOptions, NetworkOptions,
    PublishOptions, QoS, TlsConfiguration, Transport,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// The name in the certificate, which the broker takes for the client id.
const NAME: &str = "test-bench";
/// Longer than any pause between two waits: the broker must not miss us.
const KEEP_ALIVE_SECONDS: u16 = 1800;
/// A message to ourselves. No device and no control plane has this topic.
const HOP: &str = "pawl/v1/bench/hop";
/// What is listened to, of every device.
const CHANNELS: [Channel; 3] = [Channel::Posture, Channel::Verdict, Channel::Receipt];
/// Hops until they are as fast as they get.
const WARMING: usize = 3;

pub(crate) struct Client {
    runtime: Runtime,
    client: AsyncClient,
    events: EventLoop,
}

/// A message that arrived.
pub(crate) struct Message {
    pub(crate) payload: Vec<u8>,
    pub(crate) arrived: Instant,
}

impl Client {
    /// Connects, and subscribes to what devices and the control plane say.
    pub(crate) fn connect(rig: &Rig) -> Result<Self> {
        let mut options = MqttOptions::new(NAME, ("127.0.0.1", rig.broker.port()));
        // What is to be measured is the broker and the device, not Nagle's algorithm on our side.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(rig)?))))
            .set_keep_alive(KEEP_ALIVE_SECONDS)
            .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Unlimited)
            .set_network_options(network);
        let (client, events) = AsyncClient::builder(options).capacity(16).build();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut connected = Self { runtime, client, events };
        let topics = CHANNELS.iter().map(|channel| channel.of_every_device()).chain([HOP.to_owned()]);
        for topic in topics {
            connected.client.try_subscribe(topic, QoS::AtLeastOnce)?;
            connected.wait("the broker takes the subscription", |event| {
                matches!(event, Incoming::SubAck(_)).then_some(())
            })?;
        }
        Ok(connected)
    }

    /// Publishes a message, at the time that it gives. It leaves with the next wait.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<Instant> {
        let handed_over = Instant::now();
        self.client.try_publish(topic, payload.to_vec(), PublishOptions::at_least_once())?;
        Ok(handed_over)
    }

    /// Waits for the next message on a topic, and drops what comes on others.
    pub(crate) fn next(&mut self, topic: &str) -> Result<Message> {
        self.wait(&format!("a message on {topic}"), |event| match event {
            Incoming::Publish(publish) if publish.topic == topic.as_bytes() => {
                Some(Message { arrived: Instant::now(), payload: publish.payload.to_vec() })
            }
            _ => None,
        })
    }

    /// Drops what arrived, and warms up the broker and the connection: the first hops after a pause are slower, and a
    /// figure divided by them would look too good.
    pub(crate) fn wake(&mut self) -> Result<()> {
        for _ in 0..WARMING {
            self.hop(b"wake")?;
        }
        Ok(())
    }

    /// Measures the way of `payload` to the broker and back. What arrived before it is dropped.
    pub(crate) fn hop(&mut self, payload: &[u8]) -> Result<Duration> {
        let handed_over = self.publish(HOP, payload)?;
        Ok(self.next(HOP)?.arrived - handed_over)
    }

    fn wait<T>(&mut self, what: &str, wanted: impl Fn(Incoming) -> Option<T>) -> Result<T> {
        let Self { runtime, events, .. } = self;
        let found = async {
            loop {
                if let Event::Incoming(event) = events.poll().await.context("the broker's connection")?
                    && let Some(found) = wanted(event)
                {
                    return Ok(found);
                }
            }
        };
        match runtime.block_on(async { timeout(wait::SOON, found).await }) {
            Ok(found) => found,
            Err(_) => bail!("waited {} s for {what}", wait::SOON.as_secs()),
        }
    }
}

fn tls(rig: &Rig) -> Result<ClientConfig> {
    let client = ClientCertificate::issued(rig, NAME)?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(rig.control_plane.ca())?)?;
    let chain = CertificateDer::pem_file_iter(client.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(client.key)?;
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?)
}
