use super::authority::Authority;
use super::event_fact::{EventFact, Stage, Tie};
use super::fact::Fact;
use super::signatures::SignatureDatabase;

/// A summary of a boot, from tied facts only.
#[derive(Debug, Clone, Copy)]
pub struct BootFacts<'f, 'a>(&'f [EventFact<'a>]);

impl<'f, 'a> BootFacts<'f, 'a> {
    /// Takes the result of [`super::super::EventLog::facts`].
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
