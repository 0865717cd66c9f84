use pawl_proto::Digest;
use pawl_proto::codec::EncodeError;
use pawl_proto::message::{RefusalCode, Statement, StatementBytes};

use super::state::SessionApproval;
use super::state::{
    ApprovalSession, CodeDigest, DamagedStatement, FailedAttempts, Purpose, SessionState, USE_WITHIN,
};
use crate::record::{ApprovedBy, Fact};
use crate::refusal::Refusal;

/// The limit of waiting sessions of devices that are not enrolled. It is low enough that an operator's list still shows the
/// sessions of enrolled devices.
const UNKNOWN: usize = 64;
/// The limit of open sessions for actions on one device.
const ACTIONS: usize = 16;

/// A session to open, once its device has proven its TPM.
pub struct Opening<'a> {
    /// Its purpose.
    pub purpose: Purpose,
    /// The statement. It contains the session's id, its device and its expiry.
    pub statement: Statement,
    /// How many persons must approve.
    pub needed: u8,
    /// The secret that the device sends with each step.
    pub secret: &'a [u8],
    /// The source address of a device that is not enrolled. The approval of its session enrols it.
    pub stranger: Option<String>,
    /// Data of the purpose that the statement does not contain, encoded.
    pub body: Vec<u8>,
}

impl Opening<'_> {
    /// Returns the session, waiting for approvals. If none is needed, call [`approve`] next. `code` is the user code of a session
    /// that needs approvals.
    ///
    /// # Errors
    /// [`EncodeError`] if the statement exceeds its length limit.
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

/// Marks a session as approved at `now`. It can then be used once.
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

/// The number of waiting sessions of devices that are not enrolled, and the limits.
#[derive(Clone, Copy, Debug)]
pub struct Strangers {
    /// The number of all.
    pub waiting: usize,
    /// The number of those that request to replace the same device.
    pub of_device: usize,
    /// The number of those from the same source address.
    pub of_address: usize,
    /// The limit for one device to replace.
    pub per_device: usize,
    /// The limit for one source address.
    pub per_address: usize,
}

impl Strangers {
    /// Refuses one more session above a limit. Anybody with a TPM may request to replace an enrolled device. Such requests must
    /// not fill the operator's list, and must not crowd out the device that the operator expects.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn admit(self) -> Result<(), Refusal> {
        if self.waiting < UNKNOWN && self.of_device < self.per_device && self.of_address < self.per_address {
            return Ok(());
        }
        Err(busy(
            "too many devices that are not enrolled request to replace a device; enrol this one with \
             pawl-control-plane enrol --ek-sha256 HEX (see pawlctl status), or try again in ten minutes",
        ))
    }
}

/// Refuses one more session for an action if the device has too many open ones.
///
/// # Errors
/// [`Refusal`]
pub fn admit_action(open: usize) -> Result<(), Refusal> {
    if open >= ACTIONS {
        return Err(busy("too many actions of this device are open; cancel some of them or try again later"));
    }
    Ok(())
}

/// Returns the refusal for a session that gets no user code.
#[must_use]
pub fn no_free_code() -> Refusal {
    busy("too many sessions are waiting for an approval; try again later")
}

fn busy(message: &str) -> Refusal {
    Refusal::new(RefusalCode::Busy, message)
}
