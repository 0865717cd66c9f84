use super::MeasureLog;
use super::record::{Record, Target};
use crate::tpm::{Digest, HashAlgorithm, PcrValues};

impl MeasureLog {
    /// What the records make of PCRs that held `before`. A PCR that is not in it is taken to hold what it has after a
    /// reset.
    pub fn replay(&self, before: &PcrValues) -> PcrValues {
        let mut pcrs = before.clone();
        for record in &self.records {
            let Target::Pcr(pcr) = record.target else { continue };
            for digest in &record.digests {
                let bank = digest.algorithm();
                let old = pcrs.get(bank, pcr).copied().unwrap_or_else(|| Digest::at_reset(bank, pcr));
                // The index was checked when the record was read.
                let _ = pcrs.insert(pcr, old.extend(digest.as_bytes()));
            }
        }
        pcrs
    }

    /// How many of a PCR's records lead from one value to the other; `None` where no number of them does. Records
    /// behind these came after the quote and are no evidence.
    pub fn leads(&self, pcr: u8, before: &Digest, quoted: &Digest) -> Option<usize> {
        let records = self.of_pcr(pcr);
        lead(records, before, quoted)
    }

    /// How many of an NvPCR's records lead to a value; `None` where no number of them does. systemd extends each NvPCR
    /// with as many zero bytes as a digest has first, which is in no log.
    pub fn leads_nv(&self, index: u32, value: &Digest) -> Option<usize> {
        let zeros = Digest::filled(value.algorithm(), 0);
        lead(self.of_nv_index(index), &zeros.extend(zeros.as_bytes()), value)
    }
}

fn lead<'r>(records: impl Iterator<Item = &'r Record>, before: &Digest, after: &Digest) -> Option<usize> {
    let bank: HashAlgorithm = before.algorithm();
    let mut value = *before;
    let mut count = 0_usize;
    if value == *after {
        return Some(count);
    }
    for record in records {
        count = count.saturating_add(1);
        // A record that leaves this bank out changed nothing in it.
        let Some(digest) = record.digest(bank) else { continue };
        value = value.extend(digest.as_bytes());
        if value == *after {
            return Some(count);
        }
    }
    None
}
