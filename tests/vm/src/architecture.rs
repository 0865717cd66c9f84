//! What differs between the machines.

use clap::ValueEnum;
use pawl_proto::message::TrustTier;

/// Only firmware in system management mode writes the variables of Secure Boot. For controllers of which nothing is used
/// the kernel would load drivers.
const MACHINE: &str = "q35,smm=on,sata=off,smbus=off";

/// All that QEMU emulates, but for what makes an emulated boot slower by a fifth: vectors of 32 bytes, another level of
/// page tables, and the processor's guard over each copy from user space.
const PROCESSOR: &str = "max,avx=off,avx2=off,bmi1=off,bmi2=off,la57=off,smap=off";

/// A machine that QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// q35 with OVMF and a TPM behind CRB.
    #[value(name = "x86_64")]
    X86_64,
    /// virt with AAVMF and a TPM behind TIS.
    #[value(name = "aarch64")]
    Aarch64,
}

impl Architecture {
    /// As QEMU, the kernel and Rust call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    pub(crate) fn emulator(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// Machine, processor, TPM and whatever else QEMU must be told.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &[
                "-machine",
                MACHINE,
                "-global",
                "driver=cfi.pflash01,property=secure,value=on",
                "-cpu",
                PROCESSOR,
                "-device",
                "tpm-crb,tpmdev=tpm",
            ],
            Self::Aarch64 => &[
                "-machine",
                "virt,gic-version=3",
                "-cpu",
                "cortex-a72",
                "-device",
                "tpm-tis-device,tpmdev=tpm",
            ],
        }
    }

    /// The host's firmware.
    pub(crate) fn firmware(self) -> &'static str {
        match self {
            Self::X86_64 => "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
            Self::Aarch64 => "/usr/share/AAVMF/AAVMF_CODE.fd",
        }
    }

    /// Variables in which Secure Boot is on, with the key that Debian publishes for tests.
    pub(crate) fn variables(self) -> &'static str {
        match self {
            Self::X86_64 => "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
            Self::Aarch64 => "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd",
        }
    }

    /// What a verdict on a good boot says. Debian's kernel for arm64 finds its TPM after IMA has looked for it,
    /// so that nothing ties the IMA log to the TPM.
    pub(crate) fn verdict(self) -> TrustTier {
        match self {
            Self::X86_64 => TrustTier::Affirming,
            Self::Aarch64 => TrustTier::Warning,
        }
    }

    /// Where the kernel's messages go.
    pub(crate) fn console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}
