//! Builds IMA entries in the forms of the kernel (security/integrity/ima/ima_fs.c).

use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

/// An entry of a template with sizes in front of its fields.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) pcr: u32,
    pub(crate) template: &'static str,
    /// Each field's hashed bytes and printed text.
    pub(crate) fields: Vec<(Vec<u8>, String)>,
    pub(crate) violation: bool,
}

impl Record {
    pub(crate) fn new(template: &'static str, fields: Vec<(Vec<u8>, String)>) -> Self {
        Self { pcr: 10, template, fields, violation: false }
    }

    /// Builds the entry of a file in the template `ima-ng`.
    pub(crate) fn file(path: &[u8], contents: &[u8]) -> Self {
        Self::new("ima-ng", vec![digest("sha256:", contents), text(path)])
    }

    /// Builds the entry of a file in the template `ima-sig`.
    pub(crate) fn signed(path: &[u8], contents: &[u8], signature: &[u8]) -> Self {
        Self::new("ima-sig", vec![digest("sha256:", contents), text(path), bytes(signature)])
    }

    pub(crate) fn violation(path: &[u8]) -> Self {
        let zeros =
            (b"sha256:\0".iter().copied().chain([0; 32]).collect(), format!("sha256:{}", "00".repeat(32)));
        Self { violation: true, ..Self::new("ima-ng", vec![zeros, text(path)]) }
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|(field, _)| sized(field)).collect()
    }

    pub(crate) fn binary(&self) -> Vec<u8> {
        self.binary_for(HashAlgorithm::Sha1)
    }

    /// Returns the entry in the binary list for one bank.
    pub(crate) fn binary_for(&self, bank: HashAlgorithm) -> Vec<u8> {
        let data = sized(&self.data());
        let template = sized(self.template.as_bytes());
        [&self.pcr.to_le_bytes(), self.stated(bank).as_slice(), &template, &data].concat()
    }

    pub(crate) fn ascii(&self) -> Vec<u8> {
        self.ascii_for(HashAlgorithm::Sha1)
    }

    pub(crate) fn ascii_for(&self, bank: HashAlgorithm) -> Vec<u8> {
        let mut line =
            format!("{:2} {} {}", self.pcr, hex::encode(self.stated(bank)), self.template).into_bytes();
        for (field, printed) in &self.fields {
            line.push(b' ');
            // The kernel prints names byte for byte; a string cannot hold all of them.
            line.extend(if printed.is_empty() {
                field.strip_suffix(b"\0").unwrap_or(field)
            } else {
                printed.as_bytes()
            });
        }
        line.push(b'\n');
        line
    }

    fn stated(&self, bank: HashAlgorithm) -> Vec<u8> {
        if self.violation {
            return vec![0; bank.digest_len()];
        }
        bank.digest(&[&self.data()]).as_bytes().to_vec()
    }

    /// Returns the value of a PCR after this entry.
    fn extend(&self, pcr: TaggedDigest) -> TaggedDigest {
        let digest = match self.violation {
            true => TaggedDigest::filled(pcr.algorithm(), 0xff),
            false => pcr.algorithm().digest(&[&self.data()]),
        };
        pcr.extend(digest.as_bytes())
    }
}

pub(crate) fn binary(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::binary).collect()
}

/// Returns the value of PCR 10 of the sha256 bank after these entries.
pub(crate) fn pcr_10(records: &[Record]) -> TaggedDigest {
    pcr_10_of(records, HashAlgorithm::Sha256)
}

/// Returns the value of PCR 10 of one bank after these entries.
pub(crate) fn pcr_10_of(records: &[Record], bank: HashAlgorithm) -> TaggedDigest {
    let start = TaggedDigest::filled(bank, 0);
    records.iter().filter(|record| record.pcr == 10).fold(start, |pcr, record| record.extend(pcr))
}

/// Builds a digest field; the label ends with a colon.
pub(crate) fn digest(label: &str, contents: &[u8]) -> (Vec<u8>, String) {
    let algorithm = label.trim_end_matches(':').rsplit(':').next().unwrap();
    let digest = algorithm.parse::<HashAlgorithm>().unwrap().digest(&[contents]);
    ([label.as_bytes(), b"\0", digest.as_bytes()].concat(), format!("{label}{digest}"))
}

pub(crate) fn text(text: &[u8]) -> (Vec<u8>, String) {
    ([text, b"\0"].concat(), String::new())
}

pub(crate) fn bytes(bytes: &[u8]) -> (Vec<u8>, String) {
    (bytes.to_vec(), hex::encode(bytes))
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
}
