use super::action::Action;
use super::authority::Authority;
use super::boot_option::BootOption;
use super::firmware::FirmwareContent;
use super::image::Image;
use super::partitions::PartitionTable;
use super::signatures::SignatureDatabase;
use super::user_space::UserSpaceEvent;
use super::variable::Variable;

/// What an event states (TCG PC Client Platform Firmware Profile, section 10; Linux TPM PCR Registry for PCRs 8
/// to 14).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// Whether the firmware enforces Secure Boot. Only in PCR 7.
    SecureBoot(bool),
    /// PK, KEK, db, dbx, dbt or dbr. Only in PCR 7.
    SignatureDatabase(SignatureDatabase),
    /// Another UEFI variable.
    Variable(Variable<'a>),
    /// The entry that authorized an image which was then loaded.
    Authority(Authority),
    /// The numbers of boot options in the order in which they are tried.
    BootOrder(Vec<u16>),
    /// A boot option. If only the variable's value is hashed, as in most firmware, its number is a claim.
    BootOption(BootOption),
    /// A loaded image. The fact is the digest, its Authenticode digest; the path is a claim.
    Image(Image),
    /// The partition table of the boot disk.
    Partitions(PartitionTable),
    /// The firmware's version; empty if its builder set none.
    FirmwareVersion(String),
    /// A part of the firmware. The fact is the digest.
    FirmwareContent(FirmwareContent),
    /// A kernel command line, from GRUB (with the kernel's path before it), systemd-boot, systemd-stub or U-Boot.
    CommandLine(String),
    /// The command line that the kernel's EFI stub received. The fact is its digest; the log does not contain
    /// the text. See [`super::EventFact::is_command_line`].
    LoadOptions,
    /// A command that GRUB ran.
    LoaderCommand(String),
    /// A kernel that U-Boot started itself. The fact is the digest of its image without headers.
    Kernel,
    /// A file that GRUB read. The fact is the digest of its content; the path is a claim.
    LoadedFile {
        /// The path in the log.
        path: String,
    },
    /// The initrd that the kernel's EFI stub received, or that U-Boot passed to the kernel. The fact is the
    /// digest.
    Initrd,
    /// A section of a unified kernel image (systemd-stub, PCR 11).
    UnifiedSection {
        /// Its name; for a content, the name is a claim.
        name: String,
        /// The measured part.
        part: SectionPart,
    },
    /// A variable of shim: keys and digests of the machine's owner. The fact is the digest of its value; the
    /// name is a claim.
    MachineOwnerKeys {
        /// The name in the log, such as `MokList`.
        name: String,
    },
    /// Configuration and add-ons that a boot loader measured. The fact is the digest.
    LoaderData(LoaderData),
    /// The SMBIOS table of the system, with its UUID and serial number, so that each machine has a digest of its
    /// own (systemd-boot and systemd-stub, PCR 1).
    MachineTable,
    /// The end of the firmware's measurements into a PCR.
    Separator {
        /// Whether the firmware reports an error with it.
        failed: bool,
    },
    /// An action.
    Action(Action),
    /// A measurement of systemd while the system ran, from its own log.
    UserSpace(UserSpaceEvent),
    /// The locality from which the TPM was started. It extends nothing; replay starts PCR 0 with it.
    StartupLocality(u8),
    /// An event that extends nothing.
    Unmeasured,
    /// An event that is unknown, or unknown in this PCR.
    Other,
}

/// The measured part of a unified kernel image's section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SectionPart {
    /// Its name.
    Name,
    /// Its content. The fact is the digest.
    Content,
}

/// Data that a boot loader measured about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderData {
    /// The tag of the event (TCG_PCClientTaggedEvent.taggedEventID), if it has one. A claim.
    pub tag: Option<u32>,
    /// The name in the log, such as `Credentials initrd`. A claim.
    pub description: String,
}
