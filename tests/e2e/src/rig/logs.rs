//! The measurement logs of systemd and of the kernel (IMA), and the TPM that they were measured into.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pawl_evidence::ima::IMA_PCR;
use pawl_evidence::measure_log::{MeasureLog as Records, Target};
use pawl_evidence::tpm::HashAlgorithm;

use super::Swtpm;
use super::process::LogFile;

/// A file in the form of `tpm2-measure.log`, written as systemd does.
pub struct MeasureLog(LogFile);

impl MeasureLog {
    /// An empty one, as a boot begins with.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: PathBuf) -> Result<Self> {
        LogFile::create(path).map(Self)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Measures what the log of one of the real boots in `tests/fixtures` has. Nobody may be connected to the TPM.
    ///
    /// # Errors
    /// When the TPM refuses, or a file cannot be read or written.
    pub fn measure_boot(&mut self, tpm: &Swtpm, boot: &str) -> Result<()> {
        self.measure_boot_where(tpm, boot, |_| true)
    }

    /// The same with those records alone for which `is_measured` holds.
    ///
    /// # Errors
    /// As for [`Self::measure_boot`].
    pub fn measure_boot_where(
        &mut self,
        tpm: &Swtpm,
        boot: &str,
        is_measured: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(boot).join("tpm2-measure.log");
        let log = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let records = log.split_inclusive(|byte| *byte == b'\n');
        let measured = records.filter(|record| is_measured(&String::from_utf8_lossy(record)));
        self.measure_records(tpm, &measured.collect::<Vec<_>>().concat())
    }

    /// Measures what `log` has, in its order. Nobody may be connected to the TPM.
    ///
    /// # Errors
    /// As for [`Self::measure_boot`], and when `log` has not the form of `tpm2-measure.log`.
    pub fn measure_records(&mut self, tpm: &Swtpm, log: &[u8]) -> Result<()> {
        log.split_inclusive(|byte| *byte == b'\n').try_for_each(|record| self.add(tpm, record))
    }

    /// Measures a text into a PCR.
    ///
    /// # Errors
    /// As for [`Self::measure_boot`].
    pub fn measure(&mut self, tpm: &Swtpm, pcr: u8, text: &str) -> Result<()> {
        let [sha256, sha384] =
            [HashAlgorithm::Sha256, HashAlgorithm::Sha384].map(|bank| bank.digest(&[text.as_bytes()]));
        let record = format!(
            "\x1e{{\"pcr\":{pcr},\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{sha256}\"}},\
             {{\"hashAlg\":\"sha384\",\"digest\":\"{sha384}\"}}],\
             \"content_type\":\"systemd\",\"content\":{{\"string\":\"{text}\"}}}}\n"
        );
        self.add(tpm, record.as_bytes())
    }

    /// Records that a text was measured into an NvPCR, which the caller extends.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_nvpcr(&mut self, index: u32, name: &str, text: &str) -> Result<()> {
        let digest = HashAlgorithm::Sha256.digest(&[text.as_bytes()]);
        let record = format!(
            "\x1e{{\"nv_index\":{index},\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}}],\
             \"content_type\":\"systemd\",\"content\":{{\"nvIndexName\":\"{name}\",\"string\":\"{text}\"}}}}\n"
        );
        self.0.append(record.as_bytes())
    }

    /// Whether a record is being added.
    ///
    /// # Errors
    /// When the mode cannot be set.
    pub fn set_sticky(&self, sticky: bool) -> Result<()> {
        self.0.set_mode(if sticky { 0o1600 } else { 0o600 })
    }

    /// Extends, then appends, with the sticky bit set meanwhile.
    fn add(&mut self, tpm: &Swtpm, record: &[u8]) -> Result<()> {
        self.set_sticky(true)?;
        let parsed = Records::parse(record)?;
        for read in parsed.records() {
            let Target::Pcr(pcr) = read.target else { continue };
            let sha256 = read.digest(HashAlgorithm::Sha256).context("a record has no sha256 digest")?;
            // systemd extends the banks that are active alone; nothing looks at the other one then.
            let made = HashAlgorithm::Sha384.digest(&[sha256.as_bytes()]);
            let sha384 = read.digest(HashAlgorithm::Sha384).unwrap_or(&made);
            tpm.extend_banks(pcr, sha256.as_bytes().try_into()?, sha384.as_bytes().try_into()?)?;
        }
        self.0.append(record)?;
        self.set_sticky(false)
    }
}

/// A file in the form of `binary_runtime_measurements`.
pub struct ImaLogFile(LogFile);

impl ImaLogFile {
    /// An empty one, as a boot begins with.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: PathBuf) -> Result<Self> {
        LogFile::create(path).map(Self)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Measures files, each with its path and its contents, in the template `ima-ng`. Nobody may be connected to the
    /// TPM.
    ///
    /// # Errors
    /// When the TPM refuses, or the file cannot be written.
    pub fn measure(&mut self, tpm: &Swtpm, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<()> {
        let mut entries = Vec::new();
        let mut digests = Vec::new();
        for (path, contents) in files {
            let contents = HashAlgorithm::Sha256.digest(&[&contents]);
            let digest = [b"sha256:\0", contents.as_bytes()].concat();
            let data = [sized(&digest)?, sized(format!("{path}\0").as_bytes())?].concat();
            entries.extend(u32::from(IMA_PCR).to_le_bytes());
            entries.extend(HashAlgorithm::Sha1.digest(&[&data]).as_bytes());
            entries.extend(sized(b"ima-ng")?);
            entries.extend(sized(&data)?);
            digests.push(HashAlgorithm::Sha256.digest(&[&data]).as_bytes().try_into()?);
        }
        tpm.extend_all(IMA_PCR, &digests)?;
        self.0.append(&entries)
    }
}

fn sized(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok([&u32::try_from(bytes.len())?.to_le_bytes(), bytes].concat())
}
