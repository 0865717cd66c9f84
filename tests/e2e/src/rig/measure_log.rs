//! systemd's log of what it extended, and the TPM that it extended.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pawl_evidence::measure_log::{MeasureLog as Records, Target};
use pawl_evidence::tpm::HashAlgorithm;

use super::Swtpm;

/// A file in the form of `tpm2-measure.log`, written as systemd does.
pub struct MeasureLog {
    path: PathBuf,
    file: File,
}

impl MeasureLog {
    /// An empty one, as a boot begins with.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Measures what the log of one of the real boots in `tests/fixtures` has. Nobody may be connected to the TPM.
    ///
    /// # Errors
    /// When the TPM refuses, or a file cannot be read or written.
    pub fn measure_boot(&mut self, tpm: &Swtpm, boot: &str) -> Result<()> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(boot).join("tpm2-measure.log");
        let log = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        self.measure_records(tpm, &log)
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

    /// Whether a record is being added.
    ///
    /// # Errors
    /// When the mode cannot be set.
    pub fn set_sticky(&self, sticky: bool) -> Result<()> {
        let mode = if sticky { 0o1600 } else { 0o600 };
        fs::set_permissions(&self.path, Permissions::from_mode(mode)).context("set the mode of the log")
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
        self.file.write_all(record).with_context(|| format!("write {}", self.path.display()))?;
        self.set_sticky(false)
    }
}
