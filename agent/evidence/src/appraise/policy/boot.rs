use crate::eventlog::{BOOT_PHASES_PCR, BootFacts, EventFact, EventLog, EventLogError};
use crate::tpm::{Digest, HashAlgorithm, PcrValues};

/// Extended into [`BOOT_PHASES_PCR`] in the order in which they come; the TPM's driver may miss the first of them.
const BOOT_PHASES: [&str; 4] = ["enter-initrd", "leave-initrd", "sysinit", "ready"];

/// A boot as its log tells it, as far as a quote vouches for that.
pub(in crate::appraise) struct Boot<'a> {
    vouched: Vouched<'a>,
    facts: Vec<EventFact<'a>>,
}

/// Which PCRs a log accounts for.
struct Vouched<'a> {
    quoted: &'a PcrValues,
    replayed: PcrValues,
}

impl<'a> Boot<'a> {
    pub(in crate::appraise) fn read(log: &'a [u8], quoted: &'a PcrValues) -> Result<Self, EventLogError> {
        let log = EventLog::parse(log)?;
        let vouched = Vouched { quoted, replayed: log.replay()? };
        let mut facts = log.facts()?;
        facts.retain(|event| vouched.has(event.pcr));
        Ok(Self { vouched, facts })
    }

    /// A boot of which there is no log.
    pub(super) fn unlogged(quoted: &'a PcrValues) -> Self {
        Self { vouched: Vouched { quoted, replayed: PcrValues::default() }, facts: Vec::new() }
    }

    /// The events of the PCRs that the quote vouches for, in order.
    pub(in crate::appraise) fn events(&self) -> &[EventFact<'a>] {
        &self.facts
    }

    /// What it amounts to.
    pub(in crate::appraise) fn facts(&self) -> BootFacts<'_, 'a> {
        BootFacts::new(&self.facts)
    }

    /// A quoted value of the bank by which everything is judged.
    pub(super) fn quoted(&self, pcr: u8) -> Option<&Digest> {
        self.vouched.quoted.get(HashAlgorithm::Sha256, pcr)
    }

    /// Whether the events of this PCR give its quoted value; without any, whether it was never extended.
    pub(super) fn accounts_for(&self, pcr: u8) -> bool {
        self.vouched.has(pcr)
    }
}

impl Vouched<'_> {
    fn has(&self, pcr: u8) -> bool {
        let Some(quoted) = self.quoted.get(HashAlgorithm::Sha256, pcr) else { return false };
        let logged = self.replayed.get(HashAlgorithm::Sha256, pcr).copied().unwrap_or_else(|| at_reset(pcr));
        *quoted == logged || (pcr == BOOT_PHASES_PCR && phases_lead(&logged, quoted))
    }
}

/// What a PCR holds before anything is extended (TCG PC Client Platform TPM Profile, section 4.6).
fn at_reset(pcr: u8) -> Digest {
    Digest::filled(HashAlgorithm::Sha256, if (17..=22).contains(&pcr) { 0xff } else { 0 })
}

/// Whether some of the phases of a boot, in their order, lead from the one value to the other.
fn phases_lead(from: &Digest, to: &Digest) -> bool {
    (0..1_u8 << BOOT_PHASES.len()).any(|some| {
        let phases = BOOT_PHASES.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1);
        let value = phases.fold(*from, |value, (_, phase)| {
            value.extend(HashAlgorithm::Sha256.digest(&[phase.as_bytes()]).as_bytes())
        });
        value == *to
    })
}
