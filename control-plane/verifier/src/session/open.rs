use pawl_proto::Digest;
use pawl_proto::codec::EncodeError;
use pawl_proto::message::{RefusalCode, Statement, StatementBytes};

use super::state::SessionApproval;
use super::state::{
    ApprovalSession, CodeDigest, DamagedStatement, FailedAttempts, Purpose, SessionState, USE_WITHIN,
};
use crate::record::{ApprovedBy, Fact};
use crate::refusal::Refusal;

/// The number of sessions of unknown devices that wait at once: few enough that an operator's list still shows
/// those of known ones.
const UNKNOWN: usize = 64;
/// The number of sessions for actions that are open at once on one device.
const ACTIONS: usize = 16;

/// A session to open, once its device has proven itself.
pub struct Opening<'a> {
    /// Its purpose.
    pub purpose: Purpose,
    /// The statement. It has the session, the device and the session's expiry.
    pub statement: Statement,
    /// How many persons must approve.
    pub needed: u8,
    /// The secret that the device sends with each step.
    pub secret: &'a [u8],
    /// The source address of a device that is not enrolled. An approval of its session enrols it.
    pub stranger: Option<String>,
    /// Data of the purpose that the statement does not have, encoded.
    pub body: Vec<u8>,
}

impl Opening<'_> {
    /// Opens the session. It waits for approvals; if none is needed, it is approved, and [`approve`] is the next step. `code` is
    /// the user code of a session that waits.
    ///
    /// # Errors
    /// [`EncodeError`] when the statement is longer than one may be.
    pub fn open(self, code: Option<CodeDigest>) -> Result<(ApprovalSession, Fact), EncodeError> {
        let Opening { purpose, statement, needed, secret, stranger, body } = self;
        let bytes = StatementBytes::of(&statement)?;
        let fact = Fact::SessionOpened {
            session: statement.session.to_string(),
            action: statement.action.as_str().to_owned(),
            origin: statement.origin.as_str().to_owned(),
            reason: statement.reason.as_str().to_owned(),
            statement: bytes.digest().to_string(),
            needed,
        };
        let session = ApprovalSession {
            id: statement.session,
            purpose,
            device: statement.device,
            state: SessionState::Waiting,
            opened_at: statement.time,
            expires: statement.expires,
            secret: Digest::of(secret),
            statement: bytes,
            needed,
            code,
            failed: FailedAttempts::default(),
            refusals: Vec::new(),
            outcome: None,
            stranger,
            body,
        };
        Ok((session, fact))
    }
}

/// Marks a session as approved at `now`. It may then be used once.
#[must_use]
pub fn approve(session: ApprovalSession, now: u64) -> ApprovalSession {
    ApprovalSession { state: SessionState::Approved, expires: now.saturating_add(USE_WITHIN), ..session }
}

/// Returns the record of an approval, with everything that is needed to verify it again.
///
/// # Errors
/// [`DamagedStatement`]
pub fn approved_fact(
    session: &ApprovalSession,
    approvals: &[SessionApproval],
) -> Result<Fact, DamagedStatement> {
    let (bytes, statement) = session.asked()?;
    let counting = approvals.iter().filter(|approval| approval.confirmation.is_none());
    let by = counting.map(|approval| ApprovedBy {
        principal: approval.approver.principal.to_string(),
        key: approval.approver.key.to_string(),
        time: approval.given_at,
        signature: String::from_utf8_lossy(approval.signature.as_bytes()).into_owned(),
    });
    Ok(Fact::Approved {
        session: session.id.to_string(),
        action: statement.action.as_str().to_owned(),
        origin: statement.origin.as_str().to_owned(),
        statement: hex::encode(bytes.0.as_bytes()),
        by: by.collect(),
    })
}

/// The waiting sessions of devices that nobody enrolled, and how many of them are admitted.
#[derive(Clone, Copy, Debug)]
pub struct Strangers {
    /// Their number.
    pub waiting: usize,
    /// The number of those that want to replace the same device.
    pub of_device: usize,
    /// The number of those from the same source address.
    pub of_address: usize,
    /// How many may wait to replace one device.
    pub per_device: usize,
    /// How many may wait from one source address.
    pub per_address: usize,
}

impl Strangers {
    /// Refuses one more above a limit. Anybody with a TPM may request to replace a known device. Such requests must not fill the
    /// operator's list, and must not crowd out the device that the operator expects.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn admit(self) -> Result<(), Refusal> {
        if self.waiting < UNKNOWN && self.of_device < self.per_device && self.of_address < self.per_address {
            return Ok(());
        }
        Err(busy(
            "too many devices that nobody enrolled wait to take another one's place; enrol this one with \
             pawl-control-plane enrol --ek-sha256 HEX (see pawlctl status), or try again in ten minutes",
        ))
    }
}

/// Refuses one more session for an action of a device that has `open` of them.
///
/// # Errors
/// [`Refusal`]
pub fn admit_action(open: usize) -> Result<(), Refusal> {
    if open >= ACTIONS {
        return Err(busy("too many actions of this device wait; end some of them or try again later"));
    }
    Ok(())
}

/// Returns the refusal where no user code is free.
#[must_use]
pub fn no_free_code() -> Refusal {
    busy("too many sessions wait for an approval")
}

fn busy(message: &str) -> Refusal {
    Refusal::new(RefusalCode::Busy, message)
}
