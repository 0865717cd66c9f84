//! Byte strings and texts of bounded length.

use std::fmt;

use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A byte string of at most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// Checks the length of the bytes.
    ///
    /// # Errors
    /// [`TooLong`] if there are more than `MAX`.
    pub fn new(bytes: Vec<u8>) -> Result<Self, TooLong> {
        TooLong::check(bytes.len(), MAX)?;
        Ok(Self(bytes))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes, owned.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<const MAX: usize> TryFrom<Vec<u8>> for Blob<MAX> {
    type Error = TooLong;

    fn try_from(bytes: Vec<u8>) -> Result<Self, TooLong> {
        Self::new(bytes)
    }
}

impl<const MAX: usize> AsRef<[u8]> for Blob<MAX> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Self::new(bytes.into_vec()).map_err(D::Error::custom)
    }
}

/// A text of at most `MAX` bytes in UTF-8, without characters that control a terminal or the direction of writing: it is
/// safe in a log line and on an approver's screen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Checks the length and the characters of the text.
    ///
    /// # Errors
    /// [`TextError`] says which of the two is wrong.
    pub fn new(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        TooLong::check(text.len(), MAX)?;
        if text.chars().any(deceives) {
            return Err(TextError::Control);
        }
        Ok(Self(text))
    }

    /// Makes any text fit: replaces control characters with spaces, and cuts a text that is too long. Use it for Pawl's
    /// own texts and for facts read from the host.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let mut kept = String::new();
        for character in text.chars().map(|c| if deceives(c) { ' ' } else { c }) {
            if kept.len() + character.len_utf8() > MAX {
                break;
            }
            kept.push(character);
        }
        Self(kept)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> AsRef<str> for Text<MAX> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Returns whether this is a control character, or one that changes the direction in which the text after it is shown
/// (Unicode Standard Annex #9, section 2).
fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// There are more bytes than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes, where at most {limit} are allowed")]
pub struct TooLong {
    /// How many bytes there were.
    pub length: usize,
    /// The limit.
    pub limit: usize,
}

impl TooLong {
    pub(crate) fn check(length: usize, limit: usize) -> Result<(), Self> {
        if length > limit { Err(Self { length, limit }) } else { Ok(()) }
    }
}

/// Why a text must not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// It is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// It has a control character, which could rewrite a terminal or forge a log line.
    #[error("a control character in a text")]
    Control,
}

/// Declares a newtype over a fixed number of bytes, encoded as a CBOR byte string, and in JSON as hexadecimal digits.
macro_rules! fixed_bytes {
    ($(#[$meta:meta])* $name:ident, $length:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Returns the bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = WrongLength;

            fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
                bytes.try_into().map(Self).map_err(|_| WrongLength { length: bytes.len(), expected: $length })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Form;

                impl Visitor<'_> for Form {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} bytes, in JSON as lower-case hexadecimal digits", $length)
                    }

                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        $name::try_from(bytes).map_err(E::custom)
                    }

                    fn visit_str<E: serde::de::Error>(self, digits: &str) -> Result<$name, E> {
                        read_lower_hex(digits).map($name).ok_or_else(|| E::invalid_value(Unexpected::Str(digits), &self))
                    }
                }

                // A value that serde has buffered, as for a flattened field, claims to be human-readable although it
                // holds bytes.
                if deserializer.is_human_readable() {
                    deserializer.deserialize_any(Form)
                } else {
                    deserializer.deserialize_bytes(Form)
                }
            }
        }
    };
}

fixed_bytes!(
    /// A SHA-256 digest.
    Digest,
    32
);
fixed_bytes!(
    /// 32 random bytes that one answer must repeat.
    Nonce,
    32
);
fixed_bytes!(
    /// An ECDSA P-256 signature: r and s, 32 bytes each, big-endian.
    SignatureBytes,
    64
);

impl Digest {
    /// Returns the SHA-256 of the bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// A byte string does not have its fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes, where {expected} are due")]
pub struct WrongLength {
    /// How many bytes there were.
    pub length: usize,
    /// The required length.
    pub expected: usize,
}

/// Reads exactly `LENGTH` bytes of lower-case hexadecimal: one form, so that equal bytes are equal texts. The `hex` crate
/// also accepts capitals.
pub(crate) fn read_lower_hex<const LENGTH: usize>(digits: &str) -> Option<[u8; LENGTH]> {
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}
