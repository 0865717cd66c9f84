//! Values of PCRs, and their bank.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bounded;
use crate::bounded::Digest;

/// The bank of the PCRs that a device quotes and that its leases name: sha256 if it is active in the TPM, otherwise
/// sha384. SHA-1 is too weak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PcrBank {
    /// Values of 32 bytes.
    #[default]
    Sha256,
    /// Values of 48 bytes.
    Sha384,
}

impl PcrBank {
    /// Returns the bank of these values; `None` if there are none, or several banks.
    #[must_use]
    pub fn of(values: &BTreeMap<u8, PcrValue>) -> Option<Self> {
        let mut banks = values.values().map(|value| value.bank());
        let bank = banks.next()?;
        banks.all(|other| other == bank).then_some(bank)
    }

    /// Returns whether it is the default, which messages omit.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for PcrBank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
        })
    }
}

/// The value of one PCR. Its size determines the bank. Encoded as a CBOR byte string, and in JSON as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PcrValue {
    /// A value of the sha256 bank.
    Sha256([u8; 32]),
    /// A value of the sha384 bank.
    Sha384([u8; 48]),
}

impl PcrValue {
    /// Reads the bytes of a value.
    ///
    /// # Errors
    /// If no bank has values of this size.
    pub fn new(bytes: &[u8]) -> Result<Self, PcrValueError> {
        if let Ok(value) = bytes.try_into() {
            return Ok(Self::Sha256(value));
        }
        bytes.try_into().map(Self::Sha384).map_err(|_| PcrValueError)
    }

    /// Returns its bank.
    #[must_use]
    pub fn bank(&self) -> PcrBank {
        match self {
            Self::Sha256(_) => PcrBank::Sha256,
            Self::Sha384(_) => PcrBank::Sha384,
        }
    }

    /// Returns the value of a PCR that was reset to zeros and never extended.
    #[must_use]
    pub fn untouched(bank: PcrBank) -> Self {
        match bank {
            PcrBank::Sha256 => Self::Sha256([0; 32]),
            PcrBank::Sha384 => Self::Sha384([0; 48]),
        }
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(value) => value,
            Self::Sha384(value) => value,
        }
    }
}

/// Bytes or digits are not the value of a PCR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the value of a PCR: give 64 hexadecimal digits for sha256, or 96 for sha384")]
pub struct PcrValueError;

impl From<Digest> for PcrValue {
    fn from(digest: Digest) -> Self {
        Self::Sha256(digest.0)
    }
}

impl FromStr for PcrValue {
    type Err = PcrValueError;

    /// Reads lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, PcrValueError> {
        let sha256 = || bounded::read_lower_hex(text).map(Self::Sha256);
        let sha384 = || bounded::read_lower_hex(text).map(Self::Sha384);
        sha256().or_else(sha384).ok_or(PcrValueError)
    }
}

impl fmt::Display for PcrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PcrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PcrValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for PcrValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl Visitor<'_> for Form {
            type Value = PcrValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 or 48 bytes, in JSON as lower-case hexadecimal digits")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<PcrValue, E> {
                PcrValue::new(bytes).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, digits: &str) -> Result<PcrValue, E> {
                digits.parse().map_err(E::custom)
            }
        }

        // As for other byte strings: a value that serde has buffered claims to be human-readable although it holds bytes.
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Form)
        } else {
            deserializer.deserialize_bytes(Form)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_size_of_its_bank_in_both_forms() {
        for (value, bank) in
            [(PcrValue::Sha256([0xab; 32]), PcrBank::Sha256), (PcrValue::Sha384([0xcd; 48]), PcrBank::Sha384)]
        {
            assert_eq!(value.bank(), bank);
            assert_eq!(value.to_string().parse(), Ok(value));
            let cbor = crate::encode(&value).unwrap();
            assert_eq!(cbor.len(), value.as_bytes().len() + 2);
            assert_eq!(crate::decode::<PcrValue>(&cbor, 64).unwrap(), value);
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<PcrValue>(&json).unwrap(), value);
        }
        for length in [0, 20, 31, 33, 47, 49, 64] {
            assert_eq!(PcrValue::new(&vec![1; length]), Err(PcrValueError));
            assert!("ab".repeat(length).parse::<PcrValue>().is_err());
        }
        assert!("AB".repeat(32).parse::<PcrValue>().is_err());
    }

    #[test]
    fn values_of_two_banks_are_of_none() {
        let (short, long) = (PcrValue::untouched(PcrBank::Sha256), PcrValue::untouched(PcrBank::Sha384));
        assert_eq!(PcrBank::of(&BTreeMap::from([(0, short), (1, short)])), Some(PcrBank::Sha256));
        assert_eq!(PcrBank::of(&BTreeMap::from([(0, short), (1, long)])), None);
        assert_eq!(PcrBank::of(&BTreeMap::new()), None);
    }
}
