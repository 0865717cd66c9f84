use super::MeasureLog;
use super::record::{Record, Target};
use crate::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

impl MeasureLog {
    /// Returns the values after the records, starting from `before`. A PCR that `before` lacks starts with its
    /// reset value.
    pub fn replay(&self, before: &PcrValues) -> PcrValues {
        let mut pcrs = before.clone();
        for record in &self.records {
            let Target::Pcr(pcr) = record.target else { continue };
            for digest in &record.digests {
                let bank = digest.algorithm();
                let old = pcrs.get(bank, pcr).copied().unwrap_or_else(|| TaggedDigest::at_reset(bank, pcr));
                // `insert` cannot fail: the index was checked when the record was parsed.
                let _ = pcrs.insert(pcr, old.extend(digest.as_bytes()));
            }
        }
        pcrs
    }

    /// Returns how many of a PCR's records extend `before` to `quoted`; `None` if no number of them does. The
    /// records after these came after the quote and are not evidence.
    pub fn leads(&self, pcr: u8, before: &TaggedDigest, quoted: &TaggedDigest) -> Option<usize> {
        let records = self.of_pcr(pcr);
        lead(records, before, quoted)
    }

    /// Returns how many of an NvPCR's records lead to a value; `None` if no number of them does. systemd first
    /// extends each NvPCR with a digest of zero bytes, which no log contains.
    pub fn leads_nv(&self, index: u32, value: &TaggedDigest) -> Option<usize> {
        let zeros = TaggedDigest::filled(value.algorithm(), 0);
        lead(self.of_nv_index(index), &zeros.extend(zeros.as_bytes()), value)
    }
}

fn lead<'r>(
    records: impl Iterator<Item = &'r Record>,
    before: &TaggedDigest,
    after: &TaggedDigest,
) -> Option<usize> {
    let bank: HashAlgorithm = before.algorithm();
    let mut value = *before;
    let mut count = 0_usize;
    if value == *after {
        return Some(count);
    }
    for record in records {
        count = count.saturating_add(1);
        // A record without this bank changed nothing in it.
        let Some(digest) = record.digest(bank) else { continue };
        value = value.extend(digest.as_bytes());
        if value == *after {
            return Some(count);
        }
    }
    None
}
