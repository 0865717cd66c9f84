use std::fmt;

use super::hash::HashAlgorithm;
use super::reader::{ParseError, Reader};

/// The name of an object or NV index: the name algorithm's id and the digest of the public area (TPM 2.0
/// Library, part 1, section 16).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

/// The hierarchy of a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hierarchy {
    /// TPM_RH_OWNER: the storage hierarchy.
    Owner,
    /// TPM_RH_ENDORSEMENT.
    Endorsement,
}

impl Hierarchy {
    const fn handle(self) -> u32 {
        match self {
            Self::Owner => 0x4000_0001,
            Self::Endorsement => 0x4000_000b,
        }
    }
}

impl Name {
    /// Parses the contents of a TPM2B_NAME.
    ///
    /// # Errors
    /// If the algorithm is unknown or the digest has another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let id = reader.u16("name algorithm")?;
        let algorithm = HashAlgorithm::from_id(id)
            .ok_or(ParseError::Unsupported { field: "name algorithm", value: id.into() })?;
        reader.bytes(algorithm.digest_len(), "name digest")?;
        reader.finish("name")?;
        Ok(Self(bytes.to_vec()))
    }

    /// Returns the algorithm's id followed by the digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the qualified name of an object with this name that is a primary of `hierarchy` (TPM 2.0 Library,
    /// part 1, "Qualified Name").
    #[must_use]
    pub fn in_hierarchy(&self, hierarchy: Hierarchy) -> Self {
        Self::digest(self.algorithm(), &[&hierarchy.handle().to_be_bytes(), &self.0])
    }

    /// Returns the qualified name of an object with this name below a key with the qualified name `parent`.
    #[must_use]
    pub fn below(&self, parent: &Self) -> Self {
        Self::digest(self.algorithm(), &[&parent.0, &self.0])
    }

    fn algorithm(&self) -> HashAlgorithm {
        let id = self.0.first_chunk().map(|id| u16::from_be_bytes(*id));
        // Every name begins with the id of a known algorithm.
        id.and_then(HashAlgorithm::from_id).unwrap_or(HashAlgorithm::Sha256)
    }

    pub(super) fn of(algorithm: HashAlgorithm, public_area: &[u8]) -> Self {
        Self::digest(algorithm, &[public_area])
    }

    fn digest(algorithm: HashAlgorithm, parts: &[&[u8]]) -> Self {
        let mut name = algorithm.id().to_be_bytes().to_vec();
        name.extend_from_slice(algorithm.digest(parts).as_bytes());
        Self(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}
