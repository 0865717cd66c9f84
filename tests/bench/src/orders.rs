//! Events as the control plane signs them.
//!
//! They are made here, with its key, so that nothing of the control plane's own work stands
//! between the clock and the broker.

use std::fs;

use anyhow::{Context as _, Result};
use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use pawl_e2e::Rig;
use pawl_proto::codec::Version;
use pawl_proto::message::{Event, EventKind, ShortText};
use pawl_proto::{Channel, EventId, Topic, signed};

use crate::subject::Subject;

pub(crate) struct Orders {
    key: SigningKey,
    sequence: u64,
}

/// An event that can be published.
pub(crate) struct Order {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

impl Orders {
    /// With the key of this rig's control plane.
    pub(crate) fn of(rig: &Rig) -> Result<Self> {
        let path = rig.control_plane.state_dir().join("order.key");
        let pem = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        // The control plane itself counts from one, and orders nothing here.
        Ok(Self { key: SigningKey::from_pkcs8_pem(&pem)?, sequence: 1_000_000 })
    }

    /// The next event for a device, in its present epoch.
    pub(crate) fn sign(&mut self, subject: &Subject, kind: EventKind) -> Result<Order> {
        self.sequence += 1;
        let device = subject.id();
        let event = Event {
            version: Version,
            id: EventId::from_random(u128::from(self.sequence).to_be_bytes()),
            kind,
            device,
            epoch: subject.epoch()?,
            sequence: self.sequence,
            time: 1,
            reason: ShortText::lossy("measured"),
        };
        let topic = Topic::new(device, Channel::Event);
        Ok(Order { payload: signed::sign(&event, &topic, &self.key)?, topic: topic.to_string() })
    }
}
