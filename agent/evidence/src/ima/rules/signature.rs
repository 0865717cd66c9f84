//! Verifies signatures in the extended attribute `security.ima`, which evmctl makes and the kernel's IMA checks.

use super::offender::Why;
use super::signer::Signer;
use crate::ima::{FileDigest, Hashed};
use crate::tpm::{HashAlgorithm, TaggedDigest};

/// enum evm_ima_xattr_type.
const DIGITAL_SIGNATURE: u8 = 3;
const PORTABLE_EVM_SIGNATURE: u8 = 5;
const VERITY_SIGNATURE: u8 = 6;

/// struct signature_v2_hdr, with the type in front.
struct Header<'a> {
    kind: u8,
    version: u8,
    hash: HashAlgorithm,
    key_id: u32,
    signature: &'a [u8],
}

/// Checks that one of the signers signed this file.
pub(super) fn check(attribute: &[u8], file: FileDigest, signers: &[Signer]) -> Result<(), Why> {
    if attribute.first() == Some(&PORTABLE_EVM_SIGNATURE) {
        return Err(Why::SignatureOfMetadata);
    }
    let header = Header::read(attribute).ok_or(Why::SignatureForm)?;
    let signed = header.signed(file)?;
    let key_id = header.key_id;
    // At most one signature check per key, however many signers share it.
    let mut known = signers.iter().filter(|signer| signer.has_key_id(key_id)).peekable();
    if known.peek().is_none() {
        return Err(Why::Signer { key_id });
    }
    if known.any(|signer| signer.verifies(header.hash, &signed, header.signature)) {
        return Ok(());
    }
    Err(Why::Signature { key_id })
}

impl<'a> Header<'a> {
    fn read(attribute: &'a [u8]) -> Option<Self> {
        let ([kind, version, hash, id_0, id_1, id_2, id_3, size_0, size_1], signature) =
            attribute.split_first_chunk::<9>()?;
        let size = usize::from(u16::from_be_bytes([*size_0, *size_1]));
        Some(Self {
            kind: *kind,
            version: *version,
            hash: kernel_hash(*hash)?,
            key_id: u32::from_be_bytes([*id_0, *id_1, *id_2, *id_3]),
            signature: Some(signature).filter(|signature| signature.len() == size)?,
        })
    }

    /// Returns the signed digest.
    fn signed(&self, file: FileDigest) -> Result<TaggedDigest, Why> {
        let is_verity = match (self.kind, self.version) {
            (DIGITAL_SIGNATURE, 2 | 3) => false,
            (VERITY_SIGNATURE, 3) => true,
            _ => return Err(Why::SignatureForm),
        };
        if is_verity != (file.of == Hashed::Verity) {
            return Err(Why::SignedHash);
        }
        if self.version == 2 {
            return Some(file.digest).filter(|digest| digest.algorithm() == self.hash).ok_or(Why::SignedHash);
        }
        // struct ima_file_id: the kind of digest, its algorithm, and the digest.
        let algorithm = kernel_id(file.digest.algorithm());
        Ok(self.hash.digest(&[&[self.kind, algorithm], file.digest.as_bytes()]))
    }
}

/// enum hash_algo of the kernel, without weak algorithms.
fn kernel_hash(id: u8) -> Option<HashAlgorithm> {
    HashAlgorithm::ALL.into_iter().find(|hash| *hash != HashAlgorithm::Sha1 && kernel_id(*hash) == id)
}

fn kernel_id(hash: HashAlgorithm) -> u8 {
    match hash {
        HashAlgorithm::Sha1 => 2,
        HashAlgorithm::Sha256 => 4,
        HashAlgorithm::Sha384 => 5,
        HashAlgorithm::Sha512 => 6,
    }
}
