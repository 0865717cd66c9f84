//! Applies the rules to the entries of a log, and verifies their signatures: those in the extended attribute
//! `security.ima`, which evmctl writes and the kernel's IMA checks.

use serde::{Deserialize, Serialize};

use super::offender::{Offender, Why};
use super::{Rules, Signer};
use crate::ima::IMA_PCR;
use crate::ima::entry::{Entry, ImaError, Measured};
use crate::ima::file_digest::{FileDigest, Hashed};
use crate::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

/// The maximum number of stored offenders; all are counted.
const OFFENDERS_MAX: usize = 32;
const VIOLATED_MAX: usize = 8;
/// The kernel's own first entry, a digest of the PCRs at the start of IMA.
const BOOT_AGGREGATE: &[u8] = b"boot_aggregate";

/// The results of applying [`Rules`] to the entries of a log so far.
///
/// Findings are only as trustworthy as the log: pass in entries that an [`crate::ima::Aggregate`] has accepted, and use
/// the findings only after it has returned `Anchored`. Their size is bounded for any log that a device sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The id of the rules.
    rules: [u8; 32],
    /// All entries, of every PCR.
    pub entries: u64,
    /// Entries explained by a digest.
    pub by_digest: u64,
    /// Entries explained by a signature.
    pub by_signature: u64,
    /// Entries excluded by their path.
    pub excluded: u64,
    /// Entries that no rule explains.
    pub offending: u64,
    /// The first of these.
    pub offenders: Vec<Offender>,
    /// Violations. No rule can explain them, and no other counter includes them.
    pub violations: u64,
    /// The first of these; their paths are claims.
    pub violated: Vec<Offender>,
    /// Entries for other PCRs than the followed one; nothing confirms them.
    pub elsewhere: u64,
}

/// The rule that explains an entry.
enum Explanation {
    Digest,
    Signature,
    Exclusion,
    BootAggregate,
}

impl Findings {
    /// Creates findings without entries.
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

    /// Returns whether these rules made the findings.
    pub fn made_under(&self, rules: &Rules) -> bool {
        self.rules == rules.id()
    }

    /// Examines the next entries of the log. `quoted` has the PCRs of the boot.
    ///
    /// Stops at the first malformed entry, which cannot be an accepted one.
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
                self.check_entry(rules, &entry, quoted);
            }
        }
    }

    fn check_entry(&mut self, rules: &Rules, entry: &Entry<'_>, quoted: &PcrValues) {
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

/// Returns what explains an entry, or why nothing does. Applies the cheap rules first.
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
            match measured.signature.map(|signature| check_signature(signature, digest, &set.signers)) {
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

/// Returns whether this is the kernel's digest of the quoted PCRs: 0 to 9, or 0 to 7 for SHA-1 and old kernels.
///
/// If the kernel hashed another bank than the quoted one, accepts the entry if it is the first of the log: IMA measures
/// no file before it.
fn is_boot_aggregate(digest: Option<FileDigest>, first: bool, quoted: &PcrValues) -> bool {
    let Some(FileDigest { of: Hashed::Contents, digest }) = digest else { return first };
    let bank = digest.algorithm();
    let known: Option<Vec<&[u8]>> =
        (0..10).map(|index| quoted.get(bank, index).map(|value| value.as_bytes())).collect();
    let Some(values) = known else { return first };
    [10, 8].into_iter().any(|count| values.get(..count).is_some_and(|values| bank.digest(values) == digest))
}

/// enum evm_ima_xattr_type.
const DIGITAL_SIGNATURE: u8 = 3;
const PORTABLE_EVM_SIGNATURE: u8 = 5;
const VERITY_SIGNATURE: u8 = 6;

/// struct signature_v2_hdr, with the type in front.
struct Header<'a> {
    kind: u8,
    version: u8,
    hash: HashAlgorithm,
    key_id: u32,
    signature: &'a [u8],
}

/// Checks that one of the signers signed this file.
pub(super) fn check_signature(attribute: &[u8], file: FileDigest, signers: &[Signer]) -> Result<(), Why> {
    if attribute.first() == Some(&PORTABLE_EVM_SIGNATURE) {
        return Err(Why::SignatureOfMetadata);
    }
    let header = Header::read(attribute).ok_or(Why::SignatureForm)?;
    let signed = header.signed(file)?;
    let key_id = header.key_id;
    let mut candidates = signers.iter().filter(|signer| signer.has_key_id(key_id)).peekable();
    if candidates.peek().is_none() {
        return Err(Why::Signer { key_id });
    }
    if candidates.any(|signer| signer.verifies(header.hash, &signed, header.signature)) {
        return Ok(());
    }
    Err(Why::Signature { key_id })
}

impl<'a> Header<'a> {
    fn read(attribute: &'a [u8]) -> Option<Self> {
        let ([kind, version, hash, id_0, id_1, id_2, id_3, size_0, size_1], signature) =
            attribute.split_first_chunk::<9>()?;
        let size = usize::from(u16::from_be_bytes([*size_0, *size_1]));
        Some(Self {
            kind: *kind,
            version: *version,
            hash: kernel_hash(*hash)?,
            key_id: u32::from_be_bytes([*id_0, *id_1, *id_2, *id_3]),
            signature: Some(signature).filter(|signature| signature.len() == size)?,
        })
    }

    /// Returns the signed digest.
    fn signed(&self, file: FileDigest) -> Result<TaggedDigest, Why> {
        let is_verity = match (self.kind, self.version) {
            (DIGITAL_SIGNATURE, 2 | 3) => false,
            (VERITY_SIGNATURE, 3) => true,
            _ => return Err(Why::SignatureForm),
        };
        if is_verity != (file.of == Hashed::Verity) {
            return Err(Why::SignedHash);
        }
        if self.version == 2 {
            return Some(file.digest).filter(|digest| digest.algorithm() == self.hash).ok_or(Why::SignedHash);
        }
        // struct ima_file_id: the kind of digest, its algorithm, and the digest.
        let algorithm = kernel_id(file.digest.algorithm());
        Ok(self.hash.digest(&[&[self.kind, algorithm], file.digest.as_bytes()]))
    }
}

/// enum hash_algo of the kernel, without weak algorithms.
fn kernel_hash(id: u8) -> Option<HashAlgorithm> {
    HashAlgorithm::ALL.into_iter().find(|hash| *hash != HashAlgorithm::Sha1 && kernel_id(*hash) == id)
}

fn kernel_id(hash: HashAlgorithm) -> u8 {
    match hash {
        HashAlgorithm::Sha1 => 2,
        HashAlgorithm::Sha256 => 4,
        HashAlgorithm::Sha384 => 5,
        HashAlgorithm::Sha512 => 6,
    }
}
