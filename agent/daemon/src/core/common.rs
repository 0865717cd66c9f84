//! What inputs and effects both name.

use std::fmt;

use pawl_proto::{Channel, Digest, Epoch};
use zeroize::Zeroizing;

/// Identifies an effect whose result comes back as an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The ticket of the examination that the executor makes at its start.
    pub const START: Self = Self(0);
}

/// Identifies a message of the broker in its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// Identifies a request of the local API in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The keys of a pairing that is being created.
pub struct NewKeys(pub pawl_tpm::PairingKeys);

impl fmt::Debug for NewKeys {
    /// Leaves the keys out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKeys")
    }
}

/// The key of the vault; zeroized on drop.
pub struct VaultKey(pub Zeroizing<[u8; 32]>);

impl fmt::Debug for VaultKey {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey")
    }
}

/// The kind of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelKind {
    /// The device's status, retained.
    Status,
    /// A report, by the digest of its evidence.
    Posture(Digest),
    /// The receipt for an epoch.
    Receipt(Epoch),
}

impl ParcelKind {
    pub(crate) fn channel(self) -> Channel {
        match self {
            Self::Status => Channel::Status,
            Self::Posture(_) => Channel::Posture,
            Self::Receipt(_) => Channel::Receipt,
        }
    }
}
