use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_evidence::attest::{AttestationKey, VerifiedQuote};
use pawl_evidence::tpm::{Attest, HashAlgorithm, Name, PcrValues, Public, TaggedDigest};

pub(crate) const NONCE: [u8; 16] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

/// One folder of `tests/fixtures`.
pub(crate) struct Boot {
    pub(crate) name: String,
    folder: PathBuf,
}

impl Boot {
    /// Returns the boots without a log of systemd.
    pub(crate) fn all() -> Vec<Self> {
        let mut boots = Self::every();
        boots.retain(|boot| !boot.has_measure_log());
        assert!(boots.len() >= 10, "fixtures are missing");
        boots
    }

    /// Returns the boots with a log of systemd.
    pub(crate) fn with_measure_log() -> Vec<Self> {
        let mut boots = Self::every();
        boots.retain(Self::has_measure_log);
        assert!(boots.len() >= 8, "fixtures are missing");
        boots
    }

    fn has_measure_log(&self) -> bool {
        self.path("tpm2-measure.log").exists()
    }

    fn every() -> Vec<Self> {
        let mut boots: Vec<Self> = fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("binary_bios_measurements").exists())
            .map(|entry| Self::named(&entry.file_name().into_string().unwrap()))
            .collect();
        boots.sort_by(|a, b| a.name.cmp(&b.name));
        boots
    }

    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), folder: folder().join(name) }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap()
    }

    pub(crate) fn event_log(&self) -> Vec<u8> {
        self.read("binary_bios_measurements")
    }

    pub(crate) fn measure_log(&self) -> Vec<u8> {
        self.read("tpm2-measure.log")
    }

    /// Returns the PCRs that `tpm2_pcrread` printed.
    pub(crate) fn pcrs(&self) -> PcrValues {
        read_pcr_listing(&String::from_utf8(self.read("pcrread.txt")).unwrap())
    }

    /// Returns the quoted sha256 PCRs, from tpm2-tools' dump of two C structures.
    pub(crate) fn quoted_pcrs(&self) -> PcrValues {
        const SELECTION_LEN: usize = 4 + 16 * 8;
        const DIGEST_LEN: usize = 2 + 64;
        let dump = self.read("quote.pcrs");
        let mut pcrs = PcrValues::default();
        // The older fixtures have PCRs 0 to 14, the newer ones also 15.
        let count = if dump[8] & 0x80 == 0 { 15 } else { 16 };
        for index in 0..count {
            let list = SELECTION_LEN + 4 + usize::from(index / 8) * (4 + 8 * DIGEST_LEN);
            let digest = list + 4 + usize::from(index % 8) * DIGEST_LEN + 2;
            let value = TaggedDigest::new(HashAlgorithm::Sha256, &dump[digest..digest + 32]).unwrap();
            pcrs.insert(index, value).unwrap();
        }
        pcrs
    }

    /// Returns the public area of the attestation key. The fixture has only its PEM; the other fields are those of
    /// `tpm2_createak`.
    pub(crate) fn ak_public(&self) -> Public {
        let pem = String::from_utf8(self.read("ak.pub")).unwrap();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let spki = STANDARD.decode(base64).unwrap();
        let (x, y) = spki[spki.len() - 64..].split_at(32);
        let header =
            [0x00, 0x23, 0x00, 0x0b, 0x00, 0x05, 0x00, 0x72, 0, 0, 0x00, 0x10, 0x00, 0x18, 0x00, 0x0b];
        let bytes = [&header[..], &[0x00, 0x03, 0x00, 0x10, 0, 32], x, &[0, 32], y].concat();
        Public::unmarshal(&bytes).unwrap()
    }

    /// Returns the key that signed the quote. `tpm2_createak` creates it below the endorsement key, whose name the
    /// fixtures do not have, so the qualified name is taken from the quote.
    pub(crate) fn attestation_key(&self) -> AttestationKey {
        let signer = Attest::unmarshal(&self.read("quote.msg")).unwrap().qualified_signer;
        let qualified_name = Name::from_bytes(&signer).unwrap();
        AttestationKey::with_qualified_name(self.ak_public(), qualified_name).unwrap()
    }

    pub(crate) fn quote(&self) -> VerifiedQuote {
        let ak = self.attestation_key();
        let attest = ak.verify(&self.read("quote.msg"), &self.read("quote.sig"), &NONCE).unwrap();
        attest.quote(&self.quoted_pcrs()).unwrap()
    }
}

/// Returns the files of `tests/fixtures/cases`, with their names.
pub(crate) fn cases() -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
}

/// Parses the PCR listing of tpm2-tools: a line for the bank, then `0 : 0x…`.
pub(crate) fn read_pcr_listing(text: &str) -> PcrValues {
    let mut pcrs = PcrValues::default();
    let mut bank = None;
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        match (key.trim().parse::<u8>(), bank) {
            (Ok(index), Some(bank)) => {
                let value = value.trim().strip_prefix("0x").unwrap();
                pcrs.insert(index, TaggedDigest::new(bank, &from_hex(value)).unwrap()).unwrap();
            }
            _ => bank = key.trim().parse::<HashAlgorithm>().ok(),
        }
    }
    pcrs
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}
