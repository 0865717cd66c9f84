//! The log that firmware and boot loaders keep of what they extended into PCRs (TCG PC Client Platform
//! Firmware Profile, section 10), in both of its formats.
//!
//! The log has no protection of its own. What it says is worth something only when [`EventLog::replay`] gives
//! the PCR values that a TPM has quoted; and even then event data is tied to its digest only for some kinds
//! of event. A verifier therefore asks [`EventLog::facts`], which says of each fact whether a digest covers it.

mod error;
mod event;
#[cfg(feature = "verifier")]
mod facts;
mod header;
mod kind;
#[cfg(feature = "verifier")]
mod predict;
mod replay;

pub use error::EventLogError;
pub use event::{Event, Events, NO_PCR};
#[cfg(feature = "verifier")]
pub use facts::{
    Action, Authority, BootFacts, BootOption, CertificateId, DatabaseName, EventFact, Fact, FirmwareContent,
    FirmwarePart, Guid, Image, ImageRole, LoaderData, MemoryRegion, Partition, PartitionTable, SectionPart,
    Signature, SignatureDatabase, SignatureEntry, Stage, Tie, UserSpaceEvent, Variable,
};
#[cfg(feature = "verifier")]
pub(crate) use facts::{NVPCR_SEPARATOR, OS_SEPARATOR, command_line_digests};
pub use header::EventLog;
pub use kind::EventKind;
#[cfg(feature = "verifier")]
pub use predict::{DatabaseChange, PredictError, explains, predict, predict_databases};

/// The PCR that systemd extends by the name of each phase of the boot (Linux TPM PCR Registry). It does so while
/// services start, long after the firmware's log has ended; systemd 259 and later keep a log of it
/// ([`crate::measure_log`]).
pub const BOOT_PHASES_PCR: u8 = 11;

/// The PCRs that only firmware extends, of those that it does not decide Secure Boot by. (U-Boot measures the command
/// line into PCR 1, systemd-stub the machine.) Some firmware extends them
/// without a line in the log: PCR 0 on some servers, PCR 5 when boot services end.
pub const FIRMWARE_PCRS: [u8; 5] = [0, 2, 3, 5, 6];

/// The longest log that is read. Logs of real machines have 8 to 100 KiB.
pub const LOG_MAX_LEN: usize = 1024 * 1024;

/// The most events that are read. Logs of real machines have 30 to 300.
pub const EVENTS_MAX: usize = 16 * 1024;
