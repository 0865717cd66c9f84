//! `pawlctl evidence --export DIR`

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hex::FromHexError;
use pawl_local_api::EvidenceExport;
use serde::Serialize;

use crate::cli;
use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output;

pub(super) async fn run(
    client: &Client,
    options: &cli::ExportEvidence,
    json: bool,
) -> Result<Answer, Failure> {
    prepare(&options.export, options.force)?;
    let evidence = client.evidence(options.nonce.as_deref()).await?;
    let exported = export(&evidence, &options.export)?;
    for line in &exported.notes {
        output::note(line);
    }
    Ok(Answer::done(if json { output::json(&exported)? } else { exported.listing() }))
}

/// The files that were written.
#[derive(Debug, Serialize)]
struct Exported {
    directory: PathBuf,
    files: Vec<&'static str>,
    /// The reasons why logs are missing.
    notes: Vec<String>,
}

impl Exported {
    fn listing(&self) -> String {
        self.files.iter().map(|file| format!("{}\n", self.directory.join(file).display())).collect()
    }
}

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the daemon's {file} is not hexadecimal: {source}")]
    NotHex { file: &'static str, source: FromHexError },
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let (name, remedy) = match &error {
            ExportError::NotEmpty(_) => {
                ("not-empty", "use another directory, or add --force to replace its files")
            }
            ExportError::Write { .. } => ("not-written", "use a directory that this user can write to"),
            ExportError::NotHex { .. } => {
                ("not-understood", "install the same version of pawld and pawlctl, then restart pawld")
            }
        };
        Self::new(Exit::Failed, name, error, remedy)
    }
}

/// Creates the directory, and checks that it is empty unless `force` is given. This runs before the TPM makes a quote.
fn prepare(directory: &Path, force: bool) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let empty = fs::read_dir(directory).map_err(failed)?.next().is_none();
    if empty || force { Ok(()) } else { Err(ExportError::NotEmpty(directory.to_owned())) }
}

fn export(evidence: &EvidenceExport, directory: &Path) -> Result<Exported, ExportError> {
    let hex = |file, text: &str| hex::decode(text).map_err(|source| ExportError::NotHex { file, source });
    let log = |file, log: &Option<String>| log.as_deref().map(|log| hex(file, log)).transpose();
    let pcrs: String = evidence.pcrs.values().map(String::as_str).collect();
    // Scripts put this text into a command line, so it must be hexadecimal.
    hex("nonce.hex", &evidence.nonce)?;
    let contents = [
        ("attest.bin", Some(hex("attest.bin", &evidence.attest)?)),
        ("signature.bin", Some(hex("signature.bin", &evidence.signature)?)),
        ("ak.pem", Some(evidence.ak_pem.clone().into_bytes())),
        ("pcrs.bin", Some(hex("pcrs.bin", &pcrs)?)),
        ("nonce.hex", Some(format!("{}\n", evidence.nonce).into_bytes())),
        ("bootlog.bin", log("bootlog.bin", &evidence.boot_log)?),
        ("measurelog.bin", log("measurelog.bin", &evidence.measure_log)?),
        ("ima.txt", log("ima.txt", &evidence.ima_log)?),
    ];
    let mut files = Vec::new();
    for (file, bytes) in contents {
        let path = directory.join(file);
        let result = match bytes {
            Some(bytes) => {
                files.push(file);
                write(&path, &bytes)
            }
            None => remove(&path),
        };
        result.map_err(|source| ExportError::Write { path, source })?;
    }
    Ok(Exported { directory: directory.to_owned(), files, notes: evidence.notes.clone() })
}

/// Writes the file atomically.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    remove(&partial)?;
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

/// Removes a file of an earlier export, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
