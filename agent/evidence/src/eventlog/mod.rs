//! The log that firmware and boot loaders keep of what they extended into PCRs (TCG PC Client Platform
//! Firmware Profile, section 10), in both of its formats.
//!
//! The log has no protection of its own. What it says is worth something only when [`EventLog::replay`] gives
//! the PCR values that a TPM has quoted; and even then event data is tied to its digest only for some kinds
//! of event.

mod error;
mod event;
mod header;
mod kind;
mod replay;

pub use error::EventLogError;
pub use event::{Event, Events};
pub use header::EventLog;
pub use kind::EventKind;

/// The longest log that is read. Logs of real machines have 8 to 100 KiB.
pub const LOG_MAX_LEN: usize = 1024 * 1024;

/// The most events that are read. Logs of real machines have 30 to 300.
pub const EVENTS_MAX: usize = 16 * 1024;
