use super::error::PredictError;
use crate::eventlog::facts::{BootFacts, EventFact, Fact, SectionPart, Stage};

/// How the kernel was started, with the events that show it.
#[derive(Debug)]
pub(super) enum Chain<'f, 'a> {
    /// By systemd-stub, out of a unified kernel image.
    Unified(LoggedBoot<'f, 'a>),
    /// By the firmware or systemd-boot, through the kernel's own EFI stub.
    Stub(LoggedBoot<'f, 'a>),
    /// By GRUB.
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

    /// Returns the only event for which `is` holds; `None` if there is none. Several are an error.
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
