//! The ids of devices, pairings, sessions and events, and the epoch.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::bounded;

/// A device, which is one TPM: the first 32 characters of the lower-case base32 (RFC 4648) of
/// SHA-256 over the public area of its endorsement key.
///
/// A disk that moves to another machine does not take the id with it. The id is not secret, and proves nothing by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; DeviceId::LENGTH]);

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl DeviceId {
    /// The length of an id in characters. Each holds 5 bits, together 160 bits of the digest.
    pub const LENGTH: usize = 32;

    /// Returns the id of the device whose endorsement key has this public area (`TPMT_PUBLIC`).
    #[must_use]
    pub fn from_endorsement_key(public_area: &[u8]) -> Self {
        Self::from_digest(Sha256::digest(public_area).into())
    }

    /// Returns the id for the SHA-256 of an endorsement key's public area.
    #[must_use]
    pub fn from_digest(digest: [u8; 32]) -> Self {
        let mut id = [0; Self::LENGTH];
        for (five_bytes, characters) in digest.chunks_exact(5).zip(id.chunks_exact_mut(8)) {
            let bits = five_bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for (position, character) in characters.iter_mut().enumerate() {
                let index = (bits >> (35 - 5 * position)) & 31;
                *character = BASE32.iter().copied().nth(usize::try_from(index).unwrap_or(0)).unwrap_or(b'a');
            }
        }
        Self(id)
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every constructor accepts only base32, which is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for DeviceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let id: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| IdError::Device)?;
        if id.iter().all(|character| BASE32.contains(character)) {
            Ok(Self(id))
        } else {
            Err(IdError::Device)
        }
    }
}

/// The id of a pairing: the binding of a device to owner, scopes and keys, in one [`Epoch`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairingId([u8; 16]);

/// The id of an approval session, from opening to end.
///
/// A pairing has the same bytes as the session in which it was approved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

impl From<SessionId> for PairingId {
    fn from(session: SessionId) -> Self {
        Self(session.0)
    }
}

impl From<PairingId> for SessionId {
    fn from(pairing: PairingId) -> Self {
        Self(pairing.0)
    }
}

/// The id of an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

/// Implements what random ids have in common: 16 bytes, written as 32 hexadecimal digits.
macro_rules! random_id {
    ($name:ident, $error:expr) => {
        impl $name {
            /// Returns the id of 16 random bytes.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                bounded::read_lower_hex(text).map(Self).ok_or($error)
            }
        }
    };
}

random_id!(PairingId, IdError::Pairing);
random_id!(EventId, IdError::Event);
random_id!(SessionId, IdError::Session);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Implements display and serialization of an id as its text.
macro_rules! travels_as_text {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

travels_as_text!(DeviceId);
travels_as_text!(PairingId);
travels_as_text!(EventId);
travels_as_text!(SessionId);

/// The value of the device's epoch counter in the TPM. It never falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not 32 characters of lower-case base32.
    #[error("a device id has 32 characters, each a to z or 2 to 7")]
    Device,
    /// Not 32 lower-case hexadecimal digits.
    #[error("a pairing id has 32 lower-case hexadecimal digits")]
    Pairing,
    /// Not 32 lower-case hexadecimal digits.
    #[error("an event id has 32 lower-case hexadecimal digits")]
    Event,
    /// Not 32 lower-case hexadecimal digits.
    #[error("a session id has 32 lower-case hexadecimal digits")]
    Session,
}
