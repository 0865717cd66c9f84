use std::collections::BTreeSet;

use pawl_proto::message::{Area, TrustTier};
use thiserror::Error;

use super::boot::Boot;
use super::evidence::{AppraisedEvidence, ReferenceValues};
use super::reason::Reason;
use crate::eventlog::{EventFact, EventLogError, Fact, SectionPart, Stage};
use crate::tpm::{PcrSelection, PcrValues};

/// The PCR into which firmware measures the images that it starts.
const IMAGES_PCR: u8 = 4;
/// The PCR into which firmware measures Secure Boot's state and keys.
const SECURE_BOOT_PCR: u8 = 7;
/// The PCR into which systemd-boot and systemd-stub measure command lines.
const LOADER_PCR: u8 = 12;
/// The PCR into which U-Boot measures the command line.
const BOOTARGS_PCR: u8 = 1;
/// The PCRs into which firmware and boot loaders measure kernels.
const KERNEL_PCRS: [u8; 3] = [IMAGES_PCR, 8, 9];

/// The PCRs into which a boot chain measured the kernel and its command line. Only events that a quote confirms
/// count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootCoverage {
    /// Alternatives: a lease covers the kernel if it names all PCRs of one of them.
    kernel: Vec<BTreeSet<u8>>,
    /// Alternatives for the command line.
    command_line: Vec<BTreeSet<u8>>,
}

/// The part of the boot that a lease would leave unprotected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Uncovered {
    /// The kernel.
    #[error(
        "no PCR of the lease covers the kernel, so the lease would work under any kernel: use a boot \
         chain that measures it (UEFI, GRUB, systemd-boot, U-Boot with CONFIG_MEASURED_BOOT), and name its PCR in \
         lease.pcrs"
    )]
    Kernel,
    /// Its command line.
    #[error(
        "no PCR of the lease covers the kernel's command line, so the lease would work under any, such as \
         init=/bin/sh: use a boot chain that measures it (UEFI, GRUB, systemd-boot, U-Boot with CONFIG_MEASURED_BOOT \
         and bootargs that are not empty), and name its PCR in lease.pcrs"
    )]
    CommandLine,
}

impl BootCoverage {
    /// Reads a boot event log, and systemd's measurement log if there is one. Ignores events of PCRs whose
    /// quoted value the logs do not explain.
    ///
    /// # Errors
    /// If the boot event log is malformed or empty.
    pub fn of_log(log: &[u8], measure_log: Option<&[u8]>, quoted: &PcrValues) -> Result<Self, EventLogError> {
        Ok(Self::of_boot(&Boot::read(log, measure_log, quoted)?))
    }

    pub(super) fn of_boot(boot: &Boot<'_>) -> Self {
        let events = boot.events();
        let has = |is: fn(&EventFact<'_>) -> bool| events.iter().any(is);
        let pcrs = |is: fn(&EventFact<'_>) -> bool| -> Vec<BTreeSet<u8>> {
            let pcrs: BTreeSet<u8> = events.iter().filter(|event| is(event)).map(|event| event.pcr).collect();
            pcrs.into_iter().map(|pcr| [pcr].into()).collect()
        };
        if has(|event| event.fact == Fact::Kernel) {
            // If bootargs is empty, the kernel takes its command line from the device tree.
            let command_line = pcrs(|event| {
                matches!(&event.fact, Fact::CommandLine(text) if !text.is_empty())
                    && event.pcr == BOOTARGS_PCR
            });
            return Self { kernel: pcrs(|event| event.fact == Fact::Kernel), command_line };
        }
        if has(is_unified_kernel) {
            return Self { kernel: pcrs(is_started_image), command_line: unified_command_line(boot) };
        }
        // Events with the text or only the digest of the command line.
        let command_line = pcrs(|event| matches!(event.fact, Fact::CommandLine(_) | Fact::LoadOptions));
        let is_grub = has(|event| matches!(event.fact, Fact::LoadedFile { .. } | Fact::LoaderCommand(_)));
        let kernel = match is_grub {
            true => pcrs(|event| matches!(event.fact, Fact::LoadedFile { .. })),
            false => pcrs(is_started_image),
        };
        Self { kernel, command_line }
    }

    /// Returns the PCRs that a lease must name in addition to these.
    pub fn missing_from(&self, lease: &BTreeSet<u8>) -> BTreeSet<u8> {
        let missing = |alternatives: &[BTreeSet<u8>]| {
            let missing = alternatives.iter().map(|pcrs| pcrs.difference(lease).copied().collect());
            missing.min_by_key(BTreeSet::len).unwrap_or_default()
        };
        missing(&self.kernel).into_iter().chain(missing(&self.command_line)).collect()
    }

    /// Returns whether these PCRs cover the command line.
    pub(super) fn has_command_line_in(&self, pcrs: &BTreeSet<u8>) -> bool {
        is_covered(&self.command_line, pcrs)
    }

    /// Checks that these PCRs cover the kernel and the command line.
    ///
    /// # Errors
    /// [`Uncovered`] names what is not covered.
    pub fn check(&self, pcrs: &BTreeSet<u8>) -> Result<(), Uncovered> {
        match (is_covered(&self.kernel, pcrs), is_covered(&self.command_line, pcrs)) {
            (true, true) => Ok(()),
            (false, _) => Err(Uncovered::Kernel),
            (true, false) => Err(Uncovered::CommandLine),
        }
    }
}

fn is_covered(alternatives: &[BTreeSet<u8>], pcrs: &BTreeSet<u8>) -> bool {
    alternatives.iter().any(|all| all.is_subset(pcrs))
}

/// Returns whether any PCR of the lease into which kernels are measured was extended. Without a log, only this
/// shows whether the boot chain measures kernels: a PCR that was never extended holds zeros.
pub(super) fn has_extended_kernel_pcr(quoted: &PcrValues, lease: &PcrSelection) -> bool {
    let mut leased = lease.iter().filter(|(_, index)| KERNEL_PCRS.contains(index));
    leased.any(|(bank, index)| {
        quoted.get(bank, index).is_some_and(|value| value.as_bytes().iter().any(|byte| *byte != 0))
    })
}

/// Returns the PCRs that cover the command line of a unified kernel image. If the kernel's EFI stub measures the
/// command line, its PCR does. Otherwise the image contains the line; a replacement is measured into PCR 12, and
/// Secure Boot forbids it altogether.
fn unified_command_line(boot: &Boot<'_>) -> Vec<BTreeSet<u8>> {
    let options = boot.events().iter().filter(|event| event.fact == Fact::LoadOptions);
    let mut alternatives: BTreeSet<BTreeSet<u8>> = options.map(|event| [event.pcr].into()).collect();
    alternatives.insert([IMAGES_PCR, LOADER_PCR].into());
    if boot.facts().secure_boot() == Some(true) {
        alternatives.insert([IMAGES_PCR, SECURE_BOOT_PCR].into());
    }
    alternatives.into_iter().collect()
}

fn is_unified_kernel(event: &EventFact<'_>) -> bool {
    matches!(&event.fact, Fact::UnifiedSection { name, part: SectionPart::Content } if name == ".linux")
}

fn is_started_image(event: &EventFact<'_>) -> bool {
    event.pcr == IMAGES_PCR && event.stage == Stage::Loader && matches!(event.fact, Fact::Image(_))
}

/// Returns the selected PCRs of the sole bank that appraisal uses.
pub(super) fn indices(selection: &PcrSelection) -> BTreeSet<u8> {
    selection.iter().map(|(_, index)| index).collect()
}

const COVERAGE: &str = "boot.coverage";

/// Returns a reason if a lease would work under any kernel or command line. The events of a log show this; without a
/// log, PCRs that were never extended do.
pub(super) fn covers_kernel_and_command_line(
    evidence: &AppraisedEvidence<'_>,
    reference: &ReferenceValues,
) -> Option<Reason> {
    let quoted = evidence.quote.pcrs();
    let coverage = match evidence.boot_log {
        Some(log) if !log.is_empty() => BootCoverage::of_log(log, evidence.measure_log, quoted).ok()?,
        _ => return without_log(evidence, reference),
    };
    let uncovered = coverage.check(&indices(&reference.lease_selection)).err()?;
    Some(uncovered_by_lease(uncovered, TrustTier::Contraindicated))
}

/// Returns a reason if a lease would work under any kernel or command line, because `judged` lacks their PCRs. `judged`
/// are PCRs that the lease names and that the policy or an accepted state appraises. If it has the PCRs, the operator
/// decides what the policy allows in them.
pub(in crate::appraise) fn is_left_open(coverage: &BootCoverage, judged: &BTreeSet<u8>) -> Option<Reason> {
    coverage.check(judged).err().map(|uncovered| uncovered_by_lease(uncovered, TrustTier::Warning))
}

/// Returns a reason if a device without a log extended no PCR of the lease into which kernels are measured.
pub(in crate::appraise) fn without_log(
    evidence: &AppraisedEvidence<'_>,
    reference: &ReferenceValues,
) -> Option<Reason> {
    let measures = has_extended_kernel_pcr(evidence.quote.pcrs(), &reference.lease_selection);
    let text = "no PCR of the lease into which a kernel is measured (4, 8, 9) was ever extended: this device does not \
                measure what it boots, and a lease works under any kernel and command line";
    (!measures).then(|| Reason::new(COVERAGE, Area::Boot, TrustTier::Warning, text))
}

fn uncovered_by_lease(uncovered: Uncovered, tier: TrustTier) -> Reason {
    Reason::new(COVERAGE, Area::Boot, tier, uncovered.to_string())
}
