//! Reads the disk for an examination of the core, and executes the core's writes.

use super::{KnownTime, PairingKeys, Store, StoreError};
use crate::core::{Found, Write};
use crate::{fail_point, problem};

impl Store {
    /// Reads everything on the disk that an examination needs. The caller adds the counter and the name of the attestation key.
    pub fn examine(&self) -> Found {
        Found {
            unfinished: self.unfinished(),
            pairing: self.pairing().map_err(|error| problem::damaged(&error)),
            keys: self.keys().map(|keys| keys.is_some()).map_err(|error| problem::damaged(&error)),
            revocation: unless_damaged("revocation", self.revocation()),
            verdict: unless_damaged("verdict", self.verdict()),
            lease: unless_damaged("lease", self.lease()),
            receipts: self.receipts().unwrap_or_else(|error| {
                tracing::error!(%error, "cannot read the stored receipts");
                Vec::new()
            }),
            counter: None,
            attestation_name: None,
        }
    }
}

fn unless_damaged<T>(what: &str, outcome: Result<Option<T>, StoreError>) -> Option<T> {
    outcome.unwrap_or_else(|error| {
        tracing::warn!(%error, what, "cannot read a file; continuing without it");
        None
    })
}

impl Store {
    /// Executes one write of the core, except [`Write::Vault`]: for that one the caller seals the tokens and calls
    /// [`put_vault`](Self::put_vault).
    ///
    /// `time` returns the floor of the wall clock to write with a verdict.
    pub fn put(&self, write: Write, time: impl FnOnce() -> Option<KnownTime>) -> Result<(), StoreError> {
        match write {
            Write::Verdict { sequence, message, has_lease } => {
                self.put_verdict(sequence, &message, has_lease)?;
                if let Some(time) = time() {
                    self.put_time(&time)?;
                }
            }
            Write::RemoveLease => self.remove_lease()?,
            Write::Vault => {}
            Write::RevocationNote(revocation) => {
                self.announce_revocation(&revocation)?;
                fail_point::reach("wipe.gate-closed");
            }
            Write::Revocation(revocation) => {
                // The revocation note was written before.
                if revocation.counted && !revocation.receipted {
                    fail_point::reach("wipe.incremented");
                    // The executor ran `TellHolders` before it began this write.
                    fail_point::reach("wipe.told");
                }
                self.put_revocation(&revocation)?;
                if !revocation.receipted {
                    fail_point::reach("wipe.recorded");
                }
            }
            Write::DestroyKeys => {
                self.destroy_keys()?;
                fail_point::reach("wipe.unlinked");
            }
            Write::Receipt(ended, message) => {
                self.put_receipt(ended, &message)?;
                fail_point::reach("wipe.receipt-stored");
            }
            Write::RemoveReceipt(ended) => {
                self.remove_receipt(ended)?;
                fail_point::reach("wipe.receipt-taken");
            }
            Write::ForgetPairing => self.forget_pairing()?,
            Write::Reserve => self.reserve()?,
            Write::Release => self.release(),
            Write::Approved(approved) => {
                fail_point::reach("re-pair.approved");
                self.keep_approved(&approved)?;
                fail_point::reach("re-pair.kept");
            }
            Write::BeginKeys(epoch) => self.begin_keys(epoch)?,
            Write::DiscardUnfinished => self.discard_unfinished()?,
            Write::Stage(staged) => {
                self.stage(&staged.record, &PairingKeys::from(&staged.keys.0), &staged.verdict)?;
                fail_point::reach("pair.staged");
            }
            Write::Commit => {
                self.commit()?;
                fail_point::reach("pair.committed");
            }
        }
        Ok(())
    }
}
