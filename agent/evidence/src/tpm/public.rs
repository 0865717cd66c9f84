use super::attributes::ObjectAttributes;
use super::hash::HashAlgorithm;
use super::name::Name;
use super::reader::{ParseError, Reader};
use super::scheme::{Curve, SignatureScheme, SymmetricCipher, read_null_scheme};

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
    /// If the bytes are truncated or continue, or the object is not an RSA key, a key on P-256 or P-384, or a
    /// sealed object.
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
