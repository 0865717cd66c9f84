use serde::{Deserialize, Serialize};

use super::Rules;
use super::offender::{Offender, Why};
use super::signature;
use crate::ima::entry::Entry;
use crate::ima::error::ImaError;
use crate::ima::measured::Measured;
use crate::ima::{FileDigest, Hashed, IMA_PCR};
use crate::tpm::{HashAlgorithm, PcrValues};

/// The offenders that are kept; the others are counted.
const OFFENDERS_MAX: usize = 32;
const VIOLATED_MAX: usize = 8;
/// The kernel's own first entry, over the PCRs that it found at its start.
const BOOT_AGGREGATE: &[u8] = b"boot_aggregate";

/// What [`Rules`] found in a log, so far.
///
/// Findings are worth what the log is worth: show them entries that an [`crate::ima::Aggregate`] has accepted, and
/// judge by them once it says `Anchored`. They have a bounded size, whatever a device sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The identity of the rules under which they were made.
    rules: [u8; 32],
    /// All entries, of whatever PCR.
    pub entries: u64,
    /// Explained by a digest.
    pub by_digest: u64,
    /// Explained by a signature.
    pub by_signature: u64,
    /// Left out by their path.
    pub excluded: u64,
    /// Explained by nothing.
    pub offending: u64,
    /// The first of these.
    pub offenders: Vec<Offender>,
    /// Violations, which no rule can explain and which are counted nowhere else.
    pub violations: u64,
    /// The first of these; their paths are claims.
    pub violated: Vec<Offender>,
    /// Entries for other PCRs than the one that is followed: nobody has checked them.
    pub elsewhere: u64,
}

/// What explains an entry.
enum Explanation {
    Digest,
    Signature,
    Exclusion,
    BootAggregate,
}

impl Findings {
    /// Nothing yet.
    pub fn new(rules: &Rules) -> Self {
        Self {
            rules: rules.id(),
            entries: 0,
            by_digest: 0,
            by_signature: 0,
            excluded: 0,
            offending: 0,
            offenders: Vec::new(),
            violations: 0,
            violated: Vec::new(),
            elsewhere: 0,
        }
    }

    /// Whether these rules would have found the same.
    pub fn made_under(&self, rules: &Rules) -> bool {
        self.rules == rules.id()
    }

    /// Looks at more of the log: entries that come right after those that were looked at before. `quoted` has the
    /// PCRs of the boot.
    ///
    /// Stops at the first entry that cannot be read; none that was accepted is such a one.
    pub fn observe<'a>(
        &mut self,
        rules: &Rules,
        log: impl IntoIterator<Item = Result<Entry<'a>, ImaError>>,
        quoted: &PcrValues,
    ) {
        for entry in log.into_iter().map_while(Result::ok) {
            self.entries = self.entries.saturating_add(1);
            if entry.pcr != IMA_PCR {
                self.elsewhere = self.elsewhere.saturating_add(1);
            } else if entry.is_violation() {
                self.violations = self.violations.saturating_add(1);
                if self.violated.len() < VIOLATED_MAX {
                    self.violated.push(Offender::new(self.entries, &entry, Why::Violation));
                }
            } else {
                self.look_at(rules, &entry, quoted);
            }
        }
    }

    fn look_at(&mut self, rules: &Rules, entry: &Entry<'_>, quoted: &PcrValues) {
        let why = match explain(rules, entry, self.entries == 1, quoted) {
            Ok(explanation) => {
                let count = match explanation {
                    Explanation::Digest => &mut self.by_digest,
                    Explanation::Signature => &mut self.by_signature,
                    Explanation::Exclusion => &mut self.excluded,
                    Explanation::BootAggregate => return,
                };
                *count = count.saturating_add(1);
                return;
            }
            Err(why) => why,
        };
        self.offending = self.offending.saturating_add(1);
        if self.offenders.len() < OFFENDERS_MAX {
            self.offenders.push(Offender::new(self.entries, entry, why));
        }
    }
}

/// The cheap rules first; the reason is that of the rule which came nearest.
fn explain(rules: &Rules, entry: &Entry<'_>, first: bool, quoted: &PcrValues) -> Result<Explanation, Why> {
    let measured = Measured::read(entry).ok_or(Why::Template)?;
    let set = rules.set();
    if measured.digest.is_some_and(|digest| set.digests.contains(&digest)) {
        return Ok(Explanation::Digest);
    }
    let why = match measured.digest {
        _ if measured.path == BOOT_AGGREGATE => match is_boot_aggregate(measured.digest, first, quoted) {
            true => return Ok(Explanation::BootAggregate),
            false => Why::BootAggregate,
        },
        None => Why::Algorithm,
        Some(FileDigest { digest, .. }) if digest.algorithm() == HashAlgorithm::Sha1 => Why::Algorithm,
        Some(digest) => {
            match measured.signature.map(|signature| signature::check(signature, digest, &set.signers)) {
                Some(Ok(())) => return Ok(Explanation::Signature),
                Some(Err(why)) => why,
                None => Why::Unknown,
            }
        }
    };
    if set.exclusions.iter().any(|pattern| pattern.matches(measured.path)) {
        return Ok(Explanation::Exclusion);
    }
    Err(why)
}

/// Whether this is what the kernel made of the quoted PCRs: 0 to 9, and 0 to 7 for SHA-1 and in old kernels. Where
/// the quoted bank is not the one that it hashed, the log's first entry is taken for what it must be: nothing runs
/// before it that could have measured another.
fn is_boot_aggregate(digest: Option<FileDigest>, first: bool, quoted: &PcrValues) -> bool {
    let Some(FileDigest { of: Hashed::Contents, digest }) = digest else { return first };
    let bank = digest.algorithm();
    let known: Option<Vec<&[u8]>> =
        (0..10).map(|index| quoted.get(bank, index).map(|value| value.as_bytes())).collect();
    let Some(values) = known else { return first };
    [10, 8].into_iter().any(|count| values.get(..count).is_some_and(|values| bank.digest(values) == digest))
}
