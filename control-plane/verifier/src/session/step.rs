//! What the device does in a session: ask, bring an approval, bring a confirmation.

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

/// What a step of a session depends on.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// The approvals of the session, also those that wait for their confirmation.
    pub approvals: &'a [SessionApproval],
    /// The persons who may approve; or why nobody may.
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

/// What follows from a step. The caller commits the changes in each case: failed attempts are counted.
#[derive(Debug)]
pub struct StepOutcome {
    /// The answer to the device.
    pub answer: StepAnswer,
    /// The session, where it changed.
    pub session: Option<SessionChange>,
    /// The approval that changed.
    pub approval: Option<ApprovalChange>,
}

/// The answer to a step.
#[derive(Debug)]
pub enum StepAnswer {
    /// Persons still have to approve.
    Waiting,
    /// The session is approved.
    Approved {
        /// By this very step: the caller carries out what follows from the approval, in the same commit.
        just_now: bool,
    },
    /// The step does not count, or the session is over.
    Refused(Refusal),
}

/// A change to the approvals of a session.
#[derive(Clone, Debug)]
pub enum ApprovalChange {
    /// Adds an approval, in the place of an earlier one by the same key.
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

/// Takes a step of the device that shows the session's secret. Without approval and confirmation it only asks. `session`
/// is the session with the id that the device names, whose time is not over.
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

/// A step that does not count, and the approval that it takes back.
struct FailedStep {
    refused: Refused,
    removes: Option<Fingerprint>,
}

impl From<Refused> for FailedStep {
    fn from(refused: Refused) -> Self {
        Self { refused, removes: None }
    }
}

/// Checks an approval that was given at the device itself: it counts at once.
fn given_here(check: ApprovalCheck<'_>, given: &GivenApproval) -> Result<SessionApproval, FailedStep> {
    let approver = check.check(given)?;
    let signature = given.signature.clone();
    Ok(SessionApproval { approver, given_at: check.now, signature, elsewhere: false, confirmation: None })
}

/// Checks the confirmation of an approval from elsewhere. The approval is checked again: it counts now.
fn confirmed(check: ApprovalCheck<'_>, typed: &str) -> Result<SessionApproval, FailedStep> {
    let refused = |detail: String| check.refused(Binding::Confirmation, detail, None);
    let typed: Confirmation = typed.parse().map_err(|error| refused(format!("{error}")))?;
    let is_meant = |approval: &SessionApproval| {
        approval.confirmation.is_some_and(|digest| typed.matches(digest.as_bytes()))
    };
    let (meant, earlier): (Vec<_>, Vec<_>) = check.earlier.iter().cloned().partition(is_meant);
    let Some(approval) = meant.into_iter().next() else {
        return Err(refused("it is not that of an approval that waits for one".to_owned()).into());
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
        SessionState::Spent => (Binding::Used, "the session was used"),
        SessionState::Expired => (Binding::Expired, "the session's time was over"),
        SessionState::Superseded => (Binding::Session, "a newer session had taken the place of this one"),
        _ => (Binding::Session, "the session had been declined"),
    };
    Refused { time: now, binding, detail: detail.to_owned(), key: None }
}

/// Checks an approval that was given on another device. It counts once its confirmation is typed at the device; `confirmation`
/// is SHA-256 of that.
///
/// # Errors
/// The attempt that did not count, with the session after it.
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
