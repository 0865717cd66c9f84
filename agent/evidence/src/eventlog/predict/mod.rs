//! Predicts the PCRs of a boot from other files: takes the log of the present boot and replaces the events of
//! those files.
//!
//! The prediction assumes that firmware, boot loader and stub act as they did in the present boot. [`explains`]
//! tests that with files that the device has already booted. If the boot chain measures something that the files
//! do not determine, the result is an error, not a guess: a wrong prediction does not weaken trust, but leaves a
//! device without its keys until it can report. Under Secure Boot the new files are assumed to have the same
//! signers as the present ones.

mod chain;
mod database;
mod error;
mod grub;
mod replacements;
mod stub;
mod unified;

pub use database::{DatabaseChange, predict_databases};
pub use error::PredictError;

use super::BOOT_PHASES_PCR;
use super::header::EventLog;
use crate::boot_image::BootChange;
use crate::ima::IMA_PCR;
use crate::tpm::{HashAlgorithm, PcrValues};
use chain::Chain;

/// Predicts the PCR values of a boot from other files, in every bank of the log; the events are decoded by
/// `bank`, which the device quotes. Covers the PCRs that the log extends, except 10 and 11, and except 9 if it
/// contains a boot secret.
///
/// # Errors
/// If the log is malformed, or the boot chain measures something that the files do not determine.
pub fn predict(
    log: &EventLog<'_>,
    bank: HashAlgorithm,
    change: &BootChange,
) -> Result<PcrValues, PredictError> {
    let facts = log.facts_of(bank)?;
    let chain = Chain::of(&facts)?;
    let secret = matches!(&chain, Chain::Unified(boot) if unified::has_boot_secret(boot));
    let replacements = match (chain, change) {
        (Chain::Unified(chain), BootChange::Unified(image)) => unified::replace(&chain, image)?,
        (Chain::Stub(chain), BootChange::Separate(files)) => stub::replace(&chain, files)?,
        (Chain::Grub(chain), BootChange::Separate(files)) => grub::replace(&chain, files)?,
        (Chain::Unified(_), BootChange::Separate(_)) => return Err(PredictError::IsUnified),
        (Chain::Stub(_) | Chain::Grub(_), BootChange::Unified(_)) => return Err(PredictError::IsNotUnified),
    };
    let replayed = log.replay_with(|number, digest| replacements.digest(number, digest))?;
    let known = replayed.without(&[IMA_PCR, BOOT_PHASES_PCR]);
    Ok(if secret { known.without(&[KERNEL_PCR]) } else { known })
}

/// The PCR of the kernel's own EFI stub.
const KERNEL_PCR: u8 = 9;

/// Checks that the files explain the present boot: their prediction equals the log's replay.
///
/// # Errors
/// As [`predict`], and [`PredictError::DoesNotExplain`] if they differ.
pub fn explains(log: &EventLog<'_>, bank: HashAlgorithm, present: &BootChange) -> Result<(), PredictError> {
    let predicted = predict(log, bank, present)?;
    let replayed = log.replay()?;
    let differs = predicted.iter().find(|(bank, index, value)| replayed.get(*bank, *index) != Some(*value));
    match differs {
        Some((_, index, _)) => Err(PredictError::DoesNotExplain(index)),
        None => Ok(()),
    }
}
