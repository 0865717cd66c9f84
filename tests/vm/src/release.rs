//! The differences between the releases of Debian.

use clap::ValueEnum;

/// A release of Debian that a machine boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// Debian 12: systemd 252, Linux 6.1, an initrd of our own, the host's firmware.
    Bookworm,
    /// Debian 13: systemd 257, Linux 6.12.
    Trixie,
    /// Debian testing: systemd 262, which logs its measurements, and Linux 7.
    Forky,
}

impl Release {
    /// Returns Debian's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    /// Returns the memory of a machine, MiB. An initrd with systemd is large, and the kernel has it in memory twice.
    pub(crate) fn memory(self) -> u32 {
        match self {
            Self::Bookworm => 512,
            Self::Trixie | Self::Forky => 1024,
        }
    }

    /// Returns the units that always fail: our images have no signed PCR policy, without which systemd creates no NvPCRs.
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

    /// Returns whether systemd logs its measurements.
    pub(crate) fn logs_userspace(self) -> bool {
        self == Self::Forky
    }
}
