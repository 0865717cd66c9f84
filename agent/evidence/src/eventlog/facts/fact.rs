use super::action::Action;
use super::authority::Authority;
use super::boot_option::BootOption;
use super::firmware::FirmwareContent;
use super::image::Image;
use super::partitions::PartitionTable;
use super::signatures::SignatureDatabase;
use super::user_space::UserSpaceEvent;
use super::variable::Variable;

/// What an event says (TCG PC Client Platform Firmware Profile, section 10; Linux TPM PCR Registry for PCRs 8 to
/// 14).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// Whether the firmware enforces Secure Boot. Only in PCR 7.
    SecureBoot(bool),
    /// PK, KEK, db, dbx, dbt or dbr. Only in PCR 7.
    SignatureDatabase(SignatureDatabase),
    /// Another UEFI variable.
    Variable(Variable<'a>),
    /// What vouched for an image that was then loaded.
    Authority(Authority),
    /// The numbers of boot options in the order in which they are tried.
    BootOrder(Vec<u16>),
    /// A boot option. Where only the variable's value is hashed, as in most firmware, its number is a claim.
    BootOption(BootOption),
    /// An image that was loaded. The fact is the digest, which is its Authenticode digest; the path is a claim.
    Image(Image),
    /// The partition table of the disk that was booted from.
    Partitions(PartitionTable),
    /// The firmware's version, empty where its builder gave it none.
    FirmwareVersion(String),
    /// A part of the firmware. The fact is the digest.
    FirmwareContent(FirmwareContent),
    /// A kernel command line, from GRUB (with the kernel's path before it), systemd-boot, systemd-stub or U-Boot.
    CommandLine(String),
    /// The command line that the kernel's EFI stub was given: the fact is the digest of it, and the log does not
    /// have the text. See [`super::EventFact::is_command_line`].
    LoadOptions,
    /// A command that GRUB ran.
    LoaderCommand(String),
    /// A kernel that U-Boot started by itself. The fact is the digest, which is that of its image without headers.
    Kernel,
    /// A file that GRUB read. The fact is the digest, which is that of its content; the path is a claim.
    LoadedFile {
        /// Where the log says that it came from.
        path: String,
    },
    /// The initrd that the kernel's EFI stub was given, or U-Boot gave to the kernel. The fact is the digest.
    Initrd,
    /// A section of a unified kernel image (systemd-stub, PCR 11).
    UnifiedSection {
        /// Its name, which is a claim beside a content.
        name: String,
        /// What of it was measured.
        part: SectionPart,
    },
    /// A variable of shim: keys and digests of the machine's owner. The fact is the digest of its value; the name
    /// is a claim.
    MachineOwnerKeys {
        /// What the log calls it, such as `MokList`.
        name: String,
    },
    /// What a boot loader measured of its configuration and add-ons. The fact is the digest.
    LoaderData(LoaderData),
    /// The SMBIOS table of the system, with its UUID and serial number: each machine has a digest of its own
    /// (systemd-boot and systemd-stub, PCR 1).
    MachineTable,
    /// The end of what firmware measures into a PCR.
    Separator {
        /// Whether the firmware reports an error by it.
        failed: bool,
    },
    /// Something that was done.
    Action(Action),
    /// What systemd extended while the system ran, from its own log.
    UserSpace(UserSpaceEvent),
    /// From which locality the TPM was started. Extended nowhere; replay begins PCR 0 with it.
    StartupLocality(u8),
    /// Extended nowhere.
    Unmeasured,
    /// Nothing that is understood here, or not in this PCR.
    Other,
}

/// What of a section of a unified kernel image was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SectionPart {
    /// Its name.
    Name,
    /// Its content: the fact is the digest.
    Content,
}

/// What a boot loader measured of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderData {
    /// The tag of the event (TCG_PCClientTaggedEvent.taggedEventID), where it has one. A claim.
    pub tag: Option<u32>,
    /// What the log calls it, such as `Credentials initrd`. A claim.
    pub description: String,
}
