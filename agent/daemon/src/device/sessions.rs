//! The approval session and the making of a pairing, as jobs.

use std::sync::Arc;

use pawl_proto::Text;
use pawl_proto::local::{PairRequest, Problem, SessionStage, SessionStatus};
use pawl_proto::record::DeviceFact;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Device;
use crate::core::{Input, MakingFailure, SessionFailure, Ticket};
use crate::pairing::{self, PairingError, Past, Progress, Reply, Step, Unanswered, Wanted};
use crate::store::Approved;
use crate::telemetry::event::SecurityEvent;

/// The session that was begun last.
pub(super) struct SessionJob {
    ticket: Ticket,
    progress: Progress,
    attended: bool,
    /// Takes approvals and confirmations, while the session waits for them.
    steps: Option<mpsc::Sender<Step>>,
    job: Option<AbortHandle>,
}

const STEPS: usize = 4;

impl Device {
    pub(super) fn open_session(&mut self, ticket: Ticket, request: PairRequest, attended: bool) {
        let wanted = Wanted { request, attended, past: self.past.clone() };
        let (progress, (steps, inbox)) = (Progress::opening(), mpsc::channel(STEPS));
        let run = pairing::run(Arc::clone(&self.shared), wanted, inbox, progress.clone());
        let job = self.sources.jobs.spawn(async move {
            let outcome = run.await.map(Box::new).map_err(|error| SessionFailure {
                problem: error.problem(attended),
                wants_person: error.wants_person(),
            });
            Input::SessionOver(ticket, outcome)
        });
        self.session = Some(SessionJob { ticket, progress, attended, steps: Some(steps), job: Some(job) });
    }

    /// Shows the session whose approval an earlier process kept.
    pub(super) fn resume_session(&mut self, ticket: Ticket, approved: &Approved) {
        if let Ok(statement) = approved.statement() {
            let progress = approved.progress(&statement);
            self.session = Some(SessionJob { ticket, progress, attended: false, steps: None, job: None });
        }
    }

    fn session(&mut self, ticket: Ticket) -> Option<&mut SessionJob> {
        self.session.as_mut().filter(|session| session.ticket == ticket)
    }

    pub(super) fn poll_session(&mut self, ticket: Ticket) {
        if let Some(steps) = self.session(ticket).and_then(|session| session.steps.as_ref()) {
            // It asks by itself soon, if it has too much to do now.
            let _ = steps.try_send(Step::Look);
        }
    }

    pub(super) fn show_stage(&mut self, ticket: Ticket, stage: SessionStage) {
        if let Some(session) = self.session(ticket) {
            session.progress.reach(stage);
        }
        if stage == SessionStage::Done {
            self.renew_past();
        }
    }

    /// Aborts the steps of a session that still run, logs why no pairing was made, and shows it to the caller.
    pub(super) fn fail_session(&mut self, ticket: Ticket, problem: &Problem) {
        SecurityEvent::PAIRING_REFUSED
            .log(None, format_args!("no pairing was made: {}; {}", problem.reason, problem.remedy));
        self.shared.store.release();
        let Some(session) = self.session(ticket) else { return };
        session.steps = None;
        if let Some(job) = session.job.take() {
            job.abort();
        }
        session.progress.fail(problem.clone());
        // Without a session id nobody was asked. An attempt that is repeated until there is a network must not push
        // older records out.
        if let Some(id) = session.progress.status().id {
            let fact = DeviceFact::Refused { session: Some(id), code: Text::lossy(&problem.error) };
            self.shared.audit.record(None, fact);
        }
    }

    /// Hands an approval or a confirmation to the session that waits.
    pub(super) fn step(&self, reply: Reply, step: impl FnOnce(Reply) -> Step) {
        let steps = self.session.as_ref().and_then(|session| session.steps.as_ref());
        match steps.filter(|steps| !steps.is_closed()) {
            // With so many under way already, this one is dropped, and its caller told how it stands.
            Some(steps) => drop(steps.try_send(step(reply))),
            None => drop(reply.send(Err(Unanswered::NoSession))),
        }
    }

    pub(super) fn make_pairing(&mut self, ticket: Ticket, approved: Box<Approved>, ends_epoch: bool) {
        let shared = Arc::clone(&self.shared);
        let attended = self.session(ticket).is_some_and(|session| session.attended);
        let job = self.sources.jobs.spawn(async move {
            let outcome = pairing::make(&shared, &approved, ends_epoch).await;
            let outcome = outcome.map_err(|error| {
                let problem = error.problem(attended);
                let granted = match error {
                    PairingError::NotKept { record, .. } => Some(record),
                    _ => None,
                };
                MakingFailure { problem, granted }
            });
            Input::PairingMade(ticket, outcome)
        });
        if let Some(session) = self.session(ticket) {
            (session.steps, session.job) = (None, Some(job));
        }
    }

    /// Returns how the session stands that was begun last.
    pub(super) fn session_status(&self) -> Option<SessionStatus> {
        self.session.as_ref().map(|session| session.progress.status())
    }

    /// A pairing was made: the device's past is that pairing.
    fn renew_past(&mut self) {
        if let Ok(Some(record)) = self.shared.store.pairing() {
            self.past = Past::of(&record);
        }
    }
}
