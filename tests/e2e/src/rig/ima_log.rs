//! The kernel's log of what it measured, and the TPM that it measured into.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pawl_evidence::ima::IMA_PCR;
use pawl_evidence::tpm::HashAlgorithm;

use super::Swtpm;

/// A file in the form of `binary_runtime_measurements`.
pub struct ImaLog {
    path: PathBuf,
    file: File,
}

impl ImaLog {
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
        self.file.write_all(&entries).with_context(|| format!("write {}", self.path.display()))
    }
}

fn sized(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok([&u32::try_from(bytes.len())?.to_le_bytes(), bytes].concat())
}
