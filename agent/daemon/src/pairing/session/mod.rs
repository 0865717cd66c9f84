//! A session: asked for, proven, and followed until it is approved. It changes nothing at the
//! device, and runs beside whatever the device is doing.

mod open;
mod step;

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::codec::Version;
use pawl_proto::local::SessionStage;
use pawl_proto::message::{Known, PairingApproved, PairingRequest, Statement, StatementBytes, Waiting};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Digest, Epoch, SessionId};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::statement::{Request, StatementError};
use super::{PairingError, Progress, Wanted};
use crate::approval;
use crate::control_plane::{Answer, CallError};
use crate::fail_point;
use crate::shared::Shared;
use crate::store::Approved;
use crate::telemetry::event::SecurityEvent;

use step::Caller;
pub(crate) use step::{Reply, Step, Unanswered};

/// Asks for a pairing, and follows the session until it is approved. Nothing has been done on the
/// approval then; `progress` says that its turn has come.
///
/// # Errors
/// [`PairingError`]; `progress` has it, too.
pub(crate) async fn run(
    shared: Arc<Shared>,
    wanted: Wanted,
    mut steps: mpsc::Receiver<Step>,
    progress: Progress,
) -> Result<Approved, PairingError> {
    let mut caller = Caller::nobody();
    let conversation = async {
        let (mut session, answer) = Session::open(&shared, &wanted, &progress).await?;
        session.follow(answer, &mut steps, &mut caller).await
    };
    let outcome = conversation.await;
    match &outcome {
        Ok(_) => progress.reach(SessionStage::Ending),
        Err(error) => progress.fail(error.problem(wanted.attended)),
    }
    caller.answer(&progress);
    if outcome.is_ok() {
        fail_point::reach("re-pair.approved");
    }
    outcome
}

/// A session that the control plane has offered.
struct Session<'a> {
    shared: &'a Arc<Shared>,
    progress: &'a Progress,
    id: SessionId,
    request: PairingRequest,
    /// SHA-256 of the evidence that was given.
    evidence: Digest,
    /// What the TPM opened: with it, each step shows that the same device asks.
    secret: Zeroizing<Vec<u8>>,
    /// What is asked for, once the control plane has said so.
    statement: Option<(StatementBytes, Statement)>,
    /// Why the last approval or confirmation did not count.
    refused: Option<String>,
    /// From here on, a control plane that does not answer is not waited for any more.
    over: Instant,
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(15);
/// How long the control plane may be silent at the opening of a session, and after its end.
const PATIENCE: Duration = Duration::from_secs(45);

impl Session<'_> {
    async fn follow(
        &mut self,
        mut answer: Answer,
        steps: &mut mpsc::Receiver<Step>,
        caller: &mut Caller,
    ) -> Result<Approved, PairingError> {
        loop {
            let waiting = match answer {
                Answer::Approved(approved) => return self.approved(*approved).await,
                Answer::Waiting(waiting) => waiting,
            };
            self.show(&waiting)?;
            caller.answer(self.progress);
            answer = self.next(&waiting, steps, caller).await?;
        }
    }

    fn show(&mut self, waiting: &Waiting) -> Result<(), StatementError> {
        let statement = self.accept(&waiting.statement)?;
        let asked = approval::asked(&waiting.statement, statement, &waiting.known);
        self.progress.asked(asked);
        let now = self.shared.clock.unix();
        self.progress.wait(approval::waiting_status(waiting, now, self.refused.clone()));
        self.over = Instant::now() + Duration::from_secs(u64::from(waiting.expires_in)) + PATIENCE;
        Ok(())
    }

    /// Takes the control plane's statement: the one of this request, and always the same.
    fn accept(&mut self, bytes: &StatementBytes) -> Result<&Statement, StatementError> {
        let (accepted, statement) = match self.statement.take() {
            Some(accepted) => accepted,
            None => {
                let request = Request { session: self.id, request: &self.request, evidence: self.evidence };
                let statement = request.check(bytes)?;
                self.record(DeviceFact::Opened {
                    session: self.id,
                    origin: statement.origin.clone(),
                    action: statement.action.clone(),
                    statement: bytes.digest(),
                });
                (bytes.clone(), statement)
            }
        };
        if accepted != *bytes {
            return Err(StatementError::Changed);
        }
        Ok(&self.statement.insert((accepted, statement)).1)
    }

    /// Checks an approval, as far as a device can: that it is for what this device asked for, and
    /// that its signatures are over that. Whose keys they are, the control plane has to know.
    async fn approved(&mut self, answer: PairingApproved) -> Result<Approved, PairingError> {
        if self.statement.is_none() {
            let statement = self.accept(&answer.statement)?;
            let asked = approval::asked(&answer.statement, statement, &Known::default());
            self.progress.asked(asked);
        }
        self.accept(&answer.statement)?;
        approval::check_signatures(&answer.statement, &answer.approvals)?;
        let counter = self.shared.tpm.counter().await?.ok_or(PairingError::Counter)?;
        if answer.above > Epoch(counter.epoch) {
            return Err(PairingError::Ahead(answer.above));
        }
        let by: Vec<_> = answer.approvals.iter().map(|approval| approval.principal.clone()).collect();
        SecurityEvent::PAIRING_APPROVED
            .log(Some(self.request.epoch), format_args!("session {} was approved by {by:?}", self.id));
        self.record(DeviceFact::Approved { session: self.id, by });
        let attestation_name = self.shared.identity().await?.ak_name.clone().try_into()?;
        Ok(Approved { version: Version, answer, attestation_name })
    }

    /// Whether the session goes on after this error.
    fn outlives(&self, error: &CallError) -> bool {
        error.is_transient() && Instant::now() < self.over
    }

    fn record(&self, fact: DeviceFact) {
        self.shared.audit.record(Some(self.request.epoch), fact);
    }
}
