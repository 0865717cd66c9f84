use super::IMA_PCR;
use super::entry::{Entry, ImaError};
use crate::tpm::{HashAlgorithm, ParseError, Reader, TaggedDigest};

/// The value of PCR 10 after the accepted entries.
///
/// Pass the log to [`Aggregate::advance`] piece by piece: one piece for each quote. Each piece begins at the end of the
/// last accepted prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    pub(super) bank: HashAlgorithm,
    pub(super) hashed: TaggedDigest,
    pub(super) padded: TaggedDigest,
    pub(super) entries: u64,
    pub(super) violations: u64,
}

/// The relation of a piece of log to a quoted PCR 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A prefix gives the quoted value.
    Anchored {
        /// The prefix's length in bytes. The kernel extended the entries after it after the quote, so they are not
        /// evidence yet.
        consumed: usize,
        /// Whether the bank holds padded SHA-1 digests, so that the log is only as trustworthy as SHA-1.
        padded: bool,
    },
    /// There are entries, but the PCR was never extended: the kernel found no TPM when IMA started. The log is
    /// only a claim.
    Unanchored,
    /// There is no log and the PCR was never extended: IMA is off.
    Inactive,
    /// No prefix gives the quoted value: the log was altered, or does not begin at the end of the last prefix.
    Diverged,
}

impl Aggregate {
    /// Returns the state at boot.
    pub fn new(bank: HashAlgorithm) -> Self {
        let start = TaggedDigest::filled(bank, 0);
        Self { bank, hashed: start, padded: start, entries: 0, violations: 0 }
    }

    /// Finds the prefix of `log` after which PCR 10 has the value `quoted`, and accepts it. Without such a
    /// prefix the state does not change.
    ///
    /// Entries for other PCRs are ignored.
    ///
    /// # Errors
    /// If an entry before the end of the prefix is malformed or was altered.
    pub fn advance<'a>(
        &mut self,
        log: impl IntoIterator<Item = Result<Entry<'a>, ImaError>>,
        quoted: &TaggedDigest,
    ) -> Result<Outcome, ImaError> {
        let mut log = log.into_iter().peekable();
        if *quoted == TaggedDigest::filled(self.bank, 0) {
            return Ok(match (self.entries, log.peek()) {
                (0, None) => Outcome::Inactive,
                (0, Some(_)) => Outcome::Unanchored,
                _ => Outcome::Diverged,
            });
        }
        let mut ahead = self.clone();
        let mut consumed = 0;
        while !ahead.matches(quoted) {
            let Some(entry) = log.next().transpose()? else { return Ok(Outcome::Diverged) };
            ahead.extend(&entry)?;
            consumed = entry.end;
        }
        let padded = ahead.hashed != *quoted;
        *self = ahead;
        Ok(Outcome::Anchored { consumed, padded })
    }

    /// Accepts every complete entry of a piece that further pieces follow, without comparing with a quoted
    /// value. Stops before an incomplete entry. Returns the number of accepted bytes.
    ///
    /// The entries are evidence only once [`Aggregate::advance`] has returned `Anchored` for a later piece.
    ///
    /// # Errors
    /// If an entry is malformed or was altered; then the state does not change.
    pub fn absorb<'a>(
        &mut self,
        log: impl IntoIterator<Item = Result<Entry<'a>, ImaError>>,
    ) -> Result<usize, ImaError> {
        let mut ahead = self.clone();
        let mut consumed = 0;
        for entry in log {
            let entry = match entry {
                Ok(entry) => entry,
                Err(ImaError::Truncated { .. }) => break,
                Err(error) => return Err(error),
            };
            ahead.extend(&entry)?;
            consumed = entry.end;
        }
        *self = ahead;
        Ok(consumed)
    }

    /// Returns PCR 10 for kernels that hash entries with the bank's algorithm: since Linux 5.8, for algorithms
    /// that are available when IMA starts.
    pub fn value(&self) -> &TaggedDigest {
        &self.hashed
    }

    /// Returns PCR 10 for kernels that pad SHA-1 digests with zeros.
    pub fn padded_value(&self) -> &TaggedDigest {
        &self.padded
    }

    /// Returns the number of accepted entries.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns the number of accepted violations.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Returns the bank whose PCR 10 is followed.
    pub fn bank(&self) -> HashAlgorithm {
        self.bank
    }

    fn matches(&self, quoted: &TaggedDigest) -> bool {
        self.hashed == *quoted || self.padded == *quoted
    }

    fn extend(&mut self, entry: &Entry<'_>) -> Result<(), ImaError> {
        if entry.pcr != IMA_PCR {
            return Ok(());
        }
        entry.check()?;
        self.hashed = self.hashed.extend(entry.extended(self.bank).as_bytes());
        self.padded = self.padded.extend(entry.extended_padded(self.bank).as_bytes());
        self.entries = self.entries.saturating_add(1);
        self.violations = self.violations.saturating_add(entry.is_violation().into());
        Ok(())
    }
}

const VERSION: u8 = 1;

impl Aggregate {
    /// Serializes the aggregate. The appraiser stores it between reports.
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
