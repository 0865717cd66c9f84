use std::fmt;

use super::hash::{HashAlgorithm, write_hex};
use super::reader::{ParseError, Reader};

/// What identifies an object or an NV index inside a TPM: the name algorithm's id and the digest of the
/// public area (TPM 2.0 part 1, section 16).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// Takes the bytes of a name, as they stand inside a TPM2B_NAME.
    ///
    /// # Errors
    /// When the algorithm is unknown or the digest has another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let id = reader.u16("name algorithm")?;
        let algorithm = HashAlgorithm::from_id(id)
            .ok_or(ParseError::Unsupported { field: "name algorithm", value: id.into() })?;
        reader.bytes(algorithm.digest_len(), "name digest")?;
        reader.finish("name")?;
        Ok(Self(bytes.to_vec()))
    }

    /// The algorithm's id and the digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn of(algorithm: HashAlgorithm, public_area: &[u8]) -> Self {
        Self::digest(algorithm, &[public_area])
    }

    /// Returns the qualified name of an object below `parent`: the handle of a hierarchy, or the qualified name of a
    /// key (TPM 2.0 part 1, "Qualified Name"). `algorithm` is the object's name algorithm.
    pub(super) fn qualified(algorithm: HashAlgorithm, parent: &[u8], object: &Self) -> Self {
        Self::digest(algorithm, &[parent, object.as_bytes()])
    }

    fn digest(algorithm: HashAlgorithm, parts: &[&[u8]]) -> Self {
        let mut name = algorithm.id().to_be_bytes().to_vec();
        name.extend_from_slice(algorithm.digest(parts).as_bytes());
        Self(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}
