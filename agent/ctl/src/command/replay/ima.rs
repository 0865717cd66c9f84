//! What an IMA log makes of PCR 10.

use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, IMA_PCR, ImaError};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

/// The PCR that IMA extends.
pub(super) const PCR: u8 = IMA_PCR;

/// The value of PCR 10 after the whole log; none where nothing was extended, and none for banks of which the log
/// cannot tell: a kernel that is built without a bank's hash extends padded SHA-1 digests instead.
pub(super) fn replay(log: &[u8], bank: HashAlgorithm) -> Result<Option<TaggedDigest>, ImaError> {
    let is_hashed_as = |bank| match is_binary(log) {
        true => {
            BinaryLog::new(log).next().is_some_and(|entry| entry.is_ok_and(|entry| entry.list_hash() == bank))
        }
        false => {
            AsciiLog::new(log).next().is_some_and(|entry| entry.is_ok_and(|entry| entry.list_hash() == bank))
        }
    };
    if !matches!(bank, HashAlgorithm::Sha1 | HashAlgorithm::Sha256) && !is_hashed_as(bank) {
        return Ok(None);
    }
    let mut aggregate = Aggregate::new(bank);
    let read = if is_binary(log) {
        aggregate.absorb(BinaryLog::new(log))?
    } else {
        aggregate.absorb(AsciiLog::new(log))?
    };
    if read < log.len() {
        return Err(ImaError::Truncated { offset: read });
    }
    Ok(Some(*aggregate.value()).filter(|_| aggregate.entries() > 0))
}

/// A binary log begins with the number of a PCR in 32 bits, little-endian; in ASCII it is followed by a space.
fn is_binary(log: &[u8]) -> bool {
    log.get(1..4) == Some(&[0, 0, 0])
}
