//! The session in which a pairing is asked for. It runs beside the phase: what lives goes on until
//! the approval, and neither a wipe nor a revocation meanwhile ends the session.

use std::sync::Arc;

use pawl_proto::Text;
use pawl_proto::local::{PairRequest, Problem};
use pawl_proto::message::Cause;
use pawl_proto::record::DeviceFact;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::idle::Idle;
use super::pairing::{Begun, Pairing};
use super::{Device, Phase, before};
use crate::pairing::{self, PairingError, Progress, Reply, Step, Unanswered, Wanted};
use crate::store::Approved;
use crate::telemetry::event::SecurityEvent;
use crate::{fail_point, problem, wipe};

/// A session that is not approved yet.
pub(super) struct Session {
    task: JoinSet<Result<Approved, PairingError>>,
    steps: mpsc::Sender<Step>,
    progress: Progress,
    /// What is asked for again by itself, should nothing come of this: nobody waits for the answer.
    unattended: Option<PairRequest>,
}

/// An approved session whose pairing is made as soon as the old one's receipt is out.
pub(super) struct Granted {
    approved: Approved,
    begun: Begun,
}

const STEPS: usize = 4;

impl Session {
    /// How the session of `session` ends; never, where there is none.
    pub(super) async fn outcome(session: &mut Option<Self>) -> Result<Approved, PairingError> {
        let Some(session) = session else { return std::future::pending().await };
        match session.task.join_next().await {
            Some(Ok(outcome)) => outcome,
            // The task was cancelled with the runtime: there is no later to speak of.
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}

impl Device {
    /// Begins a session, in the place of one that waits. `attended`: somebody stands at the device.
    pub(super) fn begin_session(&mut self, request: PairRequest, attended: bool) {
        self.end_session(&problem::given_up());
        let wanted = Wanted { request: request.clone(), attended, past: self.past.clone() };
        let (progress, (steps, inbox)) = (Progress::opening(), mpsc::channel(STEPS));
        let mut task = JoinSet::new();
        task.spawn(pairing::run(Arc::clone(&self.shared), wanted, inbox, progress.clone()));
        self.progress = Some(progress.clone());
        self.session = Some(Session { task, steps, progress, unattended: (!attended).then_some(request) });
        self.show_session();
    }

    /// Whoever asks for a token while nothing lives is told of the session.
    pub(super) fn show_session(&mut self) {
        if self.session.is_none() {
            return;
        }
        if let Phase::Idle(idle) = &mut self.phase {
            idle.forget_retry();
            self.shared.gate.close(problem::pairing());
        }
    }

    /// An idle device is due for a session that nobody waits for.
    pub(super) fn retry(&mut self, request: PairRequest) {
        if self.session.is_none() {
            let origin = Text::lossy("the device, unasked");
            self.begin_session(PairRequest { origin, ..request }, false);
        }
    }

    /// Hands an approval or a confirmation to the session.
    pub(super) fn step(&self, reply: Reply, step: impl FnOnce(Reply) -> Step) {
        let Some(session) = &self.session else {
            return drop(reply.send(Err(Unanswered::NoSession)));
        };
        // With so many under way already, this one is dropped, and its caller told how it stands.
        let _ = session.steps.try_send(step(reply));
    }

    /// The control plane is worth asking now: it may have approved.
    pub(super) fn look_at_session(&self) {
        if let Some(session) = &self.session {
            // It looks by itself soon, if it has too much to do now.
            let _ = session.steps.try_send(Step::Look);
        }
    }

    /// Gives up a session that is not approved.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn give_up_session(&mut self) -> Result<(), Problem> {
        if self.end_session(&problem::given_up()) {
            self.session_failed(problem::given_up(), None, false);
            return Ok(());
        }
        let approved = self.granted.is_some() || matches!(self.phase, Phase::Pairing(_));
        Err(if approved { problem::approved() } else { problem::no_session() })
    }

    /// Drops the session, approved or not, if there is one; whether there was.
    pub(super) fn drop_session(&mut self) -> bool {
        let granted = self.granted.take();
        if let Some(Granted { begun, .. }) = &granted {
            self.came_to_nothing(&begun.progress, &problem::given_up());
        }
        self.end_session(&problem::given_up()) || granted.is_some()
    }

    /// Drops a session that is not approved, if there is one; whether there was.
    fn end_session(&mut self, why: &Problem) -> bool {
        let Some(session) = self.session.take() else { return false };
        self.came_to_nothing(&session.progress, why);
        true
    }

    /// The session is over: approved, or not.
    pub(super) async fn session_over(&mut self, outcome: Result<Approved, PairingError>) {
        let Some(Session { progress, unattended, .. }) = self.session.take() else { return };
        match outcome {
            Ok(approved) => self.end_for(approved, Begun { progress, unattended, resumed: false }).await,
            Err(error) => {
                let problem = error.problem(unattended.is_none());
                self.came_to_nothing(&progress, &problem);
                self.session_failed(problem, unattended, error.wants_person());
            }
        }
    }

    /// An approved session ends the old pairing before anything new is made.
    async fn end_for(&mut self, approved: Approved, begun: Begun) {
        if let Err(error) = self.shared.store.keep_approved(&approved) {
            let problem = PairingError::Store(error).problem(begun.unattended.is_none());
            self.came_to_nothing(&begun.progress, &problem);
            return self.session_failed(problem, begun.unattended, false);
        }
        fail_point::reach("re-pair.kept");
        let order = before::order(&approved);
        let attestation_name = approved.attestation_name.clone();
        self.granted = Some(Granted { approved, begun });
        match &self.phase {
            Phase::Paired(paired) if paired.record().attestation_name == attestation_name => {
                drop(self.wipe(order, None).await);
            }
            // Another TPM's disk, whose epoch has the number of ours: nothing of it lives here.
            Phase::Paired(paired) => {
                let problem = problem::moved_disk(paired.record().device.as_str());
                self.become_idle(Idle::unpaired(problem));
            }
            Phase::Idle(_) => self.end_unused(order).await,
            // An order has ended it already.
            Phase::Revoked(_) | Phase::Pairing(_) => {}
        }
        self.make_granted();
    }

    /// Ends a pairing that nobody could use any more, but whose keys the TPM still takes.
    async fn end_unused(&mut self, order: wipe::Order) {
        let Some(granted) = &self.granted else { return };
        if let Err(error) = before::end(&self.shared, &granted.approved, order).await {
            tracing::warn!(%error, remedy = error.remedy(), "the pairing before was not ended in form");
        }
        self.deliver_receipts();
    }

    /// Makes the pairing that was approved, once nothing more goes over the link of the old one.
    pub(super) fn make_granted(&mut self) {
        if !matches!(self.phase, Phase::Idle(_)) {
            return;
        }
        if let Some(Granted { approved, begun }) = self.granted.take() {
            self.phase = Phase::Pairing(Pairing::begin(&self.shared, approved, begun));
        }
    }

    /// Nothing came of a session. What lives goes on; where nothing does, its reason is shown, and
    /// an unattended one is begun again, unless a person is all that is missing.
    fn session_failed(&mut self, problem: Problem, unattended: Option<PairRequest>, wants_person: bool) {
        let Phase::Idle(idle) = &mut self.phase else { return };
        let problem = idle.in_its_place(problem, wants_person);
        self.shared.gate.close(problem.clone());
        // What the operator has ordered stays ordered, although the one who stood here has given up.
        let ordered = unattended.is_none() && idle.cause() == Some(Cause::Repair);
        idle.failed(problem, ordered || wants_person && unattended.is_some());
        if let Some(request) = unattended.filter(|_| !wants_person) {
            idle.retry_at(Instant::now() + self.pairing_backoff.delay(), request);
        }
    }

    /// Says and records that nothing came of a session.
    pub(super) fn came_to_nothing(&self, progress: &Progress, problem: &Problem) {
        SecurityEvent::PAIRING_REFUSED
            .log(None, format_args!("no pairing was made: {}; {}", problem.reason, problem.remedy));
        self.shared.store.release();
        progress.fail(problem.clone());
        // Without a session nothing was asked of anybody: what is tried again and again, until there
        // is a network, would only push older records out.
        if let Some(session) = progress.status().id {
            let fact = DeviceFact::Refused { session: Some(session), code: Text::lossy(&problem.error) };
            self.shared.audit.record(None, fact);
        }
    }
}
