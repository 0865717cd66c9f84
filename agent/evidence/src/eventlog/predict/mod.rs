//! Predicts the PCRs of a boot from other files: replaces the events of those files in the log of the present boot,
//! and replays it.
//!
//! The prediction assumes that firmware, boot loader and stub act as they did in the present boot, and under Secure
//! Boot that the new files have the same signers as the present ones. [`explains`] tests the first assumption with
//! files that the device has already booted. If the boot chain measures something that the files do not determine,
//! the result is an error and not a guess: a wrong prediction does not weaken trust, but leaves a device without its
//! keys until it can report.

mod boot;
mod replace;

use serde::{Deserialize, Serialize};

use super::BOOT_PHASES_PCR;
use super::facts::{DatabaseName, Fact, SignatureDatabase, Stage, Tie, Variable};
use super::log::EventLog;
use crate::boot_image::BootChange;
use crate::ima::IMA_PCR;
use crate::tpm::{HashAlgorithm, PcrValues};
use boot::Chain;

pub use boot::PredictError;

/// Predicts the PCR values of a boot from other files, in every bank of the log. `bank` is the bank that the device
/// quotes; its digests decode the events. Returns the PCRs that the log extends, except 10 and 11, and except 9 if it
/// covers a boot secret.
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
    let secret = matches!(&chain, Chain::Unified(boot) if replace::has_boot_secret(boot));
    let replacements = match (chain, change) {
        (Chain::Unified(chain), BootChange::Unified(image)) => replace::replace_unified_image(&chain, image)?,
        (Chain::Stub(chain), BootChange::Separate(files)) => replace::replace_stub_files(&chain, files)?,
        (Chain::Grub(chain), BootChange::Separate(files)) => replace::replace_grub_files(&chain, files)?,
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

/// The new content of one of Secure Boot's variables: EFI_SIGNATURE_LISTs, as the variable will contain them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseChange {
    which: DatabaseName,
    lists: Vec<u8>,
}

impl DatabaseChange {
    /// The size limit of the content, in bytes. Microsoft's dbx has 24 KiB.
    pub const MAX_LEN: usize = 128 * 1024;

    /// Reads the new content of `db`, with or without the four bytes of attributes that efivarfs puts in front. Returns
    /// `None` if it is not a list of signatures, or too long.
    pub fn allowed(content: &[u8]) -> Option<Self> {
        Self::read(DatabaseName::Allowed, content)
    }

    /// Reads the new content of `dbx`, as [`Self::allowed`] does.
    pub fn forbidden(content: &[u8]) -> Option<Self> {
        Self::read(DatabaseName::Forbidden, content)
    }

    /// Returns the number of entries.
    pub fn entries(&self) -> usize {
        SignatureDatabase::read(self.which, &self.lists).map_or(0, |database| database.entries.len())
    }

    fn read(which: DatabaseName, content: &[u8]) -> Option<Self> {
        const ATTRIBUTES_LEN: usize = 4;

        if content.len() > Self::MAX_LEN {
            return None;
        }
        let is_list = |lists: &&[u8]| SignatureDatabase::read(which, lists).is_some();
        let candidates = [Some(content), content.get(ATTRIBUTES_LEN..)];
        let lists = candidates.into_iter().flatten().find(is_list)?;
        Some(Self { which, lists: lists.to_vec() })
    }
}

/// Predicts the PCR values of a boot with other contents of db and dbx, in every bank of the log. `bank` is the bank
/// that the device quotes. Assumes that the same entries authorize the loaded images.
///
/// # Errors
/// If the log is malformed, or does not contain the variable exactly once.
pub fn predict_databases(
    log: &EventLog<'_>,
    bank: HashAlgorithm,
    changes: &[DatabaseChange],
) -> Result<PcrValues, PredictError> {
    let facts = log.facts_of(bank)?;
    let mut replacements = boot::Replacements::default();
    for change in changes {
        let unknown = PredictError::NoDatabase(change.which.as_str());
        let mut measured = facts.iter().filter(|event| {
            let is_it =
                matches!(&event.fact, Fact::SignatureDatabase(database) if database.which == change.which);
            is_it && event.stage == Stage::Firmware && event.tie == Tie::Digest
        });
        let (Some(event), None) = (measured.next(), measured.next()) else { return Err(unknown) };
        let variable = Variable::measured(change.which.vendor(), change.which.as_str(), &change.lists);
        replacements = replacements.by_content(event, &variable);
    }
    Ok(log.replay_with(|number, digest| replacements.digest(number, digest))?)
}
