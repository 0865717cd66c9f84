//! Handles the steps of a device in a session: it polls, submits an approval, or submits a confirmation.

use pawl_approval::{AllowedSigners, Confirmation, Fingerprint};
use pawl_proto::message::{ApprovalStep, GivenApproval, Statement, StatementBytes};
use pawl_proto::{Digest, Text};

use super::binding::{Binding, Refused};
use super::check::ApprovalCheck;
use super::end::{Attempt, SessionChange, note, refuse};
use super::open::approve;
use super::state::SessionApproval;
use super::state::{ApprovalSession, DamagedStatement, Purpose, SessionState, over, stale};
use crate::refusal::Refusal;

/// The state on which a step of a session depends.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// The approvals of the session, including those that wait for their confirmation.
    pub approvals: &'a [SessionApproval],
    /// The persons who may approve, or the refusal if nobody may.
    pub signers: Result<&'a AllowedSigners, &'a Refusal>,
    /// The digest of the boot state that the device last reported.
    pub reported: Option<Digest>,
    /// Unix time, seconds.
    pub now: u64,
}

impl<'a> StepContext<'a> {
    fn check(
        self,
        bytes: &'a StatementBytes,
        statement: &'a Statement,
        signers: &'a AllowedSigners,
    ) -> ApprovalCheck<'a> {
        let Self { approvals: earlier, reported, now, .. } = self;
        ApprovalCheck { bytes, statement, earlier, signers, reported, now }
    }
}

/// The outcome of a step. The caller always commits the changes, because failed attempts are counted.
#[derive(Debug)]
pub struct StepOutcome {
    /// The answer to the device.
    pub answer: StepAnswer,
    /// The change of the session, if any.
    pub session: Option<SessionChange>,
    /// The change of the session's approvals, if any.
    pub approval: Option<ApprovalChange>,
}

/// The answer to a step.
#[derive(Debug)]
pub enum StepAnswer {
    /// More persons must approve.
    Waiting,
    /// The session is approved.
    Approved {
        /// Whether this step approved it. If so, the caller applies the consequences of the approval in the same commit.
        just_now: bool,
    },
    /// The step is rejected, or the session has ended.
    Refused(Refusal),
}

/// A change to the approvals of a session.
#[derive(Clone, Debug)]
pub enum ApprovalChange {
    /// Adds an approval, or replaces an earlier one by the same key.
    Put(Box<SessionApproval>),
    /// Removes the approval by this key.
    Remove(Fingerprint),
}

impl StepOutcome {
    fn answer(answer: StepAnswer) -> Self {
        Self { answer, session: None, approval: None }
    }

    fn refused(refusal: Refusal) -> Self {
        Self::answer(StepAnswer::Refused(refusal))
    }
}

/// Handles a step of a device, which must send the session's secret. Without approval and confirmation, the device polls.
/// `session` is the session with the id that the device names; the caller has expired it if it is overdue.
///
/// # Errors
/// [`DamagedStatement`]
pub fn step(
    session: Option<&ApprovalSession>,
    purpose: Purpose,
    given: &ApprovalStep,
    context: StepContext<'_>,
) -> Result<StepOutcome, DamagedStatement> {
    let session = session.filter(|session| session.purpose == purpose);
    let Some(session) = session.filter(|session| session.is_opened_by(given.secret.as_bytes())) else {
        return Ok(StepOutcome::refused(stale()));
    };
    let only_asks = given.approval.is_none() && given.confirmation.is_none();
    match session.state {
        SessionState::Waiting => {}
        SessionState::Approved => return Ok(StepOutcome::answer(StepAnswer::Approved { just_now: false })),
        SessionState::Spent | SessionState::Declined | SessionState::Expired | SessionState::Superseded => {
            let mut outcome = StepOutcome::refused(over(session));
            if !only_asks {
                outcome.session = Some(note(session.clone(), too_late(session.state, context.now)));
            }
            return Ok(outcome);
        }
    }
    if only_asks {
        return Ok(StepOutcome::answer(StepAnswer::Waiting));
    }
    let signers = match context.signers {
        Ok(signers) => signers,
        Err(nobody) => return Ok(StepOutcome::refused(nobody.clone())),
    };
    let (bytes, statement) = session.asked()?;
    let check = context.check(bytes, &statement, signers);
    let (checked, attempt) = match (&given.approval, &given.confirmation) {
        (Some(approval), _) => (given_here(check, approval), Attempt::Approval),
        (None, typed) => {
            let typed = typed.as_ref().map(Text::as_str).unwrap_or_default();
            (confirmed(check, typed), Attempt::Confirmation)
        }
    };
    Ok(conclude(session, context, checked, attempt))
}

fn conclude(
    session: &ApprovalSession,
    context: StepContext<'_>,
    checked: Result<SessionApproval, FailedStep>,
    attempt: Attempt,
) -> StepOutcome {
    let approval = match checked {
        Ok(approval) => approval,
        Err(FailedStep { refused, removes }) => {
            let (change, refusal) = refuse(session.clone(), refused, attempt);
            return StepOutcome {
                answer: StepAnswer::Refused(refusal),
                session: Some(change),
                approval: removes.map(ApprovalChange::Remove),
            };
        }
    };
    let others = context
        .approvals
        .iter()
        .filter(|other| other.confirmation.is_none() && other.approver.key != approval.approver.key);
    let is_approved = others.count().saturating_add(1) >= usize::from(session.needed);
    let approval = Some(ApprovalChange::Put(Box::new(approval)));
    if !is_approved {
        return StepOutcome { answer: StepAnswer::Waiting, session: None, approval };
    }
    let approved = approve(session.clone(), context.now);
    let change = SessionChange { session: approved, facts: Vec::new(), is_removed: false };
    StepOutcome { answer: StepAnswer::Approved { just_now: true }, session: Some(change), approval }
}

/// A rejected step, and the approval that it removes.
struct FailedStep {
    refused: Refused,
    removes: Option<Fingerprint>,
}

impl From<Refused> for FailedStep {
    fn from(refused: Refused) -> Self {
        Self { refused, removes: None }
    }
}

/// Checks an approval that was given at the device itself. It counts at once.
fn given_here(check: ApprovalCheck<'_>, given: &GivenApproval) -> Result<SessionApproval, FailedStep> {
    let approver = check.check(given)?;
    let signature = given.signature.clone();
    Ok(SessionApproval { approver, given_at: check.now, signature, elsewhere: false, confirmation: None })
}

/// Checks the confirmation of an approval that was given on another device. Checks the approval again, because it begins to
/// count now.
fn confirmed(check: ApprovalCheck<'_>, typed: &str) -> Result<SessionApproval, FailedStep> {
    let refused = |detail: String| check.refused(Binding::Confirmation, detail, None);
    let typed: Confirmation = typed.parse().map_err(|error| refused(format!("{error}")))?;
    let is_meant = |approval: &SessionApproval| {
        approval.confirmation.is_some_and(|digest| typed.matches(digest.as_bytes()))
    };
    let (meant, earlier): (Vec<_>, Vec<_>) = check.earlier.iter().cloned().partition(is_meant);
    let Some(approval) = meant.into_iter().next() else {
        return Err(refused("no waiting approval has this confirmation".to_owned()).into());
    };
    let given = GivenApproval { statement: check.bytes.clone(), signature: approval.signature.clone() };
    let removes = Some(approval.approver.key);
    ApprovalCheck { earlier: &earlier, ..check }
        .check(&given)
        .map_err(|refused| FailedStep { refused, removes })?;
    Ok(SessionApproval { confirmation: None, ..approval })
}

fn too_late(state: SessionState, now: u64) -> Refused {
    let (binding, detail) = match state {
        SessionState::Spent => (Binding::Used, "the session was already used"),
        SessionState::Expired => (Binding::Expired, "the session had expired"),
        SessionState::Superseded => (Binding::Session, "a newer session had replaced this one"),
        _ => (Binding::Session, "the session had been declined"),
    };
    Refused { time: now, binding, detail: detail.to_owned(), key: None }
}

/// Checks an approval that was given on another device. It counts once its confirmation is typed at the device; `confirmation`
/// is the SHA-256 of the confirmation.
///
/// # Errors
/// [`DamagedStatement`]. The inner error is the rejected attempt, with the changed session.
pub fn approve_elsewhere(
    session: &ApprovalSession,
    given: GivenApproval,
    confirmation: Digest,
    signers: &AllowedSigners,
    context: StepContext<'_>,
) -> Result<Result<SessionApproval, (SessionChange, Refused)>, DamagedStatement> {
    let (bytes, statement) = session.asked()?;
    let check = context.check(bytes, &statement, signers);
    Ok(match check.check(&given) {
        Ok(approver) => Ok(SessionApproval {
            approver,
            given_at: context.now,
            signature: given.signature,
            elsewhere: true,
            confirmation: Some(confirmation),
        }),
        Err(refused) => {
            let (change, _) = refuse(session.clone(), refused.clone(), Attempt::Approval);
            Err((change, refused))
        }
    })
}
