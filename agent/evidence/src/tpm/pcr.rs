use std::collections::BTreeMap;

use thiserror::Error;

use super::hash::{HashAlgorithm, TaggedDigest, sha256};
use super::reader::{ParseError, Reader};

/// The number of PCRs of a bank (TCG PC Client Platform TPM Profile, section 4.6).
pub const PCR_COUNT: u8 = 24;

/// The length in bytes of one bit per PCR.
const SELECT_LEN: u8 = 3;

/// A PCR number is not below [`PCR_COUNT`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("PCR {0} does not exist: a bank has 0 to 23")]
pub struct PcrIndexError(pub u8);

/// Selected PCRs of banks, in the order in which the TPM hashes them (TPML_PCR_SELECTION).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PcrSelection {
    /// Each bank at most once.
    banks: Vec<(HashAlgorithm, BankBits)>,
}

/// Bit n of the little-endian number is PCR n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BankBits([u8; SELECT_LEN as usize]);

impl PcrSelection {
    /// Selects PCRs of one bank.
    ///
    /// # Errors
    /// If an index is not below [`PCR_COUNT`].
    pub fn new(bank: HashAlgorithm, indices: impl IntoIterator<Item = u8>) -> Result<Self, PcrIndexError> {
        Self { banks: Vec::new() }.with(bank, indices)
    }

    /// Returns the PCRs that a lease names by default: those that firmware and boot loader extend with stable values.
    /// Omits 10 and 11, which IMA and systemd extend while services start.
    pub fn lease_default() -> Self {
        // 0, 2, 4, 7 · 8, 9, 12, 14
        Self { banks: vec![(HashAlgorithm::Sha256, BankBits([0b1001_0101, 0b0101_0011, 0]))] }
    }

    /// Appends PCRs of a bank.
    ///
    /// # Errors
    /// If an index is not below [`PCR_COUNT`].
    pub fn with(
        mut self,
        bank: HashAlgorithm,
        indices: impl IntoIterator<Item = u8>,
    ) -> Result<Self, PcrIndexError> {
        let mut bits = self.bits(bank).unwrap_or(BankBits([0; SELECT_LEN as usize]));
        for index in indices {
            bits.set(index)?;
        }
        self.banks.retain(|(present, _)| *present != bank);
        self.banks.push((bank, bits));
        Ok(self)
    }

    /// Returns the banks in order.
    pub fn banks(&self) -> impl Iterator<Item = HashAlgorithm> + '_ {
        self.banks.iter().map(|(bank, _)| *bank)
    }

    /// Returns every selected PCR, in the order in which the TPM hashes them.
    pub fn iter(&self) -> impl Iterator<Item = (HashAlgorithm, u8)> + '_ {
        self.banks.iter().flat_map(|(bank, bits)| bits.indices().map(|index| (*bank, index)))
    }

    /// Returns whether this PCR is selected.
    pub fn contains(&self, bank: HashAlgorithm, index: u8) -> bool {
        self.bits(bank).is_some_and(|bits| bits.contains(index))
    }

    /// Returns the bytes of TPML_PCR_SELECTION.
    pub fn marshal(&self) -> Vec<u8> {
        // At most one bank per hash algorithm, so the count fits into one byte.
        let mut bytes = vec![0, 0, 0, u8::try_from(self.banks.len()).unwrap_or(u8::MAX)];
        for (bank, bits) in &self.banks {
            bytes.extend(bank.id().to_be_bytes());
            bytes.push(SELECT_LEN);
            bytes.extend(bits.0);
        }
        bytes
    }

    /// Parses a complete TPML_PCR_SELECTION.
    ///
    /// # Errors
    /// As [`PcrSelection::read`], and if bytes follow.
    pub fn unmarshal(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let selection = Self::read(&mut reader)?;
        reader.finish("PCR selection")?;
        Ok(selection)
    }

    /// Reads a TPML_PCR_SELECTION from the front of the bytes.
    ///
    /// # Errors
    /// If the bytes are truncated, a bank occurs twice or is unknown, or a bank does not have 24 PCRs.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let count = reader.u32("number of PCR banks")?;
        let mut selection = Self { banks: Vec::new() };
        for _ in 0..count {
            let id = reader.u16("PCR bank")?;
            let bank = HashAlgorithm::from_id(id)
                .filter(|bank| selection.bits(*bank).is_none())
                .ok_or(ParseError::Unsupported { field: "PCR bank", value: id.into() })?;
            let size = reader.u8("size of a PCR bank")?;
            if size != SELECT_LEN {
                return Err(ParseError::Unsupported { field: "size of a PCR bank", value: size.into() });
            }
            selection.banks.push((bank, BankBits(reader.array("selected PCRs")?)));
        }
        Ok(selection)
    }

    fn bits(&self, bank: HashAlgorithm) -> Option<BankBits> {
        self.banks.iter().find(|(present, _)| *present == bank).map(|(_, bits)| *bits)
    }
}

impl BankBits {
    fn set(&mut self, index: u8) -> Result<(), PcrIndexError> {
        let byte = self.0.get_mut(usize::from(index / 8)).ok_or(PcrIndexError(index))?;
        *byte |= 1 << (index % 8);
        Ok(())
    }

    fn contains(self, index: u8) -> bool {
        self.0.get(usize::from(index / 8)).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    fn indices(self) -> impl Iterator<Item = u8> {
        (0..PCR_COUNT).filter(move |index| self.contains(*index))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_a_lease_is_the_eight_pcrs_of_the_design() {
        let listed = PcrSelection::new(HashAlgorithm::Sha256, [0, 2, 4, 7, 8, 9, 12, 14]).unwrap();
        assert_eq!(PcrSelection::lease_default(), listed);
    }

    #[test]
    fn marshals_as_the_tpm_does() {
        let selection = PcrSelection::new(HashAlgorithm::Sha256, 0..=14).unwrap();
        assert_eq!(selection.marshal(), [0, 0, 0, 1, 0x00, 0x0b, 3, 0xff, 0x7f, 0x00]);
        assert_eq!(PcrSelection::unmarshal(&selection.marshal()), Ok(selection));
    }

    #[test]
    fn refuses_pcr_24_and_a_bank_twice() {
        assert_eq!(PcrSelection::new(HashAlgorithm::Sha1, [24]), Err(PcrIndexError(24)));
        let twice = [0, 0, 0, 2, 0, 0x0b, 3, 1, 0, 0, 0, 0x0b, 3, 2, 0, 0];
        assert!(matches!(PcrSelection::unmarshal(&twice), Err(ParseError::Unsupported { .. })));
    }

    #[test]
    fn a_bank_count_beyond_the_bytes_is_refused() {
        assert!(matches!(PcrSelection::unmarshal(&[0xff; 4]), Err(ParseError::Truncated { .. })));
    }
}
