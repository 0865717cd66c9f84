use pawl_approval::{Approver, Fingerprint, Principal};
use pawl_proto::SessionId;
use pawl_proto::message::SshSignature;
use pawl_verifier::session::SessionApproval;
use rusqlite::{Row, params};

use super::value::{from_bytes, from_text};
use super::{StoreError, Tx};

impl Tx<'_> {
    /// Adds an approval of a session, in the place of an earlier one by the same key.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn put_approval(&self, session: SessionId, approval: &SessionApproval) -> Result<(), StoreError> {
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
    pub fn approvals(&self, session: SessionId) -> Result<Vec<SessionApproval>, StoreError> {
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

fn read(row: &Row<'_>) -> Result<SessionApproval, StoreError> {
    let principal: Principal = from_text(&row.get::<_, String>(0)?, "principal")?;
    let confirmation: Option<Vec<u8>> = row.get(4)?;
    Ok(SessionApproval {
        approver: Approver { principal, key: from_text(&row.get::<_, String>(1)?, "fingerprint")? },
        given_at: row.get(2)?,
        elsewhere: row.get(5)?,
        signature: SshSignature::new(row.get(3)?).map_err(|_| StoreError::Malformed("signature"))?,
        confirmation: confirmation.map(|bytes| from_bytes(&bytes, "confirmation")).transpose()?,
    })
}
