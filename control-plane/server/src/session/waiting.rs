use pawl_proto::codec::Version;
use pawl_proto::message::{Approval, Known, ShortText, Waiting};

use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};
use pawl_verifier::session::{ApprovalSession, user_code};

/// Seconds after which a device asks again.
const RETRY: u32 = 2;
/// The page that tells an approver what to run.
pub(crate) const APPROVE_PATH: &str = "/approve";

/// What the device is told while somebody has yet to approve. `secret` is the one that it showed.
pub(crate) fn waiting(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &ApprovalSession,
    secret: &[u8],
    known: Known,
) -> Result<Waiting, RequestError> {
    let (statement, _) = session.asked()?;
    let attempt = session.code.as_ref().ok_or(StoreError::Malformed("code"))?.attempt;
    let approvals = tx.approvals(session.id)?;
    let counting = approvals.iter().filter_map(|approval| approval.granted());
    let unconfirmed = approvals.iter().filter(|approval| approval.confirmation.is_some()).count();
    let left = session.expires.saturating_sub(plane.clock.now());
    Ok(Waiting {
        version: Version,
        statement: statement.clone(),
        approval: Approval {
            user_code: ShortText::lossy(&user_code(secret, attempt).to_string()),
            url: ShortText::lossy(&plane.config.url.join(APPROVE_PATH)),
        },
        needed: session.needed,
        approved: counting.map(|approval| approval.principal).collect(),
        unconfirmed: u8::try_from(unconfirmed).unwrap_or(u8::MAX),
        tries_left: session.tries_left(),
        expires_in: u32::try_from(left).unwrap_or(u32::MAX),
        retry_after: RETRY,
        known,
    })
}
