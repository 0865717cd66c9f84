//! What a report takes along of the host.

use std::path::Path;

use super::health::health;
use super::{Logs, boot_id, facts, run};
use crate::core::{GatheredLogs, LogRange};

/// Reads what a report takes along of the logs and of the host's health. The audit records are not in it. Blocks.
pub(crate) fn gather(logs: &Logs, state_dir: &Path, range: LogRange) -> GatheredLogs {
    let LogRange { whole, bank, measure, ima } = range;
    // Nothing new is no news, but in a whole report.
    let measure = logs.measure(measure).filter(|log| whole || !log.bytes.as_bytes().is_empty());
    GatheredLogs {
        boot_id: boot_id(),
        run: run(),
        facts: whole.then(facts),
        health: health(state_dir),
        boot: logs.boot(whole),
        named_nvpcrs: (whole || measure.is_some()).then(|| logs.named_nvpcrs()),
        measure,
        ima: ima.and_then(|offset| logs.ima(bank, offset)),
        audit: None,
    }
}
