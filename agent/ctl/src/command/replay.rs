//! `pawlctl replay BOOTLOG [--measure-log LOG] [--ima LOG]`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use pawl_evidence::eventlog::{EventLog, EventLogError, LOG_MAX_LEN};
use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, IMA_PCR, ImaError};
use pawl_evidence::measure_log::{MEASURE_LOG_MAX_LEN, MeasureLog, MeasureLogError};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

use crate::exit::{Answer, Exit, Failure};
use crate::{cli, output};

/// The limit of an IMA log. The logs of machines that run for months have some 10 MB.
const IMA_LOG_MAX_LEN: usize = 64 * 1024 * 1024;

/// Values in hexadecimal, by bank and index.
type Banks = BTreeMap<&'static str, BTreeMap<u8, String>>;

pub(super) fn run(options: &cli::Replay, json: bool) -> Result<Answer, Failure> {
    let banks = replay(&options.boot_log, options.measure_log.as_deref(), options.ima.as_deref())?;
    Ok(Answer::done(if json { output::json(&banks)? } else { table(&banks) }))
}

fn replay(boot_log: &Path, measure_log: Option<&Path>, ima_log: Option<&Path>) -> Result<Banks, ReplayError> {
    let bytes = read(boot_log, LOG_MAX_LEN)?;
    let failed = |source| ReplayError::BootLog { path: boot_log.to_owned(), source };
    let log = EventLog::parse(&bytes).map_err(failed)?;
    let mut pcrs = log.replay().map_err(failed)?;
    if let Some(path) = measure_log {
        let failed = |source| ReplayError::MeasureLog { path: path.to_owned(), source };
        pcrs = MeasureLog::parse(&read(path, MEASURE_LOG_MAX_LEN)?).map_err(failed)?.replay(&pcrs);
    }
    let mut banks = hexadecimal(&pcrs);
    if let Some(path) = ima_log {
        let bytes = read(path, IMA_LOG_MAX_LEN)?;
        for bank in log.algorithms() {
            let value = replay_ima(&bytes, bank)
                .map_err(|source| ReplayError::ImaLog { path: path.to_owned(), source })?;
            if let Some(value) = value {
                banks.entry(bank.as_str()).or_default().insert(IMA_PCR, value.to_string());
            }
        }
    }
    Ok(banks)
}

fn hexadecimal(pcrs: &PcrValues) -> Banks {
    let mut banks = Banks::new();
    for (bank, index, value) in pcrs.iter() {
        banks.entry(bank.as_str()).or_default().insert(index, value.to_string());
    }
    banks
}

fn table(banks: &Banks) -> String {
    let mut text = String::new();
    for (bank, values) in banks {
        for (index, value) in values {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{bank:<7} {index:>2}  {value}");
        }
    }
    text
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, ReplayError> {
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bound).read_to_end(&mut bytes))
        .map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
    if bytes.len() > limit {
        return Err(ReplayError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Returns the value of PCR 10 after the whole log. Returns `None` if the log extends nothing, and for banks whose value cannot
/// be computed from the log: a kernel that is built without a bank's hash extends padded SHA-1 digests instead.
fn replay_ima(log: &[u8], bank: HashAlgorithm) -> Result<Option<TaggedDigest>, ImaError> {
    let is_hashed_as = |bank| match is_binary(log) {
        true => {
            BinaryLog::new(log).next().is_some_and(|entry| entry.is_ok_and(|entry| entry.list_hash() == bank))
        }
        false => {
            AsciiLog::new(log).next().is_some_and(|entry| entry.is_ok_and(|entry| entry.list_hash() == bank))
        }
    };
    if !matches!(bank, HashAlgorithm::Sha1 | HashAlgorithm::Sha256) && !is_hashed_as(bank) {
        return Ok(None);
    }
    let mut aggregate = Aggregate::new(bank);
    let read = if is_binary(log) {
        aggregate.absorb(BinaryLog::new(log))?
    } else {
        aggregate.absorb(AsciiLog::new(log))?
    };
    if read < log.len() {
        return Err(ImaError::Truncated { offset: read });
    }
    Ok(Some(*aggregate.value()).filter(|_| aggregate.entries() > 0))
}

/// Returns whether a log is binary. A binary log begins with the number of a PCR in 32 bits, little-endian; in an ASCII log a
/// space follows the number.
fn is_binary(log: &[u8]) -> bool {
    log.get(1..4) == Some(&[0, 0, 0])
}

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {limit} bytes", path.display())]
    TooLong { path: PathBuf, limit: usize },
    #[error("{}: {source}", path.display())]
    BootLog { path: PathBuf, source: EventLogError },
    #[error("{}: {source}", path.display())]
    MeasureLog { path: PathBuf, source: MeasureLogError },
    #[error("{}: {source}", path.display())]
    ImaLog { path: PathBuf, source: ImaError },
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        let (name, remedy) = match &error {
            ReplayError::Read { .. } => ("not-read", "use a file that this user can read"),
            ReplayError::TooLong { .. } => {
                ("too-long", "check the file's name: this is not a measurement log")
            }
            ReplayError::BootLog { .. } => ("boot-log", "use a complete binary_bios_measurements"),
            ReplayError::MeasureLog { .. } => ("measure-log", "use a complete tpm2-measure.log"),
            ReplayError::ImaLog { .. } => ("ima-log", "use a complete binary_runtime_measurements"),
        };
        Self::new(Exit::Failed, name, error, remedy)
    }
}
