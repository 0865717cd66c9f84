//! Displays facts in a technician's words.

use std::fmt;
use std::fmt::Write as _;

use super::fact::{EventFact, Fact, SectionPart, Tie, UserSpaceEvent};
use super::firmware::{FirmwareContent, FirmwarePart};
use super::image::{Image, ImageRole};
use super::signatures::{Authority, DatabaseName, Signature, SignatureDatabase};
use crate::eventlog::log::NO_PCR;

impl fmt::Display for EventFact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pcr {
            NO_PCR => write!(f, "{}, no PCR: {}", self.place(), self.fact)?,
            pcr => write!(f, "{}, PCR {pcr}: {}", self.place(), self.fact)?,
        }
        if let (Some(digest), Some(kind), Fact::Other) = (&self.digest, &self.kind, &self.fact) {
            write!(f, " of kind {kind}, digest {digest}")?;
        }
        match self.tie {
            Tie::Claim if self.digest.is_some() => f.write_str(" (a claim: no digest covers it)"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Fact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecureBoot(true) => f.write_str("Secure Boot is on"),
            Self::SecureBoot(false) => f.write_str("Secure Boot is off"),
            Self::SignatureDatabase(database) => database.fmt(f),
            Self::Variable(variable) => write!(f, "variable {}", Plain(&variable.name)),
            Self::Authority(authority) => authority.fmt(f),
            Self::BootOrder(order) => {
                let order: Vec<_> = order.iter().map(|number| format!("{number:04X}")).collect();
                write!(f, "boot order {}", order.join(", "))
            }
            Self::BootOption(option) => {
                write!(f, "boot option {:04X} \"{}\"", option.number, Plain(&option.description))
            }
            Self::Image(image) => image.fmt(f),
            Self::Partitions(table) => {
                write!(f, "disk {} with {} partitions", table.disk, table.partitions.len())
            }
            Self::FirmwareVersion(version) => write!(f, "firmware version \"{version}\""),
            Self::FirmwareContent(content) => content.fmt(f),
            Self::CommandLine(text) => write!(f, "command line \"{}\"", Plain(text)),
            Self::LoadOptions => f.write_str("the kernel's command line, by its digest"),
            Self::LoaderCommand(text) => write!(f, "boot loader command \"{}\"", Plain(text)),
            Self::Kernel => f.write_str("the kernel, loaded by U-Boot"),
            Self::LoadedFile { path } => write!(f, "file {}", Plain(path)),
            Self::Initrd => f.write_str("the initrd"),
            Self::UnifiedSection { name, part: SectionPart::Name } => write!(f, "name of section {name}"),
            Self::UnifiedSection { name, part: SectionPart::Content } => write!(f, "section {name}"),
            Self::MachineOwnerKeys { name } => write!(f, "shim's {}", Plain(name)),
            Self::LoaderData(data) => match (data.description.as_str(), data.tag) {
                ("", Some(tag)) => write!(f, "data of the boot loader, tag {tag:#010x}"),
                (description, _) => write!(f, "data of the boot loader: {}", Plain(description)),
            },
            Self::MachineTable => f.write_str("the SMBIOS table with the machine's UUID and serial number"),
            Self::UserSpace(event) => event.fmt(f),
            Self::Separator { failed: false } => f.write_str("separator"),
            Self::Separator { failed: true } => {
                f.write_str("separator that reports a failure of the firmware")
            }
            Self::Action(action) => Plain(action.as_str()).fmt(f),
            Self::StartupLocality(locality) => write!(f, "the TPM was started from locality {locality}"),
            Self::Unmeasured => f.write_str("a remark, extended into no PCR"),
            Self::Other => f.write_str("an unknown event"),
        }
    }
}

impl fmt::Display for UserSpaceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OsSeparator => f.write_str("os-separator"),
            Self::Phase(word) => write!(f, "phase {word}"),
            Self::NvPcr(text) => Plain(text).fmt(f),
            Self::NvPcrSeparator => f.write_str("nvpcr-separator"),
            Self::MachineId(id) => write!(f, "machine id {}", Plain(id)),
            Self::Other(text) => write!(f, "\"{}\" from user space", Plain(text)),
        }
    }
}

impl fmt::Display for SignatureDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entries.len() {
            0 => write!(f, "{} is empty", self.which),
            1 => write!(f, "{} with 1 entry", self.which),
            count => write!(f, "{} with {count} entries", self.which),
        }
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an image was allowed by {} in {}", self.entry.signature, Plain(&self.variable))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(certificate) => match &certificate.subject {
                Some(subject) => write!(f, "\"{}\"", Plain(subject)),
                None => write!(f, "certificate {}", certificate.fingerprint),
            },
            Self::Image(digest) => write!(f, "digest {digest}"),
            Self::Other(kind) => write!(f, "an entry of type {kind}"),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.role {
            ImageRole::Application => "image",
            ImageRole::BootDriver => "boot driver",
            ImageRole::RuntimeDriver => "runtime driver",
        })?;
        match &self.path {
            Some(path) => write!(f, " {}", Plain(path)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FirmwareContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.part {
            FirmwarePart::RootOfTrust => "the firmware's root of trust",
            FirmwarePart::Code => "firmware code",
            FirmwarePart::Microcode => "microcode",
            FirmwarePart::Tables => "tables of the firmware",
            FirmwarePart::MachineTables => "the firmware's SMBIOS tables",
            FirmwarePart::DeviceTree => "device tree",
            FirmwarePart::Configuration => "firmware configuration",
            FirmwarePart::OtherProcessor => "firmware of another processor",
            FirmwarePart::Device => "firmware of a device",
        })?;
        match self.description.as_str() {
            "" => Ok(()),
            description => write!(f, " \"{}\"", Plain(description)),
        }
    }
}

/// Displays a text from a log on one line of a terminal; escapes everything but plain characters.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' | '"' | '\'' => f.write_char(c),
            c => c.escape_debug().fmt(f),
        })
    }
}
