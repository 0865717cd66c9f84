//! What differs between the releases of Debian.

use clap::ValueEnum;

/// A release of Debian that a machine boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// Debian 12: systemd 252, Linux 6.1, an initrd of our own, the host's firmware.
    Bookworm,
    /// Debian 13: systemd 257, Linux 6.12.
    Trixie,
    /// Debian testing: systemd 262, Linux 7, which keep logs of their own in userspace.
    Forky,
}

impl Release {
    /// As Debian calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    /// Memory of a machine, MiB. An initrd with systemd in it is in memory twice.
    pub(crate) fn memory(self) -> u32 {
        match self {
            Self::Bookworm => 512,
            Self::Trixie | Self::Forky => 1024,
        }
    }

    /// Units that fail by themselves: our images carry no signed PCR policy, without which systemd makes no NvPCRs.
    pub(crate) fn failing_units(self) -> &'static [&'static str] {
        match self {
            Self::Bookworm | Self::Trixie => &[],
            Self::Forky => &[
                "systemd-pcrproduct.service",
                "systemd-tpm2-setup-early.service",
                "systemd-tpm2-setup.service",
            ],
        }
    }

    /// Whether systemd keeps a log of what it measures.
    pub(crate) fn logs_userspace(self) -> bool {
        self == Self::Forky
    }
}
