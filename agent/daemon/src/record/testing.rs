//! A pairing and an approval for tests.

use pawl_proto::codec::Version;
use pawl_proto::message::{Broker, Credential, PairingApproved, StatementBytes};
use pawl_proto::{Blob, DeviceId, Digest, Epoch, Nonce, PairingId, Text};

use super::{Approved, PairingRecord};

/// Returns the record of a pairing in this epoch.
pub(crate) fn record(epoch: u64) -> PairingRecord {
    let bytes = |bytes: &[u8]| bytes.to_vec().try_into().unwrap();
    PairingRecord {
        version: Version,
        pairing: PairingId::from_random([1; 16]),
        device: DeviceId::from_digest([2; 32]),
        epoch: Epoch(epoch),
        control_plane: Text::default(),
        endorsement: Text::default(),
        scopes: Vec::new(),
        broker: Broker { host: Text::default(), port: 1, authority: Vec::new().try_into().unwrap() },
        link_certificates: Vec::new(),
        order_keys: Vec::new(),
        lease_key: bytes(b"lease"),
        authorization_key: bytes(b"authorization"),
        policy_ref: Digest([3; 32]),
        counter_name: bytes(b"counter"),
        attestation_name: bytes(b"ak"),
        storage_name: Some(bytes(b"srk")),
        endorsement_name: Some(bytes(b"ek")),
    }
}

/// Returns an approval that ends the pairing of epoch 3, for the same TPM.
pub(crate) fn approved() -> Approved {
    let bytes = |bytes: &[u8]| bytes.to_vec().try_into().unwrap();
    Approved {
        version: Version,
        answer: PairingApproved {
            version: Version,
            statement: StatementBytes(Blob::new(b"statement".to_vec()).unwrap()),
            approvals: Vec::new(),
            credential: Credential { id_object: bytes(b"credential"), secret: bytes(b"seed") },
            nonce: Nonce([4; 32]),
            lease_key: bytes(b"lease"),
            authorization_key: bytes(b"authorization"),
            policy_ref: Digest([3; 32]),
            above: Epoch(3),
        },
        attestation_name: bytes(b"ak"),
    }
}
