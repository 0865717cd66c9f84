//! Posture: what the host and the TPM say of this device, for reports.

mod gather;
mod growing;
mod health;
mod host;
mod logs;
mod measure_log;
pub(crate) mod nvpcrs;
mod quote;

pub(crate) use gather::gather;
pub(crate) use host::{boot_id, facts, run};
pub(crate) use logs::Logs;
pub(crate) use quote::{QuoteError, bank_hash, quote, quote_stable, quoted_pcrs, read_pcrs};
