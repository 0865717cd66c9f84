use std::fmt;

use super::hash::HashAlgorithm;
use super::name::Name;
use super::reader::{ParseError, Reader};
use super::signature::{Curve, SignatureScheme, SymmetricCipher, read_null_scheme};

const TYPE_RSA: u16 = 0x0001;
const TYPE_KEYED_HASH: u16 = 0x0008;
const TYPE_ECC: u16 = 0x0023;
const RSA_MAX_LEN: usize = 512;
const DIGEST_MAX_LEN: usize = 64;
const DEFAULT_EXPONENT: u32 = 65_537;

/// The public area of a TPM object (TPMT_PUBLIC), stored as the bytes that its name hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    bytes: Vec<u8>,
    name_algorithm: HashAlgorithm,
    attributes: ObjectAttributes,
    auth_policy: Vec<u8>,
    key: PublicKey,
}

/// The part that depends on the kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKey {
    /// An RSA key.
    Rsa {
        /// Set for storage keys.
        symmetric: Option<SymmetricCipher>,
        /// Set if the key signs with one scheme only.
        scheme: Option<SignatureScheme>,
        /// Size of the modulus in bits.
        bits: u16,
        /// The exponent; 65537 if the TPM reports 0.
        exponent: u32,
        /// Big-endian.
        modulus: Vec<u8>,
    },
    /// An elliptic curve key. The point may not be on the curve: check that before use.
    Ecc {
        /// Set for storage keys.
        symmetric: Option<SymmetricCipher>,
        /// Set if the key signs with one scheme only.
        scheme: Option<SignatureScheme>,
        /// The curve.
        curve: Curve,
        /// Big-endian, at most as long as the curve's field; some TPMs omit leading zeros.
        x: Vec<u8>,
        /// As `x`.
        y: Vec<u8>,
    },
    /// A sealed object.
    KeyedHash {
        /// The digest that binds the public area to the sealed data.
        unique: Vec<u8>,
    },
}

impl Public {
    /// Parses a complete TPMT_PUBLIC.
    ///
    /// # Errors
    /// If bytes are missing or left over, or the object is not an RSA key, a key on P-256 or P-384, or a sealed
    /// object.
    pub fn unmarshal(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16("object type")?;
        let id = reader.u16("name algorithm")?;
        let name_algorithm = HashAlgorithm::from_id(id)
            .ok_or(ParseError::Unsupported { field: "name algorithm", value: id.into() })?;
        let attributes = ObjectAttributes(reader.u32("object attributes")?);
        let auth_policy = reader.sized(DIGEST_MAX_LEN, "authPolicy")?.to_vec();
        let key = match kind {
            TYPE_RSA => PublicKey::read_rsa(&mut reader)?,
            TYPE_ECC => PublicKey::read_ecc(&mut reader)?,
            TYPE_KEYED_HASH => PublicKey::read_keyed_hash(&mut reader)?,
            other => return Err(ParseError::Unsupported { field: "object type", value: other.into() }),
        };
        reader.finish("public area")?;
        Ok(Self { bytes: bytes.to_vec(), name_algorithm, attributes, auth_policy, key })
    }

    /// Builds a public area for a template. The caller guarantees that `bytes` is the TPMT_PUBLIC of the other
    /// arguments.
    pub(crate) fn assemble(
        bytes: Vec<u8>,
        name_algorithm: HashAlgorithm,
        attributes: ObjectAttributes,
        key: PublicKey,
    ) -> Self {
        Self { bytes, name_algorithm, attributes, auth_policy: Vec::new(), key }
    }

    /// Returns the bytes of TPMT_PUBLIC.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the object's name.
    pub fn name(&self) -> Name {
        Name::of(self.name_algorithm, &self.bytes)
    }

    /// Returns the algorithm of the name and of the policy.
    pub fn name_algorithm(&self) -> HashAlgorithm {
        self.name_algorithm
    }

    /// Returns the permitted uses of the object.
    pub fn attributes(&self) -> ObjectAttributes {
        self.attributes
    }

    /// Returns the policy for its use; empty if there is none.
    pub fn auth_policy(&self) -> &[u8] {
        &self.auth_policy
    }

    /// Returns the part that depends on the kind of object.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl PublicKey {
    fn read_rsa(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let symmetric = SymmetricCipher::read(reader)?;
        let scheme = SignatureScheme::read(reader)?;
        let bits = reader.u16("RSA key bits")?;
        let exponent = match reader.u32("RSA exponent")? {
            0 => DEFAULT_EXPONENT,
            other => other,
        };
        let modulus = reader.sized(RSA_MAX_LEN, "RSA modulus")?.to_vec();
        if modulus.len() != usize::from(bits / 8) {
            return Err(ParseError::Unsupported { field: "RSA key bits", value: bits.into() });
        }
        Ok(Self::Rsa { symmetric, scheme, bits, exponent, modulus })
    }

    fn read_ecc(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let symmetric = SymmetricCipher::read(reader)?;
        let scheme = SignatureScheme::read(reader)?;
        let curve = Curve::read(reader)?;
        read_null_scheme(reader, "key derivation scheme")?;
        let x = reader.sized(curve.field_len(), "x coordinate")?.to_vec();
        let y = reader.sized(curve.field_len(), "y coordinate")?.to_vec();
        Ok(Self::Ecc { symmetric, scheme, curve, x, y })
    }

    fn read_keyed_hash(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        read_null_scheme(reader, "keyed hash scheme")?;
        Ok(Self::KeyedHash { unique: reader.sized(DIGEST_MAX_LEN, "unique")?.to_vec() })
    }
}

/// The permitted uses of a TPM object (TPMA_OBJECT, TPM 2.0 Library, part 2, section 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectAttributes(pub u32);

impl ObjectAttributes {
    /// The object cannot leave this TPM by duplication.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// The object becomes unusable at the next TPM reset.
    pub const ST_CLEAR: Self = Self(1 << 2);
    /// The parent of the object cannot be changed.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM generated the secret part.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// The auth value, and not only the policy, permits use.
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    /// Only the policy permits administration.
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// Failed authorizations do not count as a dictionary attack.
    pub const NO_DA: Self = Self(1 << 10);
    /// Duplication would be encrypted.
    pub const ENCRYPTED_DUPLICATION: Self = Self(1 << 11);
    /// The key works only on data that the TPM generated.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// The key decrypts.
    pub const DECRYPT: Self = Self(1 << 17);
    /// The key signs.
    pub const SIGN: Self = Self(1 << 18);

    const NAMES: [(Self, &'static str); 11] = [
        (Self::FIXED_TPM, "fixedTPM"),
        (Self::ST_CLEAR, "stClear"),
        (Self::FIXED_PARENT, "fixedParent"),
        (Self::SENSITIVE_DATA_ORIGIN, "sensitiveDataOrigin"),
        (Self::USER_WITH_AUTH, "userWithAuth"),
        (Self::ADMIN_WITH_POLICY, "adminWithPolicy"),
        (Self::NO_DA, "noDA"),
        (Self::ENCRYPTED_DUPLICATION, "encryptedDuplication"),
        (Self::RESTRICTED, "restricted"),
        (Self::DECRYPT, "decrypt"),
        (Self::SIGN, "sign"),
    ];

    /// Returns the union of both sets.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether any of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for ObjectAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unnamed = self.0;
        let mut separator = "";
        for (attribute, name) in Self::NAMES {
            if self.contains(attribute) {
                write!(f, "{separator}{name}")?;
                separator = "|";
                unnamed &= !attribute.0;
            }
        }
        match (unnamed, self.0) {
            (0, 0) => f.write_str("none"),
            (0, _) => Ok(()),
            _ => write!(f, "{separator}{unnamed:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_attributes_are_named_and_others_numbered() {
        let attributes = ObjectAttributes::FIXED_TPM.union(ObjectAttributes::SIGN);
        assert_eq!(attributes.to_string(), "fixedTPM|sign");
        assert_eq!(ObjectAttributes(1 << 31 | 2).to_string(), "fixedTPM|0x80000000");
        assert_eq!(ObjectAttributes(0).to_string(), "none");
    }
}
