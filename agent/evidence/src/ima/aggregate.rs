use super::IMA_PCR;
use super::entry::Entry;
use super::error::ImaError;
use crate::tpm::{Digest, HashAlgorithm};

/// What PCR 10 has become by the entries that were accepted so far.
///
/// Feed it the log piece by piece, one piece for each quote, each beginning where the last accepted prefix
/// ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    pub(super) bank: HashAlgorithm,
    pub(super) hashed: Digest,
    pub(super) padded: Digest,
    pub(super) entries: u64,
    pub(super) violations: u64,
}

/// What a piece of log has to do with a quoted PCR 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The quoted value is that of a prefix.
    Anchored {
        /// How many bytes of the piece the prefix has. What follows came after the quote and is no evidence
        /// yet.
        consumed: usize,
        /// Whether the bank holds padded SHA-1 digests, so that the log is worth no more than SHA-1 is.
        padded: bool,
    },
    /// The PCR was never extended though there are entries: the kernel found no TPM when IMA started. The log
    /// is a mere claim.
    Unanchored,
    /// There is no log and nothing was extended: IMA is off.
    Inactive,
    /// No prefix gives the quoted value: the log was altered, or does not begin where the last one ended.
    Diverged,
}

impl Aggregate {
    /// Begins with the boot.
    pub fn new(bank: HashAlgorithm) -> Self {
        let start = Digest::filled(bank, 0);
        Self { bank, hashed: start, padded: start, entries: 0, violations: 0 }
    }

    /// Looks for the prefix of `log` after which PCR 10 has the value `quoted`. If there is one it is
    /// accepted; otherwise this stays as it was.
    ///
    /// Entries for other PCRs are passed over.
    ///
    /// # Errors
    /// When an entry that comes before the end of the prefix cannot be read, or was altered.
    pub fn advance<'a>(
        &mut self,
        log: impl IntoIterator<Item = Result<Entry<'a>, ImaError>>,
        quoted: &Digest,
    ) -> Result<Outcome, ImaError> {
        let mut log = log.into_iter().peekable();
        if *quoted == Digest::filled(self.bank, 0) {
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

    /// Accepts every whole entry of a piece that more pieces follow, without looking for a quoted value, and
    /// stops in front of an entry that is cut. Gives the number of bytes that it accepted.
    ///
    /// Nothing of it is evidence until [`Aggregate::advance`] has said `Anchored` for a later piece.
    ///
    /// # Errors
    /// When an entry is malformed or was altered; this stays as it was then.
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

    /// The value of PCR 10 where the kernel hashes entries with the bank's algorithm: since Linux 5.8, for
    /// algorithms that it has at its start.
    pub fn value(&self) -> &Digest {
        &self.hashed
    }

    /// The value of PCR 10 where the kernel pads SHA-1 digests with zeros.
    pub fn padded_value(&self) -> &Digest {
        &self.padded
    }

    /// How many entries were accepted.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many of them are violations.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// The bank whose PCR 10 is followed.
    pub fn bank(&self) -> HashAlgorithm {
        self.bank
    }

    fn matches(&self, quoted: &Digest) -> bool {
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
