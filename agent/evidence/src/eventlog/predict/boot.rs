//! The present boot: the boot chain that its log shows, and the events that a prediction replaces.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thiserror::Error;

use crate::boot_image::DigestSet;
use crate::eventlog::facts::{BootFacts, EventFact, Fact, SectionPart, Stage};
use crate::eventlog::log::EventLogError;
use crate::tpm::TaggedDigest;

/// The software that started the kernel, with the events of the boot.
#[derive(Debug)]
pub(super) enum Chain<'f, 'a> {
    /// systemd-stub, from a unified kernel image.
    Unified(LoggedBoot<'f, 'a>),
    /// The firmware or systemd-boot, through the kernel's own EFI stub.
    Stub(LoggedBoot<'f, 'a>),
    /// GRUB.
    Grub(LoggedBoot<'f, 'a>),
}

/// The events of a boot, searched for those that belong to the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoggedBoot<'f, 'a>(&'f [EventFact<'a>]);

impl<'f, 'a> Chain<'f, 'a> {
    pub(super) fn of(facts: &'f [EventFact<'a>]) -> Result<Self, PredictError> {
        let has = |is: fn(&Fact<'_>) -> bool| facts.iter().any(|event| is(&event.fact));
        if has(|fact| *fact == Fact::Kernel) {
            Err(PredictError::UBoot)
        } else if has(is_kernel_section) {
            Ok(Self::Unified(LoggedBoot(facts)))
        } else if has(|fact| matches!(fact, Fact::LoaderCommand(_))) {
            Ok(Self::Grub(LoggedBoot(facts)))
        } else if has(|fact| matches!(fact, Fact::LoadOptions | Fact::Initrd)) {
            Ok(Self::Stub(LoggedBoot(facts)))
        } else {
            Err(PredictError::UnknownChain)
        }
    }
}

impl<'f, 'a> LoggedBoot<'f, 'a> {
    pub(super) fn all(self) -> impl DoubleEndedIterator<Item = &'f EventFact<'a>> {
        self.0.iter()
    }

    /// Returns the images that a boot loader or the firmware's boot manager started.
    pub(super) fn images(self) -> impl DoubleEndedIterator<Item = &'f EventFact<'a>> {
        self.all().filter(|event| event.stage == Stage::Loader && matches!(event.fact, Fact::Image(_)))
    }

    /// Returns the only event for which `is` returns true; `None` if there is none. Several are an error.
    pub(super) fn only(
        self,
        what: &'static str,
        is: impl Fn(&Fact<'a>) -> bool,
    ) -> Result<Option<&'f EventFact<'a>>, PredictError> {
        let mut found = self.all().filter(|event| is(&event.fact));
        let first = found.next();
        match found.count() {
            0 => Ok(first),
            more => Err(PredictError::Ambiguous { what, count: more.saturating_add(1) }),
        }
    }

    /// Checks that an image is signed if Secure Boot is on.
    pub(super) fn starts(self, is_signed: bool) -> Result<(), PredictError> {
        let enforced = BootFacts::new(self.0).secure_boot() == Some(true);
        if enforced && !is_signed { Err(PredictError::Unsigned) } else { Ok(()) }
    }
}

pub(super) fn is_kernel_section(fact: &Fact<'_>) -> bool {
    matches!(fact, Fact::UnifiedSection { name, part: SectionPart::Content } if name == ".linux")
}

/// The replaced events, by their place in the log, with their new digests.
#[derive(Debug, Default)]
pub(super) struct Replacements<'a>(BTreeMap<usize, Cow<'a, DigestSet>>);

impl<'a> Replacements<'a> {
    pub(super) fn by(mut self, event: &EventFact<'_>, digests: &'a DigestSet) -> Self {
        self.0.insert(event.number, Cow::Borrowed(digests));
        self
    }

    pub(super) fn by_content(mut self, event: &EventFact<'_>, content: &[u8]) -> Self {
        self.0.insert(event.number, Cow::Owned(DigestSet::of(content)));
        self
    }

    /// Returns the new digest for an event of the present log.
    pub(super) fn digest(&self, number: usize, present: &TaggedDigest) -> TaggedDigest {
        let replaced = self.0.get(&number).and_then(|digests| digests.get(present.algorithm()));
        *replaced.unwrap_or(present)
    }
}

/// Why PCR values cannot be predicted, in an operator's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The log of the present boot is malformed.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log does not show a known way of starting a kernel.
    #[error("the boot event log does not show how the kernel was started: nothing can be computed from it")]
    UnknownChain,
    /// U-Boot started the kernel itself.
    #[error(
        "U-Boot starts this device's kernel, and what U-Boot measures cannot be computed from files here: give the PCRs \
         with --pcr N=HEX, or accept the device's state after the update"
    )]
    UBoot,
    /// Kernel and initrd were given for a device that boots a unified kernel image.
    #[error("the device boots a unified kernel image: give the new one as a whole")]
    IsUnified,
    /// A unified kernel image was given for a device that boots something else.
    #[error("the device does not boot a unified kernel image: give kernel, initrd and command line")]
    IsNotUnified,
    /// The log has several events for one of the files.
    #[error(
        "the present boot measured {what} {count} times: it is not known which of them the update replaces"
    )]
    Ambiguous {
        /// What was measured.
        what: &'static str,
        /// The number of events.
        count: usize,
    },
    /// Only one of the present boot and the new files has this part.
    #[error("of the present boot and the new files, one has {0} and the other has none")]
    Unmatched(&'static str),
    /// Something other than the files took part in the boot.
    #[error(
        "line {line} of the boot event log (PCR {pcr}) shows an addition to the image (a separate command line, \
         credentials or extensions), which changes what the stub passes to the kernel: remove it, or accept the \
         device's state after the update"
    )]
    Addition {
        /// The event's place in the log.
        line: usize,
        /// Its PCR.
        pcr: u8,
    },
    /// The stub adds to the initrd in an order that depends on its version.
    #[error(
        "the unified kernel image has a section .pcrsig or .pcrpkey, which the stub of the present boot adds to the \
         initrd in ways that cannot be computed: accept the device's state after the update"
    )]
    AddsToInitrd,
    /// The present boot does not measure the variable exactly once.
    #[error(
        "the boot event log does not contain {0} exactly once before the separator of PCR 7: nothing can be computed"
    )]
    NoDatabase(&'static str),
    /// Secure Boot would refuse it.
    #[error("Secure Boot is on and the new image is not signed: the device would not start it")]
    Unsigned,
    /// The boot loader's configuration is measured too, and would have to change.
    #[error(
        "the new command line is not the present one, \"{present}\": GRUB measures its configuration, which would \
         change with it in ways that cannot be computed"
    )]
    LoaderConfiguration {
        /// The command line in the log.
        present: String,
    },
    /// The files are not the ones that the device booted, or its boot chain is not supported.
    #[error("the files do not account for PCR {0} of the present boot")]
    DoesNotExplain(u8),
}
