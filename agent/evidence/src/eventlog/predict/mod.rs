//! What PCRs will hold after a boot from other files: the log of the present boot, with the events that belong to
//! those files replaced.
//!
//! This holds as long as firmware, boot loader and stub do the next time what they did this time. [`explains`]
//! tests the model on files that the device has booted already. Where the boot chain measures something that the
//! files do not determine, there is an error instead of a guess: a wrong prediction would do no harm to trust, but
//! would leave a device without its keys until it can report. Under Secure Boot the new files are taken to be signed
//! by the signers of the present ones.

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

/// The PCR values of a boot from other files, in every bank of the log; `bank`, the one that the device quotes, tells
/// what its events are. Of the PCRs that the log extends, without 10
/// and 11, and without 9 where a boot secret stands in it.
///
/// # Errors
/// When the log cannot be read, or the boot chain measures something that the files do not determine.
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

/// What the kernel and its own stub measure.
const KERNEL_PCR: u8 = 9;

/// Whether the files account for the present boot: the prediction for them is what the log replays to.
///
/// # Errors
/// As [`predict`], and [`PredictError::DoesNotExplain`] when they do not.
pub fn explains(log: &EventLog<'_>, bank: HashAlgorithm, present: &BootChange) -> Result<(), PredictError> {
    let predicted = predict(log, bank, present)?;
    let replayed = log.replay()?;
    let differs = predicted.iter().find(|(bank, index, value)| replayed.get(*bank, *index) != Some(*value));
    match differs {
        Some((_, index, _)) => Err(PredictError::DoesNotExplain(index)),
        None => Ok(()),
    }
}
