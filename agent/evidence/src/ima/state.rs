use super::aggregate::Aggregate;
use crate::tpm::{HashAlgorithm, ParseError, Reader, TaggedDigest};

const VERSION: u8 = 1;

impl Aggregate {
    /// Serializes the aggregate, to be stored between reports.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.bank.id().to_be_bytes());
        bytes.extend(self.hashed.as_bytes());
        bytes.extend(self.padded.as_bytes());
        bytes.extend(self.entries.to_be_bytes());
        bytes.extend(self.violations.to_be_bytes());
        bytes
    }

    /// Reads the result of [`Aggregate::to_bytes`]. Nothing protects the bytes: store them where only the
    /// appraiser writes.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version of the IMA aggregate")?;
        if version != VERSION {
            return Err(ParseError::Unsupported {
                field: "version of the IMA aggregate",
                value: version.into(),
            });
        }
        let id = reader.u16("bank of the IMA aggregate")?;
        let bank = HashAlgorithm::from_id(id)
            .ok_or(ParseError::Unsupported { field: "bank of the IMA aggregate", value: id.into() })?;
        let aggregate = Self {
            bank,
            hashed: read_digest(&mut reader, bank)?,
            padded: read_digest(&mut reader, bank)?,
            entries: reader.u64("entries of the IMA aggregate")?,
            violations: reader.u64("violations of the IMA aggregate")?,
        };
        reader.finish("IMA aggregate")?;
        Ok(aggregate)
    }
}

fn read_digest(reader: &mut Reader<'_>, bank: HashAlgorithm) -> Result<TaggedDigest, ParseError> {
    let bytes = reader.bytes(bank.digest_len(), "value of the IMA aggregate")?;
    Ok(TaggedDigest::zero_padded(bank, bytes))
}
