use pawl_proto::message::{Statement, StatementBytes};
use pawl_proto::{Blob, DeviceId, Digest, SessionId};
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::value::{from_blob, from_bytes, from_name, from_text, to_blob, to_name};
use super::{StoreError, Tx};
use crate::session::Refused;

/// A session: one request for an approval, from its opening until it is used up.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id; a pairing that comes of it takes the same bytes.
    pub id: SessionId,
    /// For what.
    pub purpose: Purpose,
    /// The device that asks; not always an enrolled one.
    pub device: DeviceId,
    /// How far it is, as far as the clock had come when it was last looked at.
    pub state: SessionState,
    /// When it was opened.
    pub opened_at: u64,
    /// When it is over.
    pub expires: u64,
    /// SHA-256 of what authenticates the device's next step.
    pub secret: Digest,
    /// What is to be approved.
    pub statement: Option<StatementBytes>,
    /// How many persons must approve.
    pub needed: u8,
    /// By what an approver elsewhere finds it.
    pub code: Option<CodeRow>,
    /// How often something was wrong.
    pub wrong: Wrong,
    /// What did not count, for the operator; the first ones.
    pub refusals: Vec<Refused>,
    /// Why it is over, for people.
    pub outcome: Option<String>,
    /// The network address that it came from, if nobody had enrolled the device.
    pub stranger: Option<String>,
    /// What its purpose keeps with it.
    pub body: Vec<u8>,
}

/// For what a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A pairing.
    Pairing,
    /// A protected action.
    Action,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Somebody has to approve.
    Waiting,
    /// It was approved and is not used yet.
    Approved,
    /// It was used.
    Spent,
    /// An operator or an approver said no, or too much was wrong.
    Declined,
    /// Its time is over.
    Expired,
    /// A newer one of the device took its place.
    Superseded,
}

/// The user code, as far as it is kept: the letters themselves follow from the session's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRow {
    /// The first group; no other waiting session has it.
    pub handle: String,
    /// Which code of this secret it is: others were taken.
    pub attempt: u32,
    /// SHA-256 of the secret letters.
    pub digest: Digest,
}

/// How often something was wrong in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    /// Codes.
    pub codes: u8,
    /// Confirmations.
    pub confirmations: u8,
    /// Approvals.
    pub approvals: u8,
    /// Proofs of an approved pairing.
    pub proofs: u8,
}

impl Session {
    /// What is to be approved.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] where it is not proven.
    pub fn asked(&self) -> Result<(&StatementBytes, Statement), StoreError> {
        let bytes = self.statement.as_ref().ok_or(StoreError::Malformed("statement"))?;
        let statement = bytes.decode().map_err(|_| StoreError::Malformed("statement"))?;
        Ok((bytes, statement))
    }
}

/// Offers are not kept any more; a waiting session says where a device came from that nobody enrolled.
pub(super) const STRANGERS: &str = "
DELETE FROM session WHERE state = 'offered';
ALTER TABLE session ADD COLUMN stranger TEXT;
CREATE INDEX session_of_stranger ON session (state) WHERE stranger IS NOT NULL;
";

const COLUMNS: &str = "id, purpose, device, state, opened_at, expires, secret, statement, needed, code_handle, \
                       code_attempt, code_digest, wrong_codes, wrong_confirmations, refused_approvals, \
                       refused_proofs, refusals, outcome, body, stranger";

impl Tx<'_> {
    /// Adds a session, or writes one anew as it now is.
    ///
    /// # Errors
    /// [`StoreError`], also when another waiting session has the code's handle.
    pub fn put_session(&self, session: &Session) -> Result<(), StoreError> {
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
                session.statement.as_ref().map(|statement| statement.0.as_bytes()),
                session.needed,
                code.map(|code| code.handle.as_str()),
                code.map(|code| code.attempt),
                code.map(|code| code.digest.0),
                session.wrong.codes,
                session.wrong.confirmations,
                session.wrong.approvals,
                session.wrong.proofs,
                to_blob(&session.refusals, "session")?,
                session.outcome,
                session.body,
                session.stranger,
            ],
        )?;
        Ok(())
    }

    /// The session with this id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM session WHERE id = ?1"))?;
        statement.query_row([id.to_string()], |row| Ok(read(row))).optional()?.transpose()
    }

    /// The waiting session whose user code begins so.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn session_of_code(&self, handle: &str) -> Result<Option<Session>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE code_handle = ?1 AND state = 'waiting'"
        ))?;
        statement.query_row([handle], |row| Ok(read(row))).optional()?.transpose()
    }

    /// The waiting and approved sessions whose time is over.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn overdue_sessions(&self, now: u64) -> Result<Vec<Session>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE state IN ('waiting', 'approved') AND expires <= ?1"
        ))?;
        let rows = statement.query_map([now], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The waiting and approved sessions of a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open_sessions(&self, device: DeviceId, purpose: Purpose) -> Result<Vec<Session>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE device = ?1 AND purpose = ?2 AND state IN ('waiting', 'approved')"
        ))?;
        let purpose = to_name(purpose, "session")?;
        let rows = statement.query_map(params![device.as_str(), purpose], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The sessions of a device, or of every device, that were proven: newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn sessions(&self, device: Option<DeviceId>, limit: usize) -> Result<Vec<Session>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE (?1 IS NULL OR device = ?1) AND statement IS NOT NULL \
             ORDER BY opened_at DESC, id LIMIT ?2"
        ))?;
        let device = device.map(|device| device.as_str().to_owned());
        let rows = statement.query_map(params![device, limit], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The waiting sessions of devices that nobody enrolled.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn waiting_strangers(&self) -> Result<Vec<Session>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session WHERE state = 'waiting' AND stranger IS NOT NULL"
        ))?;
        let rows = statement.query_map([], |row| Ok(read(row)))?;
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

    /// Removes what is over: what was opened before `before`, and all but the newest `keep`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn prune_sessions(&self, before: u64, keep: usize) -> Result<(), StoreError> {
        const OVER: &str = "state NOT IN ('waiting', 'approved')";
        self.sql.execute(&format!("DELETE FROM session WHERE {OVER} AND opened_at < ?1"), [before])?;
        self.sql.execute(
            &format!(
                "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE {OVER} \
                 ORDER BY opened_at DESC, id LIMIT -1 OFFSET ?1)"
            ),
            [keep],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<Session, StoreError> {
    let malformed = |_| StoreError::Malformed("statement");
    let statement: Option<Vec<u8>> = row.get(7)?;
    let code = match (row.get(9)?, row.get(10)?, row.get::<_, Option<Vec<u8>>>(11)?) {
        (Some(handle), Some(attempt), Some(digest)) => {
            Some(CodeRow { handle, attempt, digest: from_bytes(&digest, "code")? })
        }
        _ => None,
    };
    Ok(Session {
        id: from_text(&row.get::<_, String>(0)?, "session id")?,
        purpose: from_name(row.get(1)?, "session")?,
        device: from_text(&row.get::<_, String>(2)?, "device id")?,
        state: from_name(row.get(3)?, "session")?,
        opened_at: row.get(4)?,
        expires: row.get(5)?,
        secret: from_bytes(&row.get::<_, Vec<u8>>(6)?, "session")?,
        statement: statement
            .map(|bytes| Blob::new(bytes).map(StatementBytes))
            .transpose()
            .map_err(malformed)?,
        needed: row.get(8)?,
        code,
        wrong: Wrong {
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
