use thiserror::Error;

use crate::eventlog::EventLogError;

/// Why PCR values cannot be told beforehand, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The log of the present boot cannot be read.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log shows no kernel being started in a way that is known.
    #[error("the boot event log does not show how the kernel was started: nothing can be computed from it")]
    UnknownChain,
    /// U-Boot started the kernel by itself.
    #[error(
        "U-Boot starts this device's kernel, and what U-Boot measures cannot be computed from files here: give the PCRs \
         with --pcr N=HEX, or accept the device's state after the update"
    )]
    UBoot,
    /// Kernel and initrd were given for a device that boots a unified kernel image.
    #[error("the device boots a unified kernel image: give the new one as a whole")]
    IsUnified,
    /// A unified kernel image was given for a device that boots something else.
    #[error("the device does not boot a unified kernel image: give kernel, initrd and command line")]
    IsNotUnified,
    /// There are several events where one belongs to the files.
    #[error(
        "the present boot measured {what} {count} times: it cannot be told which of them the update replaces"
    )]
    Ambiguous {
        /// What was measured.
        what: &'static str,
        /// How many times.
        count: usize,
    },
    /// One boot measures what the other does not have.
    #[error("of the present boot and the new files, one has {0} and the other has none")]
    Unmatched(&'static str),
    /// Something beside the files took part in the boot.
    #[error(
        "line {line} of the boot event log (PCR {pcr}) is of something beside the image (a command line of its own, \
         credentials or extensions), which changes what the image passes on: remove it, or accept the device's \
         state after the update"
    )]
    Addition {
        /// The event's place in the log.
        line: usize,
        /// Its PCR.
        pcr: u8,
    },
    /// The stub adds to the initrd, in an order that depends on its version.
    #[error(
        "the unified kernel image has a section .pcrsig or .pcrpkey, which the stub of the present boot adds to the \
         initrd in ways that cannot be computed: accept the device's state after the update"
    )]
    AddsToInitrd,
    /// The variable is not measured in the present boot, or several times.
    #[error(
        "the boot event log does not have {0} once, before the separator of PCR 7: nothing can be computed"
    )]
    NoDatabase(&'static str),
    /// Secure Boot would not let it start.
    #[error("Secure Boot is on and the new image is not signed: the device would not start it")]
    Unsigned,
    /// The configuration of the boot loader is measured too, and would have to be another.
    #[error(
        "the new command line is not the present one, \"{present}\": GRUB measures its configuration, which would \
         change with it in ways that cannot be computed"
    )]
    LoaderConfiguration {
        /// The command line in the log.
        present: String,
    },
    /// The files are not what the device has booted, or its boot chain does something that is not known here.
    #[error("the files do not account for PCR {0} of the present boot")]
    DoesNotExplain(u8),
}
