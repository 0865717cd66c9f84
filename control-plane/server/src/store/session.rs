use std::collections::HashMap;

use pawl_approval::{Approver, Fingerprint, Principal};
use pawl_proto::message::{SshSignature, StatementBytes};
use pawl_proto::{Blob, DeviceId, SessionId};
use pawl_verifier::session::{ApprovalSession, CodeDigest, FailedAttempts, Purpose, SessionApproval};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, from_blob, from_bytes, from_name, from_text, to_blob, to_name};

const COLUMNS: &str = "id, purpose, device, state, opened_at, expires, secret, statement, needed, code_handle, \
                       code_attempt, code_digest, wrong_codes, wrong_confirmations, refused_approvals, \
                       refused_proofs, refusals, outcome, body, stranger";

/// A session as lists show it.
pub struct ListedSession {
    /// The session.
    pub session: ApprovalSession,
    /// The label of its device.
    pub label: Option<String>,
    /// Its approvals, oldest first, including those that wait for their confirmation.
    pub approvals: Vec<SessionApproval>,
}

impl Tx<'_> {
    /// Adds a session, or replaces the stored one.
    ///
    /// # Errors
    /// [`StoreError`], for example when another waiting session has the code's handle.
    pub fn put_session(&self, session: &ApprovalSession) -> Result<(), StoreError> {
        let code = session.code.as_ref();
        self.sql.execute(
            &format!(
                "INSERT INTO session ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
                 ?14, ?15, ?16, ?17, ?18, ?19, ?20) ON CONFLICT (id) DO UPDATE SET state = ?4, expires = ?6, \
                 secret = ?7, statement = ?8, needed = ?9, code_handle = ?10, code_attempt = ?11, \
                 code_digest = ?12, wrong_codes = ?13, wrong_confirmations = ?14, refused_approvals = ?15, \
                 refused_proofs = ?16, refusals = ?17, outcome = ?18, body = ?19"
            ),
            params![
                session.id.to_string(),
                to_name(session.purpose, "session")?,
                session.device.as_str(),
                to_name(session.state, "session")?,
                session.opened_at,
                session.expires,
                session.secret.0,
                session.statement.0.as_bytes(),
                session.needed,
                code.map(|code| code.handle.as_str()),
                code.map(|code| code.attempt),
                code.map(|code| code.digest.0),
                session.failed.codes,
                session.failed.confirmations,
                session.failed.approvals,
                session.failed.proofs,
                to_blob(&session.refusals, "session")?,
                session.outcome,
                session.body,
                session.stranger,
            ],
        )?;
        Ok(())
    }

    /// Returns the session with this id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn session(&self, id: SessionId) -> Result<Option<ApprovalSession>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM session WHERE id = ?1"))?;
        statement.query_row([id.to_string()], |row| Ok(read_session(row))).optional()?.transpose()
    }

    /// Returns the waiting session whose user code has this handle.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn session_of_code(&self, handle: &str) -> Result<Option<ApprovalSession>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE code_handle = ?1 AND state = 'waiting'"
        ))?;
        statement.query_row([handle], |row| Ok(read_session(row))).optional()?.transpose()
    }

    /// Returns the waiting and approved sessions that have expired.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn overdue_sessions(&self, now: u64) -> Result<Vec<ApprovalSession>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE state IN ('waiting', 'approved') AND expires <= ?1"
        ))?;
        let rows = statement.query_map([now], |row| Ok(read_session(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Returns the waiting and approved sessions of a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open_sessions(
        &self,
        device: DeviceId,
        purpose: Purpose,
    ) -> Result<Vec<ApprovalSession>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE device = ?1 AND purpose = ?2 AND state IN ('waiting', 'approved')"
        ))?;
        let purpose = to_name(purpose, "session")?;
        let rows = statement.query_map(params![device.as_str(), purpose], |row| Ok(read_session(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Returns the proven sessions of a device, or of every device: newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn sessions(
        &self,
        device: Option<DeviceId>,
        limit: usize,
    ) -> Result<Vec<ApprovalSession>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE (?1 IS NULL OR device = ?1) AND statement IS NOT NULL \
             ORDER BY opened_at DESC, id LIMIT ?2"
        ))?;
        let device = device.map(|device| device.as_str().to_owned());
        let rows = statement.query_map(params![device, limit], |row| Ok(read_session(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Returns as [`Tx::sessions`], each with its approvals and the label of its device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn listed_sessions(
        &self,
        device: Option<DeviceId>,
        limit: usize,
    ) -> Result<Vec<ListedSession>, StoreError> {
        const LISTED: &str = "SELECT id FROM session WHERE (?1 IS NULL OR device = ?1) AND statement IS NOT NULL \
                              ORDER BY opened_at DESC, id LIMIT ?2";
        let of = device.map(|device| device.as_str().to_owned());
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {APPROVAL_COLUMNS}, session FROM approval WHERE session IN ({LISTED}) ORDER BY given_at, key"
        ))?;
        let mut approvals: HashMap<String, Vec<SessionApproval>> = HashMap::new();
        let mut rows = statement.query(params![of, limit])?;
        while let Some(row) = rows.next()? {
            approvals.entry(row.get(6)?).or_default().push(read_approval(row)?);
        }
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT id, label FROM device WHERE label IS NOT NULL AND deleted_at IS NULL AND id IN \
             (SELECT device FROM session WHERE id IN ({LISTED}))"
        ))?;
        let labels = statement.query_map(params![of, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let labels: HashMap<String, String> = labels.collect::<Result<_, _>>()?;
        let sessions = self.sessions(device, limit)?.into_iter().map(|session| ListedSession {
            label: labels.get(session.device.as_str()).cloned(),
            approvals: approvals.remove(&session.id.to_string()).unwrap_or_default(),
            session,
        });
        Ok(sessions.collect())
    }

    /// Returns how many proven sessions of a device, or of every device, are kept.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn count_sessions(&self, device: Option<DeviceId>) -> Result<usize, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT count(*) FROM session WHERE (?1 IS NULL OR device = ?1) AND statement IS NOT NULL",
        )?;
        Ok(statement.query_row([device.map(|device| device.as_str().to_owned())], |row| row.get(0))?)
    }

    /// Returns the waiting sessions of devices that are not enrolled.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn waiting_strangers(&self) -> Result<Vec<ApprovalSession>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE state = 'waiting' AND stranger IS NOT NULL"
        ))?;
        let rows = statement.query_map([], |row| Ok(read_session(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Removes a session.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn remove_session(&self, id: SessionId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM session WHERE id = ?1", [id.to_string()])?;
        Ok(())
    }

    /// Removes the finished sessions that were opened before `before`, and all but the newest `keep` of the others.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn prune_sessions(&self, before: u64, keep: usize) -> Result<(), StoreError> {
        const FINISHED: &str = "state NOT IN ('waiting', 'approved')";
        self.sql.execute(&format!("DELETE FROM session WHERE {FINISHED} AND opened_at < ?1"), [before])?;
        self.sql.execute(
            &format!(
                "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE {FINISHED} \
                 ORDER BY opened_at DESC, id LIMIT -1 OFFSET ?1)"
            ),
            [keep],
        )?;
        Ok(())
    }
}

fn read_session(row: &Row<'_>) -> Result<ApprovalSession, StoreError> {
    let malformed = |_| StoreError::Malformed("statement");
    let statement: Vec<u8> = row.get(7)?;
    let code = match (row.get(9)?, row.get(10)?, row.get::<_, Option<Vec<u8>>>(11)?) {
        (Some(handle), Some(attempt), Some(digest)) => {
            Some(CodeDigest { handle, attempt, digest: from_bytes(&digest, "code")? })
        }
        _ => None,
    };
    Ok(ApprovalSession {
        id: from_text(&row.get::<_, String>(0)?, "session id")?,
        purpose: from_name(row.get(1)?, "session")?,
        device: from_text(&row.get::<_, String>(2)?, "device id")?,
        state: from_name(row.get(3)?, "session")?,
        opened_at: row.get(4)?,
        expires: row.get(5)?,
        secret: from_bytes(&row.get::<_, Vec<u8>>(6)?, "session")?,
        statement: Blob::new(statement).map(StatementBytes).map_err(malformed)?,
        needed: row.get(8)?,
        code,
        failed: FailedAttempts {
            codes: row.get(12)?,
            confirmations: row.get(13)?,
            approvals: row.get(14)?,
            proofs: row.get(15)?,
        },
        refusals: from_blob(&row.get::<_, Vec<u8>>(16)?, "session")?,
        outcome: row.get(17)?,
        body: row.get(18)?,
        stranger: row.get(19)?,
    })
}

impl Tx<'_> {
    /// Adds an approval of a session; it replaces an earlier one by the same key.
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

    /// Returns the approvals of a session, oldest first, including those that wait for their confirmation.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn approvals(&self, session: SessionId) -> Result<Vec<SessionApproval>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {APPROVAL_COLUMNS} FROM approval WHERE session = ?1 ORDER BY given_at, key"
        ))?;
        let rows = statement.query_map([session.to_string()], |row| Ok(read_approval(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Removes an approval that was not confirmed.
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

const APPROVAL_COLUMNS: &str = "principal, key, given_at, signature, confirmation, elsewhere";

fn read_approval(row: &Row<'_>) -> Result<SessionApproval, StoreError> {
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
