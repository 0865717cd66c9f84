//! Posture: what this device reports of itself.

mod growing;
mod host;
mod logs;
mod measure_log;
mod nvpcrs;
mod report;

pub(crate) use host::{boot_id, facts};
pub(crate) use logs::Logs;
pub use report::Acknowledged;
pub(crate) use report::{ReportError, Subject, bank_hash, prepare, quote_stable};
