use super::action::Action;
use super::fact::{Fact, SectionPart};
use super::text::load_options;
use crate::eventlog::kind::EventKind;
use crate::tpm::{HashAlgorithm, TaggedDigest};

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
    /// Only the event's data states it, and anybody can write that: display it, never judge by it.
    Claim,
}

/// When an event was extended into its PCR. The separator's digest decides, whatever the log calls the event:
/// only firmware can have extended what comes before the separator.
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
