use serde::Deserialize;

use super::allowed::AllowedList;
use super::pattern::{CommandLinePattern, LoaderCommandPattern};
use crate::appraise::Verdict;

/// `[freshness]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FreshnessSection {
    /// Seconds that may lie between the challenge and the evidence; `None` where it does not matter.
    pub max_age: Option<u64>,
}

/// `[boot-log]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BootLogSection {
    /// It must be there. Where it need not and is not, accepted states are compared instead, and the judgement is
    /// a warning at best.
    pub required: bool,
}

/// `[secure-boot]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SecureBootSection {
    /// It must have been on.
    pub required: bool,
    /// What PK may hold.
    pub platform_keys: AllowedList,
    /// What KEK may hold.
    pub key_exchange_keys: AllowedList,
    /// What db may hold.
    pub allowed_signatures: AllowedList,
    /// What dbx may be: the digest of its event, because such lists are long.
    pub forbidden_signatures: AllowedList,
    /// The certificates and hashes that may vouch for what was loaded.
    pub signers: AllowedList,
    /// What shim's own lists may be (MokList and the like): the digests of their events.
    pub machine_owner_keys: AllowedList,
}

/// `[firmware]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FirmwareSection {
    /// The versions that it may say it has.
    pub versions: Vec<String>,
    /// Any other too.
    pub accept_any_version: bool,
    /// What it may consist of.
    pub contents: AllowedList,
    /// Anything else in PCR 0 too: then its version alone is looked at.
    pub accept_any_content: bool,
}

/// `[boot]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BootSection {
    /// Images that may be loaded: boot loaders, kernels, unified kernel images and drivers of add-in cards for UEFI,
    /// by their Authenticode digests; kernels that U-Boot starts, by SHA-256.
    pub images: AllowedList,
    /// Unified kernel images that may be loaded. One that starts the kernel by itself, as systemd's stub does since
    /// version 258, vouches for the initrd that the kernel got: no `initrds` are needed for it.
    pub unified_images: AllowedList,
    /// What the sections of a unified kernel image may be (PCR 11); any where the list is empty.
    pub sections: AllowedList,
    /// Any others too, if Secure Boot was on and nothing but `secure-boot.signers` vouched for what was loaded.
    pub accept_signed_images: bool,
    /// What the kernel's command line may be.
    pub command_lines: Vec<CommandLinePattern>,
    /// The same where the boot chain measures the command line and logs no text of it: the digests of its events.
    pub command_line_digests: AllowedList,
    /// Initrds that may be loaded.
    pub initrds: AllowedList,
    /// Commands that the boot loader may carry out.
    pub loader_commands: Vec<LoaderCommandPattern>,
    /// Files that it may read.
    pub files: AllowedList,
    /// What tells one machine from another may have any value: the SMBIOS tables with UUID and serial number, as firmware
    /// and systemd's stub measure them (PCR 1), the machine id (PCR 15).
    pub accept_machine_identity: bool,
    /// systemd must have extended its os-separator into each judged PCR of 0 to 7, 9 and 12 to 14. Where it has done
    /// so for one of them, it must have for all, whatever this says.
    pub require_os_separator: bool,
}

/// How something weighs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Contraindicated.
    #[default]
    Refuse,
    /// A warning.
    Warn,
    /// Nothing.
    Allow,
}

impl Weight {
    /// `None` where it is nothing.
    pub(super) fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Refuse => Some(Verdict::Contraindicated),
            Self::Warn => Some(Verdict::Warning),
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
