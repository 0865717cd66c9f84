//! Posture: what this device reports of itself.

mod growing;
mod host;
mod logs;
mod measure_log;
mod report;

pub(crate) use host::{boot_id, facts};
pub(crate) use logs::Logs;
pub(crate) use report::{Acknowledged, Prepared, ReportError, Subject, bank_hash, prepare, quote_stable};
