/// What systemd extended, by the text that its record's digest covers.
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
    /// Reads the text that was extended into a PCR.
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
/// A soft reboot or a restarted phase repeats some of them.
const PHASES: [&str; 6] = ["enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final"];
const KERNEL_PCR: u8 = 9;
const PHASES_PCR: u8 = 11;
const IDENTITY_PCR: u8 = 15;
