use super::action::Action;
use super::fact::{Fact, SectionPart};
use super::text::load_options;
use crate::eventlog::kind::EventKind;
use crate::tpm::{Digest, HashAlgorithm};

/// One event of a log and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFact<'a> {
    /// The event's place in its log as people count: the first after a Spec ID header is 1, as in
    /// `tpm2_eventlog`. [`Stage::UserSpace`] has a log of its own.
    pub number: usize,
    /// Where it begins, in bytes from the start of that log.
    pub offset: usize,
    /// The PCR that it was extended into, or [`NO_PCR`](crate::eventlog::NO_PCR).
    pub pcr: u8,
    /// What kind the firmware's log says it is of. Covered by no digest; systemd's log has none.
    pub kind: Option<EventKind>,
    /// What was extended in the bank by which the log was read; `None` when nothing was.
    pub digest: Option<Digest>,
    /// What the fact is worth.
    pub tie: Tie,
    /// When it was extended.
    pub stage: Stage,
    /// What it says.
    pub fact: Fact<'a>,
}

/// What a fact is worth once the log replays to quoted PCRs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tie {
    /// The digest covers the data that it was decoded from, or the fact is that digest. Names beside
    /// such a digest are still claims; the variants of [`Fact`] say where.
    Digest,
    /// It stands in the event's data alone, where anybody can write anything: to be shown, never judged on.
    Claim,
}

/// When an event was extended, seen from its PCR. Told by the separator's digest, whatever the log calls it: what
/// comes before it can have come from the firmware alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Up to and with the PCR's separator.
    Firmware,
    /// After it, when boot loaders run; also anything in a PCR that has no separator.
    Loader,
    /// While the system ran: from systemd's log.
    UserSpace,
}

impl EventFact<'_> {
    /// Whether it is tied and belongs to any boot without telling one from another: separators, the actions of
    /// a boot that goes on, names of the sections of a unified kernel image, systemd's separators and phases, and what
    /// is extended nowhere.
    pub fn is_routine(&self) -> bool {
        match &self.fact {
            Fact::StartupLocality(_) | Fact::Unmeasured => true,
            fact => self.tie == Tie::Digest && is_routine(fact),
        }
    }

    /// Where it stands, for people: `line 7`, or `record 7 of systemd's log`.
    pub fn place(&self) -> String {
        match self.stage {
            Stage::UserSpace => format!("record {} of systemd's log", self.number),
            Stage::Firmware | Stage::Loader => format!("line {}", self.number),
        }
    }

    /// Whether its digest is that of this kernel command line, in one of the forms in which it is measured:
    /// UTF-16 with a NUL (what the kernel was given), or text with or without a NUL (GRUB, `.cmdline`, U-Boot).
    pub fn is_command_line(&self, text: &str) -> bool {
        self.digest.is_some_and(|digest| command_line_digests(digest.algorithm(), text).contains(&digest))
    }
}

/// The digests of a kernel command line, one for each of the forms in which it is measured.
pub(crate) fn command_line_digests(algorithm: HashAlgorithm, text: &str) -> [Digest; 3] {
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
