use pawl_approval::{Approver, Fingerprint, Principal};
use pawl_proto::message::{GrantedApproval, ShortText, SshSignature};
use pawl_proto::{Digest, SessionId};
use rusqlite::{Row, params};

use super::value::{from_bytes, from_text};
use super::{StoreError, Tx};

/// An approval that was verified before it was stored; others are not kept.
#[derive(Clone, Debug)]
pub struct ApprovalRow {
    /// Who approved, with which key.
    pub approver: Approver,
    /// When.
    pub given_at: u64,
    /// The armored SSHSIG over the statement's digest.
    pub signature: SshSignature,
    /// Given on another device than the one that asks.
    pub elsewhere: bool,
    /// SHA-256 of the confirmation that the device has yet to say; none once the approval counts.
    pub confirmation: Option<Digest>,
}

impl ApprovalRow {
    /// The approval as a device is told of it, if it counts.
    #[must_use]
    pub fn granted(&self) -> Option<GrantedApproval> {
        if self.confirmation.is_some() {
            return None;
        }
        Some(GrantedApproval {
            principal: ShortText::lossy(self.approver.principal.as_str()),
            key: ShortText::lossy(&self.approver.key.to_string()),
            time: self.given_at,
            signature: self.signature.clone(),
        })
    }
}

impl Tx<'_> {
    /// Adds an approval of a session, in the place of an earlier one by the same key.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn put_approval(&self, session: SessionId, approval: &ApprovalRow) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT OR REPLACE INTO approval (session, principal, key, given_at, signature, confirmation, \
             elsewhere) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                session.to_string(),
                approval.approver.principal.as_str(),
                approval.approver.key.to_string(),
                approval.given_at,
                approval.signature.as_bytes(),
                approval.confirmation.map(|digest| digest.0),
                approval.elsewhere,
            ],
        )?;
        Ok(())
    }

    /// The approvals of a session, oldest first, also those that wait for their confirmation.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn approvals(&self, session: SessionId) -> Result<Vec<ApprovalRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT principal, key, given_at, signature, confirmation, elsewhere FROM approval WHERE session = ?1 \
             ORDER BY given_at, key",
        )?;
        let rows = statement.query_map([session.to_string()], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Takes back an approval that was not confirmed.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn remove_approval(&self, session: SessionId, key: Fingerprint) -> Result<(), StoreError> {
        self.sql.execute(
            "DELETE FROM approval WHERE session = ?1 AND key = ?2",
            params![session.to_string(), key.to_string()],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<ApprovalRow, StoreError> {
    let principal: Principal = from_text(&row.get::<_, String>(0)?, "principal")?;
    let confirmation: Option<Vec<u8>> = row.get(4)?;
    Ok(ApprovalRow {
        approver: Approver { principal, key: from_text(&row.get::<_, String>(1)?, "fingerprint")? },
        given_at: row.get(2)?,
        elsewhere: row.get(5)?,
        signature: SshSignature::new(row.get(3)?).map_err(|_| StoreError::Malformed("signature"))?,
        confirmation: confirmation.map(|bytes| from_bytes(&bytes, "confirmation")).transpose()?,
    })
}
