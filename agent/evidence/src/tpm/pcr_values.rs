use std::collections::BTreeMap;

use thiserror::Error;

use super::hash::{HashAlgorithm, TaggedDigest, sha256};
use super::pcr_selection::{PCR_COUNT, PcrIndexError, PcrSelection};

/// The value of a selected PCR is missing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the value of PCR {index} in the {bank} bank is missing")]
pub struct MissingPcr {
    /// Its bank.
    pub bank: HashAlgorithm,
    /// Its number.
    pub index: u8,
}

/// Values of PCRs, by bank and number.
///
/// On their own they are a claim. [`crate::attest`] checks them against a quote; a replayed log is compared with
/// the quoted values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PcrValues(BTreeMap<(HashAlgorithm, u8), TaggedDigest>);

impl PcrValues {
    /// Sets a PCR in the bank of the digest's algorithm.
    ///
    /// # Errors
    /// If the index is not below [`PCR_COUNT`].
    pub fn insert(&mut self, index: u8, value: TaggedDigest) -> Result<(), PcrIndexError> {
        if index >= PCR_COUNT {
            return Err(PcrIndexError(index));
        }
        self.0.insert((value.algorithm(), index), value);
        Ok(())
    }

    /// Returns the value of one PCR.
    pub fn get(&self, bank: HashAlgorithm, index: u8) -> Option<&TaggedDigest> {
        self.0.get(&(bank, index))
    }

    /// Returns every value, ordered by bank and number.
    pub fn iter(&self) -> impl Iterator<Item = (HashAlgorithm, u8, &TaggedDigest)> {
        self.0.iter().map(|((bank, index), value)| (*bank, *index, value))
    }

    /// Returns the values of one bank, ordered by number.
    pub fn bank(&self, bank: HashAlgorithm) -> impl Iterator<Item = (u8, &TaggedDigest)> {
        self.iter().filter(move |(present, ..)| *present == bank).map(|(_, index, value)| (index, value))
    }

    /// Returns the bank of the values; `None` if there are no values, or values of several banks.
    pub fn sole_bank(&self) -> Option<HashAlgorithm> {
        let mut banks = self.0.keys().map(|(bank, _)| *bank);
        let bank = banks.next()?;
        banks.all(|other| other == bank).then_some(bank)
    }

    /// Returns whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the values without these PCRs, in all banks.
    #[cfg(feature = "verifier")]
    pub(crate) fn without(mut self, indices: &[u8]) -> Self {
        self.0.retain(|(_, index), _| !indices.contains(index));
        self
    }

    /// Returns only the selected values.
    ///
    /// # Errors
    /// If one of them is missing.
    pub fn select(&self, selection: &PcrSelection) -> Result<Self, MissingPcr> {
        selection
            .iter()
            .map(|(bank, index)| Ok(((bank, index), *self.require(bank, index)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns the digest of the selected values in the selection's order: TPMS_QUOTE_INFO.pcrDigest, if `hash`
    /// is the hash of the signing scheme.
    ///
    /// # Errors
    /// If a selected value is missing.
    pub fn composite(
        &self,
        selection: &PcrSelection,
        hash: HashAlgorithm,
    ) -> Result<TaggedDigest, MissingPcr> {
        Ok(hash.digest(&[&self.concatenate(selection)?]))
    }

    /// Returns the SHA-256 composite, as `TPM2_PolicyPCR` takes it in a SHA-256 session.
    ///
    /// # Errors
    /// If a selected value is missing.
    pub fn policy_digest(&self, selection: &PcrSelection) -> Result<[u8; 32], MissingPcr> {
        Ok(sha256(&[&self.concatenate(selection)?]))
    }

    fn concatenate(&self, selection: &PcrSelection) -> Result<Vec<u8>, MissingPcr> {
        let mut values = Vec::new();
        for (bank, index) in selection.iter() {
            values.extend_from_slice(self.require(bank, index)?.as_bytes());
        }
        Ok(values)
    }

    fn require(&self, bank: HashAlgorithm, index: u8) -> Result<&TaggedDigest, MissingPcr> {
        self.get(bank, index).ok_or(MissingPcr { bank, index })
    }
}
