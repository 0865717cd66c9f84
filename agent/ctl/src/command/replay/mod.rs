//! `pawlctl replay BOOTLOG [--measure-log LOG] [--ima LOG]`

mod error;
mod ima;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use pawl_evidence::eventlog::{EventLog, LOG_MAX_LEN};
use pawl_evidence::measure_log::{MEASURE_LOG_MAX_LEN, MeasureLog};
use pawl_evidence::tpm::PcrValues;

use crate::cli;
use crate::exit::{Answer, Failure};
use crate::output;

use error::ReplayError;

/// IMA logs of machines that run for months have some 10 MB.
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
            let value = ima::replay(&bytes, bank)
                .map_err(|source| ReplayError::ImaLog { path: path.to_owned(), source })?;
            if let Some(value) = value {
                banks.entry(bank.as_str()).or_default().insert(ima::PCR, value.to_string());
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
