use pawl_proto::message::TrustTier;
use serde::Deserialize;

use super::allowed::{AllowedList, digest};
use super::pattern::{CommandLinePattern, LoaderCommandPattern};
use crate::ima::PathPattern;
use crate::tpm::{PCR_COUNT, TaggedDigest};

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
    /// systemd did so for one PCR, it must have for all, even if this is false.
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
    pub(in crate::appraise) fn tier(self) -> Option<TrustTier> {
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

/// The number of a PCR, in the form of a section name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct PcrIndex(u8);

/// `[pcr.N]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PcrSection {
    /// The weight of an event that no rule explains. The PCRs of a lease are appraised without such a section
    /// too; other PCRs are ignored without one.
    pub unexplained: Weight,
    /// The digests of events that are allowed in this PCR, of any type.
    pub digests: AllowedList,
    /// Allowed values of the PCR. If it has one of them, no event in it needs an explanation.
    #[serde(deserialize_with = "pcr_values")]
    pub values: Vec<TaggedDigest>,
    /// Values that are allowed although the boot event log does not explain them, because firmware of this model
    /// extends the PCR without logging it. The log's events of such a PCR are ignored.
    #[serde(deserialize_with = "pcr_values")]
    pub unlogged: Vec<TaggedDigest>,
}

impl PcrSection {
    /// Returns whether the value itself is allowed, so that no event needs an explanation.
    pub(in crate::appraise) fn allows(&self, value: &TaggedDigest) -> bool {
        self.values.contains(value) || self.unlogged.contains(value)
    }
}

impl PcrIndex {
    /// Returns the PCR with this number; `None` if there is no such PCR.
    pub fn new(index: u8) -> Option<Self> {
        (index < PCR_COUNT).then_some(Self(index))
    }

    /// Returns the number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<String> for PcrIndex {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let index = name.parse().ok().and_then(Self::new);
        index.ok_or_else(|| format!("pcr.{name}: give a number from 0 to {}", PCR_COUNT.saturating_sub(1)))
    }
}

pub(super) fn pcr_values<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<TaggedDigest>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    written.iter().map(|text| digest(text).map_err(serde::de::Error::custom)).collect()
}

/// `[ima]`
///
/// The allowed digests, signers and exclusions are in [`crate::ima::Rules`], which the policy's reader builds
/// from the files named here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ImaSection {
    /// Whether PCR 10 must confirm the log. It does not if the kernel finds its TPM only after IMA has started.
    pub require_anchored: bool,
    /// The weight of an entry that no rule explains.
    pub unexplained: Weight,
    /// The weight of a file that was written to while it was measured.
    pub violations: Weight,
    /// Files with the digests of allowed files, one per line, as `sha256sum` prints them.
    pub digest_files: Vec<String>,
    /// Certificates or public keys, PEM or DER, whose signatures allow a file.
    pub signer_files: Vec<String>,
    /// Paths of files that may have any content: `*` stays within a directory, `**` crosses directories.
    #[serde(deserialize_with = "patterns")]
    pub exclusions: Vec<PathPattern>,
}

impl Default for ImaSection {
    fn default() -> Self {
        Self {
            require_anchored: true,
            unexplained: Weight::Refuse,
            violations: Weight::Warn,
            digest_files: Vec::new(),
            signer_files: Vec::new(),
            exclusions: Vec::new(),
        }
    }
}

fn patterns<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PathPattern>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    written.iter().map(|text| PathPattern::new(text).map_err(serde::de::Error::custom)).collect()
}
