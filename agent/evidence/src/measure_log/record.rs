use serde::Deserialize;

use super::error::MeasureLogError;
use super::escape::unescape;
use crate::lower_hex;
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
    /// The text that the log says was measured, unmodified: escaped, cut after 1024 bytes, or hashed with a
    /// secret. A claim; see [`Self::measured`].
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
struct Written {
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

    /// Returns the measured bytes, if the log has all of them: their hash must be the digest of this bank.
    pub fn measured(&self, bank: HashAlgorithm) -> Option<Vec<u8>> {
        let digest = self.digest(bank)?;
        let text = self.text.as_deref()?;
        let candidates = [unescape(text), Some(text.as_bytes().to_vec())];
        candidates.into_iter().flatten().find(|bytes| bank.digest(&[bytes]) == *digest)
    }

    pub(super) fn read(json: &[u8], number: usize, offset: usize) -> Result<Self, MeasureLogError> {
        let malformed = |problem| MeasureLogError::Record { offset, problem };
        let written: Written = serde_json::from_slice(json)
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
        let digest = lower_hex::read(digest.as_bytes()).and_then(|bytes| TaggedDigest::new(bank, &bytes));
        let digest = digest.ok_or("a digest does not have the form or length of its algorithm")?;
        if digests.iter().any(|known| known.algorithm() == bank) {
            return Err("it has two digests of one algorithm");
        }
        digests.push(digest);
    }
    Ok(digests)
}
