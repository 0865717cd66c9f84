//! Assurance records: what was verified, approved and used, in a chain.
//!
//! Each record's digest covers the digest of the one before, so that none can be altered or taken
//! out without breaking all that follow. Both sides keep such a chain; the head of the device's
//! stands in every report, under the quote.

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_cbor::Value;

use crate::bounded::{Blob, Digest};
use crate::codec::{self, EncodeError, Version};
use crate::id::{DeviceId, Epoch, EventId, PairingId, SessionId};
use crate::limits;
use crate::message::{Cause, EventKind, Scope, ShortText, TrustTier};
use crate::open::Word;

/// A record in its chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The record, encoded.
    pub body: Vec<u8>,
    /// The digest of the record before it; [`Link::START`] for the first.
    pub previous: Digest,
    /// SHA-256 over `previous` and `body`.
    pub digest: Digest,
}

impl Link {
    /// What the first record follows.
    pub const START: Digest = Digest([0; 32]);

    /// The link that follows `previous`.
    ///
    /// # Errors
    /// [`EncodeError`] as for [`codec::encode`].
    pub fn forge(previous: Digest, record: &impl Serialize) -> Result<Self, EncodeError> {
        Ok(Self::follow(previous, codec::encode(record)?))
    }

    /// The link that `body` is after `previous`.
    #[must_use]
    pub fn follow(previous: Digest, body: Vec<u8>) -> Self {
        let digest = Digest::of(&[previous.as_bytes().as_slice(), &body].concat());
        Self { body, previous, digest }
    }

    /// The record, if it is whole and follows `previous`.
    #[must_use]
    pub fn check<T: Serialize + DeserializeOwned>(&self, previous: Digest) -> Option<T> {
        let expected = Self::follow(previous, self.body.clone());
        if *self != expected {
            return None;
        }
        codec::decode(&self.body, limits::MESSAGE).ok()
    }
}

/// One record of a device, encoded.
pub type RecordBytes = Blob<{ limits::RECORD }>;

/// One record of a device. It is the device's own word; the chain, and the quote over its head,
/// keep it from changing that word later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The message version.
    pub version: Version,
    /// Its place in the chain, from 1.
    pub sequence: u64,
    /// Unix time of the device, seconds.
    pub time: u64,
    /// The TPM's clock, milliseconds, where it was at hand.
    pub clock: Option<u64>,
    /// The TPM's resetCount, with it.
    pub resets: Option<u32>,
    /// The epoch in which it happened.
    pub epoch: Option<Epoch>,
    /// What happened.
    pub fact: DeviceFact,
}

/// What a device records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(tag = "kind", content = "detail", rename_all = "kebab-case")]
pub enum DeviceFact {
    /// The chain begins: there was none, or none that could be read.
    Began {
        /// The device.
        device: DeviceId,
    },
    /// A session was opened.
    Opened {
        /// The session.
        session: SessionId,
        /// From where.
        origin: ShortText,
        /// `pair`, `re-pair` or an action's name.
        action: ShortText,
        /// SHA-256 of the statement.
        statement: Digest,
    },
    /// It was approved.
    Approved {
        /// The session.
        session: SessionId,
        /// By whom; empty where the operator's policy wants nobody.
        by: Vec<ShortText>,
    },
    /// It came to nothing.
    Refused {
        /// The session, where there was one.
        session: Option<SessionId>,
        /// For programs.
        code: ShortText,
    },
    /// A pairing was made.
    Paired {
        /// The pairing.
        pairing: PairingId,
        /// Its scopes.
        scopes: Vec<Scope>,
    },
    /// A verdict came, and with it a lease or none.
    Verdict {
        /// Its number.
        sequence: u64,
        /// The judgement.
        result: Option<TrustTier>,
        /// SHA-256 of the evidence that was judged.
        evidence: Option<Digest>,
        /// The TPM's clock at which the lease runs out.
        lease: Option<u64>,
    },
    /// A token was taken into the vault.
    Token {
        /// Its name.
        name: ShortText,
        /// When it expires, Unix seconds.
        expires: u64,
    },
    /// The TPM signed for a protected action.
    Assurance {
        /// The session in which it was let.
        session: SessionId,
        /// The action.
        action: ShortText,
        /// SHA-256 of the assurance's signing input: what the TPM signed.
        digest: Digest,
    },
    /// The epoch ended.
    Wiped {
        /// What began it.
        cause: Cause,
        /// The order that was carried out.
        event: Option<EventId>,
        /// SHA-256 of the receipt, where one was made.
        receipt: Option<Digest>,
    },
    /// Records that could not be written, most often for want of room.
    Missed {
        /// How many.
        count: u64,
    },
    /// An order came that this version of the device does not know. The device did nothing about it.
    Ignored {
        /// The order.
        event: EventId,
        /// What it is called.
        order: EventKind,
    },
    /// A fact of a newer version.
    #[serde(untagged, deserialize_with = "Self::unknown")]
    Unknown(UnknownFact),
}

fact_kinds! {
    DeviceFact {
        Began = "began",
        Opened = "opened",
        Approved = "approved",
        Refused = "refused",
        Paired = "paired",
        Verdict = "verdict",
        Token = "token",
        Assurance = "assurance",
        Wiped = "wiped",
        Missed = "missed",
        Ignored = "ignored",
    }
}

impl DeviceFact {
    fn unknown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnknownFact, D::Error> {
        UnknownFact::unless(Self::KINDS, deserializer)
    }
}

/// A fact of a record that this version does not know. It is kept as it came: the chain covers its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnknownFact {
    /// What kind of fact it is.
    pub kind: Word,
    /// What it says.
    pub detail: Option<Opaque>,
}

impl UnknownFact {
    /// Reads a fact whose kind is none of `known`: one of a known kind with another detail is malformed.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn unless<'de, D: Deserializer<'de>>(known: &[&str], deserializer: D) -> Result<Self, D::Error> {
        let fact = Self::deserialize(deserializer)?;
        if known.contains(&fact.kind.as_str()) {
            return Err(D::Error::custom(format_args!("the detail of {} is malformed", fact.kind)));
        }
        Ok(fact)
    }
}

/// What nobody here can read. In JSON it is its CBOR encoding, in hexadecimal.
#[derive(Clone, Debug, PartialEq)]
pub struct Opaque(Value);

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        let encoded = serde_cbor::to_vec(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&hex::encode(encoded))
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self)
    }
}

/// Declares the kinds of an enum of facts, whose last variant is `Unknown` with an [`UnknownFact`]. A variant that is
/// missing here does not compile.
#[macro_export]
macro_rules! fact_kinds {
    ($name:ident { $($variant:ident = $kind:literal,)+ }) => {
        impl $name {
            /// The kinds that this version knows.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// Returns which kind of fact it is, as the record has it.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant { .. } => $kind,)+
                    Self::Unknown(fact) => fact.kind.as_str(),
                }
            }
        }
    };
}
use fact_kinds;
