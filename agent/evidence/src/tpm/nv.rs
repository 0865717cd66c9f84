use thiserror::Error;

use super::hash::HashAlgorithm;
use super::name::Name;
use super::reader::{ParseError, Reader};

const DIGEST_MAX_LEN: usize = 64;
const COUNTER_LEN: u16 = 8;
/// AUTHWRITE, type counter, AUTHREAD, NO_DA and WRITTEN (TPMA_NV, TPM 2.0 Library, part 2, section 13.4).
const EPOCH_COUNTER: u32 = 1 << 2 | 1 << 4 | 1 << 18 | 1 << 25 | 1 << 29;
/// The owner's range of handles (TCG Registry of Reserved TPM 2.0 Handles).
const OWNER_RANGE: std::ops::RangeInclusive<u32> = 0x0180_0000..=0x01bf_ffff;

/// The public area of an NV index (TPMS_NV_PUBLIC), stored as the bytes that its name hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvPublic {
    bytes: Vec<u8>,
    index: u32,
    name_algorithm: HashAlgorithm,
    attributes: u32,
    auth_policy: Vec<u8>,
    data_size: u16,
}

/// The attributes of an NvPCR's index (systemd 262): POLICYWRITE, type extend, OWNERREAD, AUTHREAD,
/// CLEAR_STCLEAR, WRITTEN.
const NVPCR: u32 = 1 << 3 | 4 << 4 | 1 << 17 | 1 << 18 | 1 << 27 | 1 << 29;
/// The optional attributes: NO_DA, and ORDERLY, which systemd sets for indices that it writes often.
const NVPCR_OPTIONAL: u32 = 1 << 25 | 1 << 26;

/// Why an NV index is not an NvPCR's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NvPcrError {
    /// It has another type, can be written without its policy, or survives a reset.
    #[error("its attributes are {0:#010x}, but an NvPCR of systemd 262 has {NVPCR:#010x}")]
    Attributes(u32),
    /// Its policy or its contents do not have the length of a digest of its name algorithm.
    #[error("its policy or its contents are not as long as a digest of its name algorithm")]
    Shape,
}

/// Why an NV index is unsuitable as the epoch counter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CounterError {
    /// The handle is outside of the owner's range.
    #[error("NV index {0:#010x} is outside the owner's range 0x01800000 to 0x01bfffff")]
    Range(u32),
    /// It is not a counter, was never incremented, or its use needs more than its empty authorization value.
    #[error(
        "NV index {index:#010x} has attributes {attributes:#010x}, an epoch counter {EPOCH_COUNTER:#010x}"
    )]
    Attributes {
        /// The handle.
        index: u32,
        /// Its attributes (TPMA_NV).
        attributes: u32,
    },
    /// It has a policy, another name algorithm or another size.
    #[error("NV index {0:#010x} has another policy, size or name algorithm than an epoch counter")]
    Shape(u32),
}

impl NvPublic {
    /// Parses a complete TPMS_NV_PUBLIC.
    ///
    /// # Errors
    /// If bytes are missing or left over, or the name algorithm is unknown.
    pub fn unmarshal(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let index = reader.u32("NV index")?;
        let id = reader.u16("name algorithm")?;
        let name_algorithm = HashAlgorithm::from_id(id)
            .ok_or(ParseError::Unsupported { field: "name algorithm", value: id.into() })?;
        let attributes = reader.u32("NV attributes")?;
        let auth_policy = reader.sized(DIGEST_MAX_LEN, "authPolicy")?.to_vec();
        let data_size = reader.u16("NV data size")?;
        reader.finish("NV public area")?;
        Ok(Self { bytes: bytes.to_vec(), index, name_algorithm, attributes, auth_policy, data_size })
    }

    /// Returns the public area of the epoch counter at `index` after its first increment: a counter of 8 bytes,
    /// read and written with an empty authorization value, exempt from dictionary attack protection, without a
    /// policy.
    pub fn epoch_counter(index: u32) -> Self {
        Self::counter(index, &[])
    }

    /// Returns the public area of [`NvPublic::epoch_counter`] with `mark` as its authPolicy. No attribute permits use
    /// of the policy; the TPM test recognizes its scratch counters by it.
    pub fn scratch_counter(index: u32, mark: &[u8; 32]) -> Self {
        Self::counter(index, mark)
    }

    fn counter(index: u32, auth_policy: &[u8]) -> Self {
        let mut bytes = index.to_be_bytes().to_vec();
        bytes.extend(HashAlgorithm::Sha256.id().to_be_bytes());
        bytes.extend(EPOCH_COUNTER.to_be_bytes());
        // A digest: its length fits.
        bytes.extend(u16::try_from(auth_policy.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(auth_policy);
        bytes.extend(COUNTER_LEN.to_be_bytes());
        Self {
            bytes,
            index,
            name_algorithm: HashAlgorithm::Sha256,
            attributes: EPOCH_COUNTER,
            auth_policy: auth_policy.to_vec(),
            data_size: COUNTER_LEN,
        }
    }

    /// Checks that this equals [`NvPublic::epoch_counter`], in the owner's range.
    ///
    /// A counter of any other form could go back: one that was never written, one that a policy or the platform can
    /// write, or an orderly one, which loses increments when power fails.
    ///
    /// # Errors
    /// [`CounterError`] says what differs.
    pub fn check_epoch_counter(&self) -> Result<(), CounterError> {
        if !OWNER_RANGE.contains(&self.index) {
            return Err(CounterError::Range(self.index));
        }
        if self.attributes != EPOCH_COUNTER {
            return Err(CounterError::Attributes { index: self.index, attributes: self.attributes });
        }
        if *self != Self::epoch_counter(self.index) {
            return Err(CounterError::Shape(self.index));
        }
        Ok(())
    }

    /// Checks that this is an NvPCR's index, as systemd 262 defines it: it can only be extended, only with its
    /// policy, and it is empty after each TPM reset.
    ///
    /// The index's name, which systemd measures into PCR 9, shows whether the policy is systemd's.
    ///
    /// # Errors
    /// [`NvPcrError`] says what differs.
    pub fn check_nvpcr(&self) -> Result<(), NvPcrError> {
        if self.attributes & !NVPCR_OPTIONAL != NVPCR {
            return Err(NvPcrError::Attributes(self.attributes));
        }
        let length = self.name_algorithm.digest_len();
        if usize::from(self.data_size) != length || self.auth_policy.len() != length {
            return Err(NvPcrError::Shape);
        }
        Ok(())
    }

    /// Returns the algorithm of the name. An index of type extend uses it for extends too.
    pub fn name_algorithm(&self) -> HashAlgorithm {
        self.name_algorithm
    }

    /// Returns the bytes of TPMS_NV_PUBLIC.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the name by which policies refer to the index. It changes with the first write.
    pub fn name(&self) -> Name {
        Name::of(self.name_algorithm, &self.bytes)
    }

    /// Returns the handle.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns TPMA_NV.
    pub fn attributes(&self) -> u32 {
        self.attributes
    }

    /// Returns the policy of the index; empty if there is none.
    pub fn auth_policy(&self) -> &[u8] {
        &self.auth_policy
    }

    /// Returns the size of the contents in bytes.
    pub fn data_size(&self) -> u16 {
        self.data_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_counter_equals_its_parsed_bytes() {
        let counter = NvPublic::epoch_counter(0x0180_5041);
        assert_eq!(NvPublic::unmarshal(counter.as_bytes()), Ok(counter.clone()));
        assert_eq!(counter.check_epoch_counter(), Ok(()));
    }

    #[test]
    fn an_index_with_other_attributes_is_not_an_nvpcr() {
        // systemd 262's definition of `hardware`, from the fixtures.
        let header =
            [&0x01d1_0200_u32.to_be_bytes()[..], &[0, 0x0b], &0x2806_0048_u32.to_be_bytes()].concat();
        let bytes = [&header[..], &[0, 32], &[7; 32], &[0, 32]].concat();
        let index = NvPublic::unmarshal(&bytes).unwrap();
        assert_eq!(index.check_nvpcr(), Ok(()));
        let with = |attributes| NvPublic { attributes, ..index.clone() };
        assert_eq!(with(0x2c06_0048).check_nvpcr(), Ok(()), "orderly");
        for attributes in [
            0x2806_0048 | 1 << 2,      // AUTHWRITE
            0x2806_0048 | 1 << 1,      // OWNERWRITE
            0x2806_0048 | 1,           // PPWRITE
            0x2806_0048 & !(0xf << 4), // an ordinary index
            0x2806_0048 & !(1 << 27),  // one that survives a reset
            0x2806_0048 & !(1 << 29),  // one that was never written
            0x2806_0048 | 1 << 10,     // one that its policy may delete
        ] {
            assert_eq!(
                with(attributes).check_nvpcr(),
                Err(NvPcrError::Attributes(attributes)),
                "{attributes:#x}"
            );
        }
        let long = NvPublic { data_size: 64, ..index.clone() };
        let without_policy = NvPublic { auth_policy: Vec::new(), ..index };
        assert_eq!(long.check_nvpcr(), Err(NvPcrError::Shape));
        assert_eq!(without_policy.check_nvpcr(), Err(NvPcrError::Shape));
    }

    #[test]
    fn a_counter_that_could_go_back_is_refused() {
        let counter = NvPublic::epoch_counter(0x0180_5041);
        let orderly = NvPublic { attributes: EPOCH_COUNTER | 1 << 26, ..counter.clone() };
        assert!(matches!(orderly.check_epoch_counter(), Err(CounterError::Attributes { .. })));
        let unwritten = NvPublic { attributes: EPOCH_COUNTER & !(1 << 29), ..counter.clone() };
        assert!(matches!(unwritten.check_epoch_counter(), Err(CounterError::Attributes { .. })));
        let with_policy = NvPublic { auth_policy: vec![0; 32], ..counter };
        assert!(matches!(with_policy.check_epoch_counter(), Err(CounterError::Shape(_))));
        let platform = NvPublic::epoch_counter(0x0140_0001);
        assert!(matches!(platform.check_epoch_counter(), Err(CounterError::Range(_))));
    }
}
