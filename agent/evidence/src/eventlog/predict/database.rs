use serde::{Deserialize, Serialize};

use super::error::PredictError;
use crate::eventlog::facts::{DatabaseName, Fact, SignatureDatabase, Stage, Tie, Variable};
use crate::eventlog::header::EventLog;
use crate::tpm::{HashAlgorithm, PcrValues};

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

    /// Takes the new content of `db`. Skips four leading bytes of attributes, as efivarfs has them. Returns
    /// `None` if it is not a list of signatures, or too long.
    pub fn allowed(content: &[u8]) -> Option<Self> {
        Self::read(DatabaseName::Allowed, content)
    }

    /// Takes the new content of `dbx`, as [`Self::allowed`] does.
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

/// Predicts the PCR values of a boot with other contents of db and dbx, in every bank of the log; `bank` is the
/// one that the device quotes. Assumes that the same entries authorize the loaded images.
///
/// # Errors
/// If the log is malformed, or does not contain the variable exactly once.
pub fn predict_databases(
    log: &EventLog<'_>,
    bank: HashAlgorithm,
    changes: &[DatabaseChange],
) -> Result<PcrValues, PredictError> {
    let facts = log.facts_of(bank)?;
    let mut replacements = super::replacements::Replacements::default();
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
