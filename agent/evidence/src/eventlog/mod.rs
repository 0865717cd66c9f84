//! The boot event log: the PCR extends of firmware and boot loaders (TCG PC Client Platform Firmware Profile, section
//! 10), in both of its formats.
//!
//! Nothing protects the log itself. Trust it only if [`EventLog::replay`] gives the PCR values that a TPM has
//! quoted. Even then, the digest covers the data of only some types of events. Verifiers therefore use
//! [`EventLog::facts`], which returns for each fact whether a digest covers it.

#[cfg(feature = "verifier")]
mod facts;
mod kind;
mod log;
#[cfg(feature = "verifier")]
mod predict;
mod replay;

#[cfg(feature = "verifier")]
pub use facts::{
    Action, Authority, BootFacts, BootOption, CertificateId, DatabaseName, EventFact, Fact, FirmwareContent,
    FirmwarePart, Guid, Image, ImageRole, LoaderData, MemoryRegion, Partition, PartitionTable, SectionPart,
    Signature, SignatureDatabase, SignatureEntry, Stage, Tie, UserSpaceEvent, Variable,
};
#[cfg(feature = "verifier")]
pub(crate) use facts::{NVPCR_SEPARATOR, OS_SEPARATOR, command_line_digests};
pub use kind::EventKind;
pub use log::{EventLog, EventLogError, Events, LogEvent, NO_PCR};
#[cfg(feature = "verifier")]
pub use predict::{DatabaseChange, PredictError, explains, predict, predict_databases};

/// The PCR that systemd extends with the name of each boot phase (Linux TPM PCR Registry), long after the
/// firmware's log has ended. systemd 259 and later log it ([`crate::measure_log`]).
pub const BOOT_PHASES_PCR: u8 = 11;

/// The PCRs that only firmware extends, without PCR 7 of Secure Boot. PCR 1 is not among them: U-Boot measures the
/// command line into it, and systemd-stub the SMBIOS tables. Some firmware extends these PCRs without a log entry: PCR
/// 0 on some servers, PCR 5 at the end of boot services.
pub const FIRMWARE_PCRS: [u8; 5] = [0, 2, 3, 5, 6];

/// The size limit of a log, in bytes. Logs of real machines have 8 to 100 KiB.
pub const LOG_MAX_LEN: usize = 1024 * 1024;

/// The maximum number of events. Logs of real machines have 30 to 300.
pub const EVENTS_MAX: usize = 16 * 1024;
