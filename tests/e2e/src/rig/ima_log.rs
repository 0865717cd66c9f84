//! The kernel's log of what it measured, and the TPM that it measured into.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pawl_evidence::ima::IMA_PCR;
use pawl_evidence::tpm::HashAlgorithm;

use super::Swtpm;
use super::log_file::LogFile;

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
