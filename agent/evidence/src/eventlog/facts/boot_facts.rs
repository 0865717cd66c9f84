use super::authority::Authority;
use super::event_fact::{EventFact, Stage, Tie};
use super::fact::Fact;
use super::signatures::SignatureDatabase;

/// What a boot amounts to, by its tied facts alone.
#[derive(Debug, Clone, Copy)]
pub struct BootFacts<'f, 'a>(&'f [EventFact<'a>]);

impl<'f, 'a> BootFacts<'f, 'a> {
    /// Takes what [`super::super::EventLog::facts`] gave.
    pub fn new(facts: &'f [EventFact<'a>]) -> Self {
        Self(facts)
    }

    /// Whether the firmware enforced Secure Boot; `None` when the log does not tell.
    ///
    /// A boot loader can extend whatever it likes into PCR 7, but not before the separator, so only what comes
    /// before that counts.
    pub fn secure_boot(&self) -> Option<bool> {
        let firmware = self.tied().filter(|event| event.stage == Stage::Firmware);
        let mut states = firmware.filter_map(|event| match event.fact {
            Fact::SecureBoot(enforced) => Some(enforced),
            _ => None,
        });
        let state = states.next()?;
        states.all(|other| other == state).then_some(state)
    }

    /// The firmware's version, as it measured it into PCR 0 before all else.
    pub fn firmware_version(&self) -> Option<&'f str> {
        self.tied().filter(|event| event.stage == Stage::Firmware).find_map(|event| match &event.fact {
            Fact::FirmwareVersion(version) => Some(version.as_str()),
            _ => None,
        })
    }

    /// The images that were loaded, in order; each with its Authenticode digest.
    pub fn images(&self) -> impl Iterator<Item = &'f EventFact<'a>> + use<'f, 'a> {
        self.tied().filter(|event| matches!(event.fact, Fact::Image(_)))
    }

    /// The command lines of which the log has the text.
    pub fn command_lines(&self) -> impl Iterator<Item = &'f str> + use<'f, 'a> {
        self.tied().filter_map(|event| match &event.fact {
            Fact::CommandLine(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The databases of Secure Boot, as the firmware measured them.
    pub fn databases(&self) -> impl Iterator<Item = &'f SignatureDatabase> + use<'f, 'a> {
        self.tied().filter(|event| event.stage == Stage::Firmware).filter_map(|event| match &event.fact {
            Fact::SignatureDatabase(database) => Some(database),
            _ => None,
        })
    }

    /// What vouched for images that were loaded, in order.
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
