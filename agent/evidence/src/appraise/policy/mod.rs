//! Rules on what a device booted and runs, instead of exact PCR values: Secure Boot on, these images, this
//! command line, these signers.
//!
//! [`Policy`] is plain data that an operator writes as TOML. Under a policy a rule must explain every event of a
//! lease's PCRs; unexplained events are refused. States that an operator accepted explain events that the lists
//! lack; they override no requirement.

mod allowed;
mod nvpcr;
mod pattern;
mod sections;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use super::learn::{LearnError, Learnt, MadeNvPcr};
pub use allowed::{Allowed, AllowedList};
pub use nvpcr::{NVPCRS_MAX, NvIndex, NvPcrSection};
pub use pattern::{CommandLinePattern, LoaderCommandPattern, PatternError};
pub(in crate::appraise) use pattern::{PatternIndex, only_literally};
pub use sections::{
    BootLogSection, BootSection, FirmwareSection, FreshnessSection, ImaSection, PcrIndex, PcrSection,
    SecureBootSection, Weight,
};

/// The requirements for a device. An empty policy refuses every device.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Policy {
    /// The maximum age of evidence.
    pub freshness: FreshnessSection,
    /// Whether a boot event log is required.
    pub boot_log: BootLogSection,
    /// Secure Boot and its keys.
    pub secure_boot: SecureBootSection,
    /// The firmware.
    pub firmware: FirmwareSection,
    /// Boot loader, kernel, command line.
    pub boot: BootSection,
    /// Single PCRs: events and values without a rule of their own.
    pub pcr: BTreeMap<PcrIndex, PcrSection>,
    /// The appraised NvPCRs, at most [`NVPCRS_MAX`]. Others are ignored.
    #[serde(deserialize_with = "nvpcr::sections")]
    pub nvpcr: BTreeMap<NvIndex, NvPcrSection>,
    /// The files that were run since boot; `None` if only the IMA log's integrity counts.
    pub ima: Option<ImaSection>,
}
