use serde::Deserialize;
use thiserror::Error;

use super::{MEASURE_LOG_MAX_LEN, RECORD_MAX_LEN};
use crate::bytes;
use crate::tpm::{HashAlgorithm, PCR_COUNT, TaggedDigest};

/// The maximum number of banks of a TPM.
const DIGESTS_MAX: usize = 16;

/// One extend of a PCR or an NvPCR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log, from 1.
    pub number: usize,
    /// Its start, in bytes from the start of the log.
    pub offset: usize,
    /// The PCR or NvPCR.
    pub target: Target,
    /// The digest for each extended bank with a known algorithm.
    pub digests: Vec<TaggedDigest>,
    /// The type that the log states, such as `phase`. No digest covers it.
    pub event_type: Option<String>,
    /// The text of the record, as the log contains it. systemd escapes it, cuts it after 1024 bytes, and for some
    /// records extends an HMAC of it with a secret. A claim; see [`Self::measured`].
    pub text: Option<String>,
}

/// The target of an extend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A PCR.
    Pcr(u8),
    /// An NV index of type extend, which systemd calls an NvPCR.
    NvIndex(u32),
}

#[derive(Deserialize)]
struct RecordJson {
    pcr: Option<u32>,
    nv_index: Option<u32>,
    digests: Vec<WrittenDigest>,
    #[serde(default)]
    content: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDigest {
    hash_alg: String,
    digest: String,
}

impl Record {
    /// Returns the digest for one bank; `None` if that bank was not extended.
    pub fn digest(&self, bank: HashAlgorithm) -> Option<&TaggedDigest> {
        self.digests.iter().find(|digest| digest.algorithm() == bank)
    }

    /// Returns the measured bytes; `None` if the log does not contain all of them, because the hash of the text is not
    /// the digest of this bank.
    pub fn measured(&self, bank: HashAlgorithm) -> Option<Vec<u8>> {
        let digest = self.digest(bank)?;
        let text = self.text.as_deref()?;
        let candidates = [unescape(text), Some(text.as_bytes().to_vec())];
        candidates.into_iter().flatten().find(|bytes| bank.digest(&[bytes]) == *digest)
    }

    pub(super) fn read(json: &[u8], number: usize, offset: usize) -> Result<Self, MeasureLogError> {
        let malformed = |problem| MeasureLogError::Record { offset, problem };
        let written: RecordJson = serde_json::from_slice(json)
            .map_err(|_| malformed("it is not a JSON object with digests and a pcr or nv_index"))?;
        let target = match (written.pcr, written.nv_index) {
            (Some(pcr), None) => {
                let pcr = u8::try_from(pcr).ok().filter(|pcr| *pcr < PCR_COUNT);
                Target::Pcr(pcr.ok_or_else(|| malformed("there is no such PCR"))?)
            }
            (None, Some(index)) => Target::NvIndex(index),
            _ => return Err(malformed("it needs one of pcr and nv_index")),
        };
        let digests = read_digests(&written.digests).map_err(malformed)?;
        let content = |key| written.content.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        Ok(Self {
            number,
            offset,
            target,
            digests,
            event_type: content("eventType"),
            text: content("string"),
        })
    }
}

fn read_digests(written: &[WrittenDigest]) -> Result<Vec<TaggedDigest>, &'static str> {
    if written.len() > DIGESTS_MAX {
        return Err("it has more digests than a TPM has banks");
    }
    let mut digests: Vec<TaggedDigest> = Vec::new();
    for WrittenDigest { hash_alg, digest } in written {
        let Ok(bank) = hash_alg.parse::<HashAlgorithm>() else { continue };
        let digest =
            bytes::read_lower_hex(digest.as_bytes()).and_then(|bytes| TaggedDigest::new(bank, &bytes));
        let digest = digest.ok_or("a digest does not have the form or length of its algorithm")?;
        if digests.iter().any(|known| known.algorithm() == bank) {
            return Err("it has two digests of one algorithm");
        }
        digests.push(digest);
    }
    Ok(digests)
}

/// Reverses the C escapes of systemd in the text of a record; `None` if it has an escape that systemd does not write.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { escaped(&mut bytes)? } else { byte });
    }
    Some(plain)
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        same @ (b'\\' | b'"' | b'\'') => same,
        b'x' => number(&[bytes.next()?, bytes.next()?], 16)?,
        first @ b'0'..=b'3' => number(&[first, bytes.next()?, bytes.next()?], 8)?,
        _ => return None,
    })
}

fn number(digits: &[u8], radix: u32) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u8::from_str_radix(digits, radix).ok()
}

/// Why systemd's measurement log cannot be read. Offsets are in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MeasureLogError {
    /// The log is longer than [`MEASURE_LOG_MAX_LEN`].
    #[error("systemd's measurement log has {0} bytes, more than the {MEASURE_LOG_MAX_LEN} that are read")]
    TooLong(usize),
    /// A record is longer than [`RECORD_MAX_LEN`].
    #[error(
        "the record at offset {offset} of systemd's measurement log has more than the {RECORD_MAX_LEN} bytes that are read"
    )]
    RecordTooLong {
        /// The start of the record.
        offset: usize,
    },
    /// A record does not begin with the byte 0x1e, or does not end with a line feed.
    #[error("systemd's measurement log is not a JSON text sequence (RFC 7464) at offset {offset}")]
    Framing {
        /// The start of the record.
        offset: usize,
    },
    /// A record is not a JSON object, or a required field is missing or malformed.
    #[error("the record at offset {offset} of systemd's measurement log is malformed: {problem}")]
    Record {
        /// The start of the record.
        offset: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_escapes_become_the_bytes_that_were_measured() {
        for (text, bytes) in [
            ("plain", &b"plain"[..]),
            (r#"two\nlines, \"quoted\", a back\\slash"#, b"two\nlines, \"quoted\", a back\\slash"),
            (r"\303\251", "é".as_bytes()),
            (r"\000\001\377\x7f", &[0, 1, 0xff, 0x7f]),
        ] {
            assert_eq!(unescape(text).as_deref(), Some(bytes), "{text}");
        }
        for broken in [r"\", r"\q", r"\08", r"\400", r"\+12", r"\x+1", r"\x1"] {
            assert_eq!(unescape(broken), None, "{broken}");
        }
    }
}
