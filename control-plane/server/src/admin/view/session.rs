use pawl_proto::message::{Access, Ending, Finding, HostFacts, StatementContext, TrustTier};
use pawl_proto::{DeviceId, SessionId};
use serde::{Deserialize, Serialize};

use crate::pairing;
use crate::store::{ListedSession, StoreError, Tx};
use pawl_verifier::pairing::PairingSession;
use pawl_verifier::session::Refused;
use pawl_verifier::session::{ApprovalSession, Purpose, SessionApproval, SessionState};

/// One line of `sessions`. It never contains codes or confirmations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Its purpose.
    pub purpose: Purpose,
    /// The device that opened it.
    pub device: DeviceId,
    /// The operator's name for it.
    pub label: Option<String>,
    /// The state of the session.
    pub state: SessionState,
    /// When it was opened.
    pub opened_at: u64,
    /// When it expires.
    pub expires: u64,
    /// `pair`, `re-pair`, or an action's name.
    pub action: String,
    /// The resource of an action.
    pub resource: Option<String>,
    /// Where it was requested; a claim of the device.
    pub origin: String,
    /// Why it was requested; a claim of the device.
    pub reason: String,
    /// The requested scopes.
    pub scopes: Vec<String>,
    /// The requested audiences, beside the control plane's own URL.
    pub audiences: Vec<String>,
    /// The operator's grant when the session was opened; the pairing gets what is both granted and requested.
    pub granted: Option<Access>,
    /// The device that it would replace.
    pub replaces: Option<DeviceId>,
    /// How the endorsement key was verified; none for an action.
    pub endorsement: Option<String>,
    /// How many persons must approve.
    pub needed: u8,
    /// The persons who have approved.
    pub approved: Vec<ApprovalView>,
    /// How many failed attempts are left.
    pub tries_left: u8,
    /// The refused approvals, with the binding that failed.
    pub refusals: Vec<Refused>,
    /// Why it ended.
    pub outcome: Option<String>,
}

/// An approval, in [`SessionView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// The approver.
    pub principal: String,
    /// The fingerprint of their key.
    pub key: String,
    /// When it was given.
    pub time: u64,
    /// Whether it was given on another device.
    pub elsewhere: bool,
    /// Whether it counts: an approval that was given on another device counts once it is confirmed at this one.
    pub counts: bool,
}

/// `approve`: the request, before anything is signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestView {
    /// The session.
    pub session: SessionView,
    /// The encoded statement, in hexadecimal. Its SHA-256 is signed.
    pub statement: String,
    /// The pairings that the approval would end.
    pub known: StatementContext,
    /// Further facts about the device; none for an action.
    pub claims: Option<ClaimsView>,
}

/// Claims of a device and findings about it, in [`RequestView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimsView {
    /// SHA-256 of its endorsement key.
    pub ek_sha256: String,
    /// How that key was verified.
    pub endorsement: String,
    /// Whether the device is enrolled; otherwise the approval enrols it.
    pub enrolled: bool,
    /// What it found of its earlier pairing; a claim of the device.
    pub finding: Finding,
    /// Its host facts; a claim of the device.
    pub host: HostFacts,
    /// The trust tier of its evidence.
    pub appraisal: Option<TrustTier>,
    /// The reasons for that tier.
    pub reasons: Vec<String>,
}

/// `approve`, after the approval was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfirmationView {
    /// The session.
    pub session: SessionId,
    /// The confirmation to enter at the device, before the approval counts.
    pub confirmation: String,
    /// When the session expires.
    pub expires: u64,
}

impl SessionView {
    pub(in crate::admin) fn of(tx: &Tx<'_>, session: ApprovalSession) -> Result<Self, StoreError> {
        let label = tx.device(session.device)?.and_then(|device| device.label);
        let approvals = tx.approvals(session.id)?;
        Self::new(ListedSession { session, label, approvals })
    }

    pub(in crate::admin) fn new(listed: ListedSession) -> Result<Self, StoreError> {
        let ListedSession { session, label, approvals } = listed;
        let (_, statement) = session.asked()?;
        let text = |text: &pawl_proto::message::ShortText| text.as_str().to_owned();
        Ok(Self {
            id: session.id,
            purpose: session.purpose,
            device: session.device,
            label,
            state: session.state,
            opened_at: session.opened_at,
            expires: session.expires,
            action: text(&statement.action),
            resource: statement.resource.as_ref().map(text),
            origin: text(&statement.origin),
            reason: text(&statement.reason),
            scopes: statement.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            audiences: statement.audiences.iter().map(|audience| audience.as_str().to_owned()).collect(),
            granted: statement.granted,
            replaces: statement.replaces,
            endorsement: statement.endorsement.as_ref().map(text),
            needed: session.needed,
            approved: approvals.iter().map(ApprovalView::from).collect(),
            tries_left: session.tries_left(),
            refusals: session.refusals,
            outcome: session.outcome,
        })
    }
}

impl RequestView {
    pub(in crate::admin) fn of(tx: &Tx<'_>, session: ApprovalSession) -> Result<Self, StoreError> {
        let (bytes, statement) = session.asked()?;
        let claims = match session.purpose {
            Purpose::Pairing => Some(ClaimsView::of(tx, &session)?),
            Purpose::Action => None,
        };
        Ok(Self {
            statement: hex::encode(bytes.0.as_bytes()),
            known: match session.purpose {
                Purpose::Pairing => pairing::consequences(tx, session.device, statement.replaces)?,
                Purpose::Action => StatementContext::default(),
            },
            claims,
            session: SessionView::of(tx, session)?,
        })
    }

    /// Returns the scopes of the ended pairings that are not requested again.
    #[must_use]
    pub fn scopes_lost(&self) -> Vec<String> {
        let ending = [&self.known.ends, &self.known.replaced];
        let had = ending.into_iter().flatten().flat_map(|Ending { scopes, .. }| scopes);
        let mut lost: Vec<String> = had.map(|scope| scope.as_str().to_owned()).collect();
        lost.retain(|scope| !self.session.scopes.contains(scope));
        lost.sort_unstable();
        lost.dedup();
        lost
    }
}

impl ClaimsView {
    fn of(tx: &Tx<'_>, session: &ApprovalSession) -> Result<Self, StoreError> {
        let PairingSession { request, endorsement, posture, .. } = pairing::session_data(session)?;
        let (appraisal, reasons) = match posture {
            Some(posture) => (Some(posture.result), posture.reasons),
            None => (None, Vec::new()),
        };
        Ok(Self {
            ek_sha256: pawl_proto::Digest::of(request.endorsement_key.as_bytes()).to_string(),
            endorsement,
            enrolled: tx.enrolled_device(session.device)?.is_some(),
            finding: request.finding,
            host: request.host,
            appraisal,
            reasons,
        })
    }
}

impl From<&SessionApproval> for ApprovalView {
    fn from(row: &SessionApproval) -> Self {
        Self {
            principal: row.approver.principal.to_string(),
            key: row.approver.key.to_string(),
            time: row.given_at,
            elsewhere: row.elsewhere,
            counts: row.confirmation.is_none(),
        }
    }
}
