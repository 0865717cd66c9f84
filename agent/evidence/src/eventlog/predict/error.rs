use thiserror::Error;

use crate::eventlog::EventLogError;

/// Why PCR values cannot be predicted, in an operator's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The log of the present boot is malformed.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log does not show a known way of starting a kernel.
    #[error("the boot event log does not show how the kernel was started: nothing can be computed from it")]
    UnknownChain,
    /// U-Boot started the kernel itself.
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
    /// The log has several events for one of the files.
    #[error(
        "the present boot measured {what} {count} times: it cannot be told which of them the update replaces"
    )]
    Ambiguous {
        /// What was measured.
        what: &'static str,
        /// The number of events.
        count: usize,
    },
    /// Only one of the present boot and the new files has this part.
    #[error("of the present boot and the new files, one has {0} and the other has none")]
    Unmatched(&'static str),
    /// Something other than the files took part in the boot.
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
    /// The stub adds to the initrd in an order that depends on its version.
    #[error(
        "the unified kernel image has a section .pcrsig or .pcrpkey, which the stub of the present boot adds to the \
         initrd in ways that cannot be computed: accept the device's state after the update"
    )]
    AddsToInitrd,
    /// The present boot does not measure the variable exactly once.
    #[error(
        "the boot event log does not have {0} once, before the separator of PCR 7: nothing can be computed"
    )]
    NoDatabase(&'static str),
    /// Secure Boot would refuse it.
    #[error("Secure Boot is on and the new image is not signed: the device would not start it")]
    Unsigned,
    /// The boot loader's configuration is measured too, and would have to change.
    #[error(
        "the new command line is not the present one, \"{present}\": GRUB measures its configuration, which would \
         change with it in ways that cannot be computed"
    )]
    LoaderConfiguration {
        /// The command line in the log.
        present: String,
    },
    /// The files are not the ones that the device booted, or its boot chain is not supported.
    #[error("the files do not account for PCR {0} of the present boot")]
    DoesNotExplain(u8),
}
