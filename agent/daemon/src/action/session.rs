//! The approval session of one action: it waits for approvals, and after them it allows one signature.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{ActionStatus, Asked, Problem, WaitingStatus};
use pawl_proto::message::{
    ActionApproved, ActionState, GrantedApproval, StatementBytes, StatementContext, Waiting,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Epoch, SessionId};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::asking::Asking;
use super::error::ActionError;
use crate::approval;
use crate::core::StatementError;
use crate::record::PairingRecord;
use pawl_tpm::KeyBlob;

/// The pairing of an action, and its action key.
pub(crate) struct Acting {
    pub(crate) record: Arc<PairingRecord>,
    pub(crate) key: Arc<KeyBlob>,
}

/// A session that the control plane opened.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) acting: Arc<Acting>,
    pub(super) asking: Asking,
    /// A secret in each step, which proves that the step comes from the same device.
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// The control plane's statement, checked against the request.
    pub(super) statement: StatementBytes,
    asked: Asked,
    stage: Stage,
}

enum Stage {
    Waiting {
        shown: WaitingStatus,
        /// The daemon does not query the control plane before this time.
        again: Instant,
    },
    Approved(Vec<GrantedApproval>),
    Assured(String),
    Failed(Problem),
}

/// The shortest interval between two queries of the control plane.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

impl Session {
    /// Returns the session of an offer with this state, and the fact for the audit record, if the offer's statement is over the
    /// request. [`apply`](Self::apply) takes the state.
    pub(super) fn new(
        acting: &Arc<Acting>,
        asking: Asking,
        id: SessionId,
        secret: Vec<u8>,
        state: &ActionState,
    ) -> Result<(Self, DeviceFact), ActionError> {
        let (bytes, known) = match state {
            ActionState::Waiting(waiting) => (&waiting.statement, &waiting.known),
            ActionState::Approved(approved) => (&approved.statement, &StatementContext::default()),
        };
        let statement = asking.check_statement(id, &acting.record, bytes)?;
        let session = Self {
            id,
            acting: Arc::clone(acting),
            asking,
            secret: Zeroizing::new(secret),
            statement: bytes.clone(),
            asked: approval::asked(bytes, &statement, known),
            stage: Stage::Approved(Vec::new()),
        };
        let (origin, action, statement) = (statement.origin, statement.action, bytes.digest());
        Ok((session, DeviceFact::Opened { session: id, origin, action, statement }))
    }

    /// Returns the status of the session.
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

    pub(super) fn epoch(&self) -> Epoch {
        self.acting.record.epoch
    }

    /// Returns whether the session waits for an approval.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting { .. })
    }

    /// Returns whether the daemon may query the control plane now.
    pub(super) fn may_query(&self) -> bool {
        !matches!(self.stage, Stage::Waiting { again, .. } if Instant::now() < again)
    }

    /// Returns the approvals of an approved session that has no assurance yet.
    pub(super) fn approvals(&self) -> Option<&[GrantedApproval]> {
        match &self.stage {
            Stage::Approved(approvals) => Some(approvals),
            Stage::Waiting { .. } | Stage::Assured(_) | Stage::Failed(_) => None,
        }
    }

    /// Applies the control plane's answer at `unix`, Unix seconds. `refused`: why the control plane rejected what the caller
    /// submitted. Returns the fact for the audit record.
    ///
    /// # Errors
    /// [`ActionError`] if the answer is about another statement, or an approval does not cover it.
    pub(super) fn apply(
        &mut self,
        state: ActionState,
        refused: Option<String>,
        unix: u64,
    ) -> Result<Option<DeviceFact>, ActionError> {
        match state {
            ActionState::Waiting(waiting) => {
                self.must_be_same(&waiting.statement)?;
                self.wait(&waiting, refused, unix);
                Ok(None)
            }
            ActionState::Approved(ActionApproved { statement, approvals, .. }) => {
                self.must_be_same(&statement)?;
                approval::check_signatures(&statement, &approvals)?;
                let by = approvals.iter().map(|approval| approval.principal.clone()).collect();
                self.stage = Stage::Approved(approvals);
                Ok(Some(DeviceFact::Approved { session: self.id, by }))
            }
        }
    }

    fn must_be_same(&self, statement: &StatementBytes) -> Result<(), StatementError> {
        if *statement == self.statement { Ok(()) } else { Err(StatementError::Changed) }
    }

    fn wait(&mut self, waiting: &Waiting, refused: Option<String>, unix: u64) {
        let wait = Duration::from_secs(u64::from(waiting.retry_after)).max(SHORTEST_WAIT);
        self.stage = Stage::Waiting {
            shown: approval::waiting_status(waiting, unix, refused),
            again: Instant::now() + wait,
        };
    }

    /// Ends the session with its assurance.
    pub(super) fn complete(&mut self, assurance: String) {
        self.stage = Stage::Assured(assurance);
    }

    /// Ends the session with this problem.
    pub(super) fn fail(&mut self, problem: Problem) {
        self.stage = Stage::Failed(problem);
    }
}
