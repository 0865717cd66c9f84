//! Rules on what a device booted and runs, instead of the exact values of its PCRs: Secure Boot on, these images,
//! this command line, these signers.
//!
//! [`Policy`] is plain data, as an operator writes it; it is read by whatever reads TOML into it. Under a policy
//! every event of a lease's PCRs must be explained by some rule, and what none explains is refused. Exact states
//! that an operator accepted explain what lists do not know; they overrule nothing that is required.

mod allowed;
mod boot;
mod judge;
mod learn;
mod nvpcr;
mod pattern;
mod pcr;
mod runtime;
mod sections;

pub use allowed::{Allowed, AllowedList};
pub use learn::{LearnError, Learnt, MadeNvPcr};
pub use nvpcr::{NVPCRS_MAX, NvIndex, NvPcrSection};
pub use pattern::{CommandLinePattern, LoaderCommandPattern, PatternError};
pub use pcr::{PcrIndex, PcrSection};
pub use runtime::ImaSection;
pub use sections::{
    BootLogSection, BootSection, FirmwareSection, FreshnessSection, SecureBootSection, Weight,
};

use std::collections::BTreeMap;

use serde::Deserialize;

pub(super) use boot::Boot;
pub(super) use judge::judge;

/// What a device must be and run. An empty one refuses every device.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Policy {
    /// How old evidence may be.
    pub freshness: FreshnessSection,
    /// Whether there must be a boot event log.
    pub boot_log: BootLogSection,
    /// Secure Boot, and the keys that it goes by.
    pub secure_boot: SecureBootSection,
    /// What runs before the boot loader.
    pub firmware: FirmwareSection,
    /// Boot loader, kernel, command line.
    pub boot: BootSection,
    /// Single PCRs: events and values for which no other rule is made.
    pub pcr: BTreeMap<PcrIndex, PcrSection>,
    /// NvPCRs that are judged, at most [`NVPCRS_MAX`]. Others are not looked at.
    #[serde(deserialize_with = "nvpcr::sections")]
    pub nvpcr: BTreeMap<NvIndex, NvPcrSection>,
    /// What was run since the boot; `None` where only the log's own integrity counts.
    pub ima: Option<ImaSection>,
}
