use serde::Deserialize;

use super::allowed::AllowedList;
use super::pattern::{CommandLinePattern, LoaderCommandPattern};
use crate::appraise::TrustTier;

/// `[freshness]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FreshnessSection {
    /// The maximum number of seconds between challenge and evidence; `None` for no limit.
    pub max_age: Option<u64>,
}

/// `[boot-log]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BootLogSection {
    /// Whether the log is required. If it is neither required nor present, accepted states are compared instead,
    /// and the result is a warning at best.
    pub required: bool,
}

/// `[secure-boot]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SecureBootSection {
    /// Whether Secure Boot must have been on.
    pub required: bool,
    /// The allowed entries of PK.
    pub platform_keys: AllowedList,
    /// The allowed entries of KEK.
    pub key_exchange_keys: AllowedList,
    /// The allowed entries of db.
    pub allowed_signatures: AllowedList,
    /// The allowed dbx lists, by the digests of their events because the lists are long.
    pub forbidden_signatures: AllowedList,
    /// The certificates and hashes that may have authorized the loaded images.
    pub signers: AllowedList,
    /// The allowed lists of shim (MokList and similar), by the digests of their events.
    pub machine_owner_keys: AllowedList,
}

/// `[firmware]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FirmwareSection {
    /// The allowed versions, as the firmware reports them.
    pub versions: Vec<String>,
    /// Whether any version is allowed.
    pub accept_any_version: bool,
    /// The allowed parts of the firmware.
    pub contents: AllowedList,
    /// Whether any content of PCR 0 is allowed, so that only the version counts.
    pub accept_any_content: bool,
}

/// `[boot]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BootSection {
    /// Images that may be loaded: boot loaders, kernels, unified kernel images and UEFI drivers of add-in cards,
    /// by Authenticode digest; kernels that U-Boot starts, by SHA-256.
    pub images: AllowedList,
    /// Unified kernel images that may be loaded. If such an image starts the kernel itself, as systemd-stub does
    /// since version 258, it determines the initrd, and `initrds` is not needed.
    pub unified_images: AllowedList,
    /// The allowed sections of a unified kernel image (PCR 11); any if the list is empty.
    pub sections: AllowedList,
    /// Whether other images are allowed if Secure Boot was on and only `secure-boot.signers` authorized the
    /// loaded images.
    pub accept_signed_images: bool,
    /// The allowed kernel command lines.
    pub command_lines: Vec<CommandLinePattern>,
    /// The allowed command lines by the digests of their events, for boot chains that measure the command line
    /// and do not log its text.
    pub command_line_digests: AllowedList,
    /// The initrds that may be loaded.
    pub initrds: AllowedList,
    /// The commands that the boot loader may run.
    pub loader_commands: Vec<LoaderCommandPattern>,
    /// The files that the boot loader may read.
    pub files: AllowedList,
    /// Whether values that identify a machine may be anything: the SMBIOS tables with UUID and serial number, as
    /// firmware and systemd-stub measure them (PCR 1), and the machine id (PCR 15).
    pub accept_machine_identity: bool,
    /// Whether systemd must have extended its os-separator into each appraised PCR of 0 to 7, 9 and 12 to 14. If
    /// it did so for one PCR, it must have for all, whatever this says.
    pub require_os_separator: bool,
}

/// The weight of a finding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Contraindicated.
    #[default]
    Refuse,
    /// A warning.
    Warn,
    /// No effect.
    Allow,
}

impl Weight {
    /// Returns the trust tier; `None` if the finding has no effect.
    pub(super) fn tier(self) -> Option<TrustTier> {
        match self {
            Self::Refuse => Some(TrustTier::Contraindicated),
            Self::Warn => Some(TrustTier::Warning),
            Self::Allow => None,
        }
    }
}

impl Default for BootLogSection {
    fn default() -> Self {
        Self { required: true }
    }
}

impl Default for SecureBootSection {
    fn default() -> Self {
        Self {
            required: true,
            platform_keys: AllowedList::default(),
            key_exchange_keys: AllowedList::default(),
            allowed_signatures: AllowedList::default(),
            forbidden_signatures: AllowedList::default(),
            signers: AllowedList::default(),
            machine_owner_keys: AllowedList::default(),
        }
    }
}
