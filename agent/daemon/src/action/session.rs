//! One session of an action: it waits for approvals, is approved, and is spent on one signature.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::codec::Version;
use pawl_proto::local::{ActionStatus, Asked, Problem, WaitingStatus};
use pawl_proto::message::{
    ActionApproved, ActionOffer, ActionState, ApprovalStep, GivenApproval, GrantedApproval, Known,
    StatementBytes, Waiting,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Blob, SessionId, Text};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Acting, ActionError, Asking};
use crate::approval;
use crate::core::StatementError;
use crate::shared::Shared;
use crate::telemetry::event::SecurityEvent;

/// A session that the control plane has offered.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) acting: Arc<Acting>,
    pub(super) asking: Asking,
    /// With it, each step shows that the same device asks.
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// What is approved: the control plane's statement, which is over what was asked for.
    pub(super) statement: StatementBytes,
    asked: Asked,
    stage: Stage,
}

enum Stage {
    Waiting {
        shown: WaitingStatus,
        /// The control plane is not asked before.
        again: Instant,
    },
    Approved(Vec<GrantedApproval>),
    Assured(String),
    Failed(Problem),
}

/// What a session is given.
pub(crate) enum Step {
    /// Nothing: how does it stand?
    Look,
    /// An approval that was given at the device.
    Approval(GivenApproval),
    /// The confirmation that an approver elsewhere was shown.
    Confirmation(Text<32>),
}

/// The control plane is asked no more often.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

impl Session {
    /// The session of an offer, if it is over what was asked for.
    pub(super) fn new(
        shared: &Shared,
        acting: &Arc<Acting>,
        asking: Asking,
        offer: ActionOffer,
    ) -> Result<Self, ActionError> {
        let (bytes, known) = match &offer.state {
            ActionState::Waiting(waiting) => (&waiting.statement, &waiting.known),
            ActionState::Approved(approved) => (&approved.statement, &Known::default()),
        };
        let statement = asking.check_statement(offer.session, &acting.record, bytes)?;
        let mut session = Self {
            id: offer.session,
            acting: Arc::clone(acting),
            asking,
            secret: Zeroizing::new(offer.secret.into_vec()),
            statement: bytes.clone(),
            asked: approval::asked(bytes, &statement, known),
            stage: Stage::Approved(Vec::new()),
        };
        session.record(
            shared,
            DeviceFact::Opened {
                session: session.id,
                origin: statement.origin,
                action: statement.action,
                statement: bytes.digest(),
            },
        );
        session.take(shared, offer.state, None)?;
        Ok(session)
    }

    /// How it stands.
    pub(super) fn status(&self) -> ActionStatus {
        let mut status = ActionStatus {
            id: self.id,
            asked: self.asked.clone(),
            waiting: None,
            assurance: None,
            problem: None,
        };
        match &self.stage {
            Stage::Waiting { shown, .. } => status.waiting = Some(shown.clone()),
            Stage::Approved(_) => {}
            Stage::Assured(assurance) => status.assurance = Some(assurance.clone()),
            Stage::Failed(problem) => status.problem = Some(problem.clone()),
        }
        status
    }

    /// Goes as far as it can.
    ///
    /// # Errors
    /// Where asking again may help; everything else ends the session, and stands in its status.
    pub(super) async fn step(&mut self, shared: &Shared, step: Step) -> Result<(), ActionError> {
        match self.go_on(shared, step).await {
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                let problem = error.problem();
                SecurityEvent::ACTION_REFUSED.log(
                    Some(self.acting.record.epoch),
                    format_args!(
                        "{:?} was not let in session {}: {}",
                        self.asking.action().as_str(),
                        self.id,
                        problem.reason
                    ),
                );
                let code = Text::lossy(&problem.error);
                self.record(shared, DeviceFact::Refused { session: Some(self.id), code });
                self.stage = Stage::Failed(problem);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn go_on(&mut self, shared: &Shared, step: Step) -> Result<(), ActionError> {
        if let Stage::Waiting { again, .. } = self.stage {
            if matches!(step, Step::Look) && Instant::now() < again {
                return Ok(());
            }
            self.hand_in(shared, step).await?;
        }
        if let Stage::Approved(approvals) = &self.stage {
            self.stage = Stage::Assured(self.assure(shared, approvals).await?);
        }
        Ok(())
    }

    async fn hand_in(&mut self, shared: &Shared, step: Step) -> Result<(), ActionError> {
        let (approval, confirmation) = match step {
            Step::Look => (None, None),
            Step::Approval(approval) => (Some(approval), None),
            Step::Confirmation(code) => (None, Some(code)),
        };
        match self.ask(shared, approval, confirmation).await {
            Ok(state) => self.take(shared, state, None),
            Err(ActionError::Call(error)) if error.spares_the_session() => {
                tracing::warn!(session = %self.id, %error, "approval or confirmation rejected");
                let state = self.ask(shared, None, None).await?;
                self.take(shared, state, Some(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        shared: &Shared,
        approval: Option<GivenApproval>,
        confirmation: Option<Text<32>>,
    ) -> Result<ActionState, ActionError> {
        let secret = Blob::new(self.secret.to_vec())?;
        let step = ApprovalStep { version: Version, secret, approval, confirmation };
        Ok(shared.control_plane.step_action(self.id, &step).await?)
    }

    /// Takes the control plane's answer. It speaks of the statement that was checked, or of nothing.
    fn take(
        &mut self,
        shared: &Shared,
        state: ActionState,
        refused: Option<String>,
    ) -> Result<(), ActionError> {
        match state {
            ActionState::Waiting(waiting) => {
                self.must_be_same(&waiting.statement)?;
                self.wait(shared, &waiting, refused);
            }
            ActionState::Approved(ActionApproved { statement, approvals, .. }) => {
                self.must_be_same(&statement)?;
                approval::check_signatures(&statement, &approvals)?;
                let by = approvals.iter().map(|approval| approval.principal.clone()).collect();
                self.record(shared, DeviceFact::Approved { session: self.id, by });
                self.stage = Stage::Approved(approvals);
            }
        }
        Ok(())
    }

    fn must_be_same(&self, statement: &StatementBytes) -> Result<(), StatementError> {
        if *statement == self.statement { Ok(()) } else { Err(StatementError::Changed) }
    }

    fn wait(&mut self, shared: &Shared, waiting: &Waiting, refused: Option<String>) {
        let wait = Duration::from_secs(u64::from(waiting.retry_after)).max(SHORTEST_WAIT);
        self.stage = Stage::Waiting {
            shown: approval::waiting_status(waiting, shared.clock.unix(), refused),
            again: Instant::now() + wait,
        };
    }

    pub(super) fn record(&self, shared: &Shared, fact: DeviceFact) {
        shared.audit.record(Some(self.acting.record.epoch), fact);
    }
}
