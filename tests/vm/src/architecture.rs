//! The differences between the machines.

use clap::ValueEnum;
use pawl_proto::message::TrustTier;

/// The machine type. Secure Boot requires `smm=on`: only firmware in system management mode may write its variables. Without
/// `sata=off,smbus=off` the kernel would load drivers for controllers that the test does not use.
const MACHINE: &str = "q35,smm=on,sata=off,smbus=off";

/// All features that QEMU emulates, except those that slow an emulated boot down by a fifth: 32-byte vectors, five-level page
/// tables, and supervisor mode access prevention.
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
    /// Returns the name that QEMU, the kernel and Rust use.
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

    /// Returns QEMU's options for the machine, the processor and the TPM.
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

    /// Returns the path of the host's firmware.
    pub(crate) fn firmware(self) -> &'static str {
        match self {
            Self::X86_64 => "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
            Self::Aarch64 => "/usr/share/AAVMF/AAVMF_CODE.fd",
        }
    }

    /// Returns the path of firmware variables with Secure Boot on and the key that Debian publishes for tests.
    pub(crate) fn variables(self) -> &'static str {
        match self {
            Self::X86_64 => "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
            Self::Aarch64 => "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd",
        }
    }

    /// Returns the tier of an approved boot. On aarch64, Debian's kernel finds the TPM after IMA has looked for it, so the IMA
    /// log is not anchored in the TPM.
    pub(crate) fn verdict(self) -> TrustTier {
        match self {
            Self::X86_64 => TrustTier::Affirming,
            Self::Aarch64 => TrustTier::Warning,
        }
    }

    /// Returns the device of the kernel's console.
    pub(crate) fn console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}
