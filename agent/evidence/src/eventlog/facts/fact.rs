use super::firmware::{Action, FirmwareContent};
use super::image::{BootOption, Image, PartitionTable};
use super::signatures::{Authority, SignatureDatabase};
use super::uefi::{Variable, load_options};
use crate::eventlog::kind::EventKind;
use crate::tpm::{HashAlgorithm, TaggedDigest};

/// The decoded content of an event (TCG PC Client Platform Firmware Profile, section 10; Linux TPM PCR Registry for
/// PCRs 8 to 14).
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
    /// The SMBIOS table of the system (systemd-boot and systemd-stub, PCR 1). Its digest differs on each machine,
    /// because it contains the UUID and the serial number.
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

/// One event of a log and its fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFact<'a> {
    /// The event's line in its log: the first event after a Spec ID header is 1, as in `tpm2_eventlog`.
    /// [`Stage::UserSpace`] has a log of its own.
    pub number: usize,
    /// Its start, in bytes from the start of that log.
    pub offset: usize,
    /// The PCR that it was extended into, or [`NO_PCR`](crate::eventlog::NO_PCR).
    pub pcr: u8,
    /// The event type in the firmware's log; systemd's log has none. No digest covers it.
    pub kind: Option<EventKind>,
    /// The digest that was extended in the bank by which the log was read; `None` if nothing was.
    pub digest: Option<TaggedDigest>,
    /// How the fact is tied to the digest.
    pub tie: Tie,
    /// When the event was extended.
    pub stage: Stage,
    /// The fact.
    pub fact: Fact<'a>,
}

/// How a fact is tied to its event's digest, once the log replays to the quoted PCRs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tie {
    /// The digest covers the data from which the fact was decoded, or the fact is that digest. Names next to
    /// such a digest are still claims; the variants of [`Fact`] say which.
    Digest,
    /// Only the event's data states it, and anybody can write that: display it, and base no decision on it.
    Claim,
}

/// When an event was extended into its PCR. Only firmware can have extended events before the separator, which is
/// recognized by its digest, because a log can give it any type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Up to and including the PCR's separator.
    Firmware,
    /// After the separator, when boot loaders run; also everything in a PCR without a separator.
    Loader,
    /// While the system ran, from systemd's log.
    UserSpace,
}

impl EventFact<'_> {
    /// Returns whether the fact is tied and part of every boot, without distinguishing one boot from another:
    /// separators, normal actions, names of unified kernel image sections, systemd's separators and phases, and
    /// events that extend nothing.
    pub fn is_routine(&self) -> bool {
        match &self.fact {
            Fact::StartupLocality(_) | Fact::Unmeasured => true,
            fact => self.tie == Tie::Digest && is_routine(fact),
        }
    }

    /// Returns its place, for display: `line 7`, or `record 7 of systemd's log`.
    pub fn place(&self) -> String {
        match self.stage {
            Stage::UserSpace => format!("record {} of systemd's log", self.number),
            Stage::Firmware | Stage::Loader => format!("line {}", self.number),
        }
    }

    /// Returns whether its digest is this kernel command line's, in one of the forms in which it is measured:
    /// UTF-16 with a NUL (by the kernel's stub), or text with or without a NUL (GRUB, `.cmdline`, U-Boot).
    pub fn is_command_line(&self, text: &str) -> bool {
        self.digest.is_some_and(|digest| command_line_digests(digest.algorithm(), text).contains(&digest))
    }
}

/// Returns the digests of a kernel command line, one for each form in which it is measured.
pub(crate) fn command_line_digests(algorithm: HashAlgorithm, text: &str) -> [TaggedDigest; 3] {
    let wide = load_options(text);
    let forms: [&[&[u8]]; 3] = [&[&wide], &[text.as_bytes()], &[text.as_bytes(), &[0]]];
    forms.map(|parts| algorithm.digest(parts))
}

fn is_routine(fact: &Fact<'_>) -> bool {
    match fact {
        Fact::Separator { failed } => !failed,
        Fact::UnifiedSection { part, .. } => *part == SectionPart::Name,
        Fact::UserSpace(event) => event.is_routine(),
        Fact::Action(action) => matches!(
            action,
            Action::CallingApplication | Action::ExitingBootServices | Action::ExitedBootServices
        ),
        _ => false,
    }
}

/// A summary of a boot, from tied facts only.
#[derive(Debug, Clone, Copy)]
pub struct BootFacts<'f, 'a>(&'f [EventFact<'a>]);

impl<'f, 'a> BootFacts<'f, 'a> {
    /// Summarizes the result of [`crate::eventlog::EventLog::facts`].
    pub fn new(facts: &'f [EventFact<'a>]) -> Self {
        Self(facts)
    }

    /// Returns whether the firmware enforced Secure Boot; `None` if the log does not show it.
    ///
    /// A boot loader can extend anything into PCR 7 after the separator, so only earlier events count.
    pub fn secure_boot(&self) -> Option<bool> {
        let firmware = self.tied().filter(|event| event.stage == Stage::Firmware);
        let mut states = firmware.filter_map(|event| match event.fact {
            Fact::SecureBoot(enforced) => Some(enforced),
            _ => None,
        });
        let state = states.next()?;
        states.all(|other| other == state).then_some(state)
    }

    /// Returns the firmware's version, which it measured into PCR 0 first.
    pub fn firmware_version(&self) -> Option<&'f str> {
        self.tied().filter(|event| event.stage == Stage::Firmware).find_map(|event| match &event.fact {
            Fact::FirmwareVersion(version) => Some(version.as_str()),
            _ => None,
        })
    }

    /// Returns the loaded images in order, each with its Authenticode digest.
    pub fn images(&self) -> impl Iterator<Item = &'f EventFact<'a>> + use<'f, 'a> {
        self.tied().filter(|event| matches!(event.fact, Fact::Image(_)))
    }

    /// Returns the command lines whose text is in the log.
    pub fn command_lines(&self) -> impl Iterator<Item = &'f str> + use<'f, 'a> {
        self.tied().filter_map(|event| match &event.fact {
            Fact::CommandLine(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the databases of Secure Boot, as the firmware measured them.
    pub fn databases(&self) -> impl Iterator<Item = &'f SignatureDatabase> + use<'f, 'a> {
        self.tied().filter(|event| event.stage == Stage::Firmware).filter_map(|event| match &event.fact {
            Fact::SignatureDatabase(database) => Some(database),
            _ => None,
        })
    }

    /// Returns the entries that authorized loaded images, in order.
    pub fn authorities(&self) -> impl Iterator<Item = &'f Authority> + use<'f, 'a> {
        self.tied().filter_map(|event| match &event.fact {
            Fact::Authority(authority) => Some(authority),
            _ => None,
        })
    }

    fn tied(&self) -> impl Iterator<Item = &'f EventFact<'a>> + use<'f, 'a> {
        self.0.iter().filter(|event| event.tie == Tie::Digest)
    }
}

/// An extend by systemd, decoded from the text of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserSpaceEvent {
    /// The end of firmware's and boot loader's measurements into a PCR.
    OsSeparator,
    /// A phase of boot or shutdown (PCR 11).
    Phase(&'static str),
    /// systemd created an NvPCR: `nvpcr-init:NAME:INDEX:TPM-NAME` (PCR 9).
    NvPcr(String),
    /// The end of the creation of NvPCRs at boot (PCR 9).
    NvPcrSeparator,
    /// The machine id (PCR 15).
    MachineId(String),
    /// Another text, or a text that the log does not contain completely.
    Other(String),
}

impl UserSpaceEvent {
    /// Decodes the text that systemd extended into a PCR.
    pub(crate) fn of(pcr: u8, text: &str) -> Self {
        let after = |prefix| text.strip_prefix(prefix).map(str::to_owned);
        let phase = PHASES.into_iter().find(|phase| *phase == text);
        match (pcr, phase) {
            (PHASES_PCR, Some(phase)) => Self::Phase(phase),
            (0..=7 | 9 | 12..=14, _) if text == OS_SEPARATOR => Self::OsSeparator,
            (KERNEL_PCR, _) if text == NVPCR_SEPARATOR => Self::NvPcrSeparator,
            (KERNEL_PCR, _) if text.starts_with("nvpcr-init:") => Self::NvPcr(text.to_owned()),
            (IDENTITY_PCR, _) => {
                after("machine-id:").map_or_else(|| Self::Other(text.to_owned()), Self::MachineId)
            }
            _ => Self::Other(text.to_owned()),
        }
    }

    /// Returns whether it is part of every boot.
    pub(super) fn is_routine(&self) -> bool {
        matches!(self, Self::OsSeparator | Self::Phase(_) | Self::NvPcrSeparator)
    }
}

/// The text of [`UserSpaceEvent::OsSeparator`].
pub(crate) const OS_SEPARATOR: &str = "os-separator";
pub(crate) const NVPCR_SEPARATOR: &str = "nvpcr-separator";
/// The boot phases. A soft reboot or a restarted phase repeats some of them.
const PHASES: [&str; 6] = ["enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final"];
const KERNEL_PCR: u8 = 9;
const PHASES_PCR: u8 = 11;
const IDENTITY_PCR: u8 = 15;
