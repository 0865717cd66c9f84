//! Events that only look right.

use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder, iana::Algorithm};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use pawl_e2e::Rig;
use pawl_proto::codec::Version;
use pawl_proto::message::{Event, EventKind, ShortText};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{DeviceId, Epoch, EventId, Topic, encode};

/// Somebody who signs events.
pub(super) struct Forger(SigningKey);

impl Forger {
    /// With the control plane's own key, to reach the checks behind the signature.
    pub(super) fn with_order_key(rig: &Rig) -> Self {
        let pem = std::fs::read_to_string(rig.control_plane.state_dir().join("order.key")).unwrap();
        Self(SigningKey::from_pkcs8_pem(&pem).unwrap())
    }

    pub(super) fn with_own_key() -> Self {
        Self(SigningKey::from_slice(&[7; 32]).unwrap())
    }

    /// An event that would be obeyed, if it were for that device and epoch.
    pub(super) fn event(&self, device: DeviceId, epoch: Epoch, kind: EventKind) -> Event {
        Event {
            version: Version,
            id: EventId::from_random([5; 16]),
            kind,
            device,
            epoch,
            sequence: 1_000_000,
            time: 1,
            reason: ShortText::lossy("forged"),
        }
    }

    pub(super) fn sign(&self, event: &Event, topic: Topic) -> Vec<u8> {
        signed::sign(event, &topic, &self.0).unwrap()
    }

    /// A right signature over whatever bytes.
    pub(super) fn sign_payload(&self, payload: &[u8], topic: Topic) -> Vec<u8> {
        let header =
            HeaderBuilder::new().algorithm(Algorithm::ES256).key_id(OrderKey::from(&self.0).id()).build();
        let envelope = CoseSign1Builder::new()
            .protected(header)
            .payload(payload.to_vec())
            .create_signature(topic.to_string().as_bytes(), |bytes| {
                let signature: Signature = self.0.sign(bytes);
                signature.to_bytes().to_vec()
            })
            .build();
        envelope.to_vec().unwrap()
    }
}

/// The same event with its `time`, 1, in two bytes where one would do.
pub(super) fn not_canonical(event: &Event) -> Vec<u8> {
    replace(&encode(event).unwrap(), b"\x64time\x01", b"\x64time\x18\x01")
}

/// The same event in version 2.
pub(super) fn of_another_version(event: &Event) -> Vec<u8> {
    replace(&encode(event).unwrap(), b"\x67version\x01", b"\x67version\x02")
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}
