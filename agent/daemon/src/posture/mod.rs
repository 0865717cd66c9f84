//! Posture: the logs, facts, health and quotes that the daemon reads from the host and the TPM for a report.

mod growing;
mod host;
mod logs;
mod measure_log;
mod quote;

use std::path::Path;

use crate::core::{GatheredLogs, LogRange};

pub(crate) use host::{boot_id, facts, run};
pub(crate) use logs::Logs;
pub(crate) use quote::{
    QuoteError, certify_nvpcrs, present_nvpcrs, quote, quote_stable, read_nvpcrs, read_pcrs,
};

/// Reads the logs, facts and health of the host for a report, without the audit records. Blocks.
pub(crate) fn gather(logs: &Logs, state_dir: &Path, range: LogRange) -> GatheredLogs {
    let LogRange { whole, bank, measure, ima } = range;
    // An incremental report has no empty piece.
    let measure = logs.measure(measure).filter(|log| whole || !log.bytes.as_bytes().is_empty());
    GatheredLogs {
        boot_id: boot_id(),
        run: run(),
        facts: whole.then(facts),
        health: host::health(state_dir),
        boot: logs.boot(whole),
        named_nvpcrs: (whole || measure.is_some()).then(|| logs.named_nvpcrs()),
        measure,
        ima: ima.and_then(|offset| logs.ima(bank, offset)),
        audit: None,
    }
}
