//! The connection of a live pairing to its broker.

use std::sync::Arc;
use std::thread::JoinHandle;

use pawl_proto::codec::Version;
use pawl_proto::local::BrokerStatus;
use pawl_proto::message::{DeviceState, Status};
use pawl_tpm::KeyBlob;
use tokio::sync::mpsc;

use super::revoked::publish_status;
use crate::link::{Acknowledgement, Endpoint, Link, LinkEvent, Parcel};
use crate::shared::Shared;
use crate::store::PairingRecord;
use crate::tls;

/// A link, if one could be started, and what is known of it.
pub(super) struct Connection {
    record: Arc<PairingRecord>,
    link: Option<(Link, mpsc::Receiver<LinkEvent>)>,
    status: BrokerStatus,
}

const LINK_EVENTS: usize = 16;

impl Connection {
    /// Connects, and goes on trying. Without a link, the lease that was left is all there is.
    pub(super) fn start(shared: &Shared, record: &Arc<PairingRecord>, key: &KeyBlob) -> Self {
        let broker = record.broker.clone();
        let address = Some(format!("{}:{}", broker.host, broker.port));
        let status = BrokerStatus { address, ..BrokerStatus::default() };
        let mut connection = Self { record: Arc::clone(record), link: None, status };
        let last_will = Status {
            version: Version,
            device: record.device,
            online: false,
            state: DeviceState::Lapsed,
            epoch: record.epoch,
        };
        let (events, inbox) = mpsc::channel(LINK_EVENTS);
        let link = tls::broker(record, key, &shared.tpm, &shared.clock)
            .map_err(|error| error.to_string())
            .and_then(|tls| {
                let endpoint = Endpoint { device: record.device, broker, tls, last_will };
                Link::start(endpoint, events).map_err(|error| error.to_string())
            });
        match link {
            Ok(link) => connection.link = Some((link, inbox)),
            Err(error) => {
                tracing::error!(error, "there is no link to the broker");
                connection.status.error = Some(error);
            }
        }
        connection
    }

    /// The next thing that the link tells. Dropped before it is ready, it has lost nothing.
    pub(super) async fn next(&mut self) -> LinkEvent {
        let event = match &mut self.link {
            Some((_, events)) => events.recv().await,
            None => None,
        };
        match event {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    pub(super) fn made(&mut self) {
        tracing::info!(broker = self.status.address, "connected to the broker");
        (self.status.connected, self.status.error) = (true, None);
    }

    pub(super) fn lost(&mut self, error: String) {
        tracing::warn!(error, broker = self.status.address, "the broker is out of reach");
        (self.status.connected, self.status.error) = (false, Some(error));
    }

    pub(super) fn status(&self) -> &BrokerStatus {
        &self.status
    }

    /// Publishes a parcel, now or when the connection stands again.
    pub(super) fn publish(&self, parcel: Parcel) {
        if let Some((link, _)) = &self.link {
            link.publish(parcel);
        }
    }

    /// Tells the broker that a message was dealt with.
    pub(super) fn acknowledge(&self, acknowledgement: Option<Acknowledgement>) {
        if let Some((link, _)) = &self.link {
            link.acknowledge(acknowledgement);
        }
    }

    pub(super) fn announce(&self, state: DeviceState) {
        if let Some((link, _)) = &self.link {
            publish_status(link, &self.record, state, true);
        }
    }

    /// Says good-bye to the broker.
    pub(super) fn stop(self, state: DeviceState) -> Option<JoinHandle<()>> {
        let (link, _) = self.link?;
        publish_status(&link, &self.record, state, false);
        link.stop()
    }

    /// The link, if the connection stands.
    pub(super) fn into_standing(self) -> Option<(Link, mpsc::Receiver<LinkEvent>)> {
        self.link.filter(|_| self.status.connected)
    }
}
