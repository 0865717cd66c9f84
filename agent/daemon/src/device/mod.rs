//! The state machine of the device.
//!
//! One task owns the state and handles one input at a time; nothing that it does inline waits
//! for the network. What does (reports, tokens, the making of a pairing) runs in tasks that belong
//! to a phase and end with it, so a result can never reach a pairing that it was not made for. Two
//! things run beside the phases: the session in which a new pairing is asked for, and receipts on
//! their way.

mod before;
mod connection;
mod deprovision;
mod idle;
mod lease;
mod paired;
mod pairing;
mod receipts;
mod reporter;
mod requests;
mod revoked;
mod session;
mod snapshot;
mod start;
mod tokens;
mod verdict;
mod writes;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pawl_proto::Epoch;
use pawl_proto::local::{PairRequest, Problem};
use pawl_proto::message::DeviceState;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::gate::Gate;
use crate::orders::Refused;
use crate::pairing::{PairingError, Past, Progress};
use crate::problem::{self, problem};
use crate::service;
use crate::shared::Shared;
use crate::telemetry::event::SecurityEvent;

use idle::Idle;
use paired::{Paired, Wanted};
use pairing::Pairing;
pub(crate) use requests::Request;
use revoked::Revoked;
use session::{Granted, Session};
pub(crate) use snapshot::Snapshot;
pub(crate) use tokens::lacking;

/// The device.
pub(crate) struct Device {
    shared: Arc<Shared>,
    phase: Phase,
    /// What the device found of its past, at its start or when it was paired last.
    past: Past,
    session: Option<Session>,
    granted: Option<Granted>,
    /// How the session stands that was begun last.
    progress: Option<Progress>,
    refused: Refused,
    /// Receipts on their way over HTTPS.
    receipts: JoinSet<receipts::Outcome>,
    /// The receipt of a pairing that the disk did not take, until the control plane has it.
    unkept_receipt: Option<(Epoch, Vec<u8>)>,
    /// Between sessions that nobody waits for.
    pairing_backoff: Backoff,
    /// The state that was announced last, and the code of its problem.
    announced: Option<(DeviceState, Option<String>)>,
    /// The counter was removed on request.
    deprovisioned: bool,
}

enum Phase {
    /// No pairing, or one that is over.
    Idle(Box<Idle>),
    /// A pairing was approved, and is being made.
    Pairing(Pairing),
    Paired(Box<Paired>),
    /// The epoch is over, and the broker does not have the receipt yet.
    Revoked(Box<Revoked>),
}

/// What the current phase has to say.
enum Input {
    PairingOver(Result<(), PairingError>),
    Paired(paired::Input),
    Revoked(revoked::Input),
    /// An idle device is due for a session that nobody waits for.
    Retry(PairRequest),
}

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

impl Device {
    /// Finds out where the device stands: compares epochs, finishes what was cut short.
    pub(crate) async fn start(shared: Arc<Shared>) -> Result<Self, pawl_tpm::Error> {
        let phase = start::phase(&shared).await?;
        let past = Past::look(&shared).await?;
        let mut device = Self {
            shared,
            phase: Phase::Idle(Box::new(Idle::unpaired(problem::unpaired()))),
            past,
            session: None,
            granted: None,
            progress: None,
            refused: Refused::default(),
            receipts: JoinSet::new(),
            unkept_receipt: None,
            pairing_backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            announced: None,
            deprovisioned: false,
        };
        device.enter(phase);
        device.deliver_receipts();
        device.announce();
        Ok(device)
    }

    /// Serves until `stop` resolves or nobody can ask for anything any more. What is left is the
    /// thread of the link, which says good-bye to the broker.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        stop: impl Future<Output = ()>,
    ) -> Option<JoinHandle<()>> {
        let mut stop = std::pin::pin!(stop);
        let watchdog = service::watchdog_interval();
        let mut alive_at = watchdog.map(|interval| Instant::now() + interval);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                input = self.phase.next(&self.shared.gate) => self.handle(input).await,
                outcome = Session::outcome(&mut self.session) => self.session_over(outcome).await,
                request = requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => break,
                },
                Some(outcome) = self.receipts.join_next() => self.receipt_delivered(outcome),
                () = sleep_until(alive_at.unwrap_or_else(Instant::now)), if alive_at.is_some() => {
                    service::alive();
                    alive_at = watchdog.map(|interval| Instant::now() + interval);
                }
            }
            self.announce();
        }
        service::stopping();
        self.stop().await
    }

    async fn handle(&mut self, input: Input) {
        match input {
            Input::PairingOver(outcome) => self.pairing_over(outcome).await,
            Input::Retry(request) => self.retry(request),
            Input::Paired(input) => {
                let Phase::Paired(paired) = &mut self.phase else { return };
                match paired.handle(&self.shared, &mut self.refused, input) {
                    Wanted::Nothing => {}
                    Wanted::Wipe { order, acknowledgement } => {
                        let _ = self.wipe(order, acknowledgement).await;
                        // The order may be what became of an approval.
                        self.look_at_session();
                    }
                    Wanted::Recovery(counter) => self.recover(counter).await,
                    Wanted::MovedDisk => {
                        let problem = problem::moved_disk(paired.record().device.as_str());
                        self.become_idle(Idle::unpaired(problem));
                    }
                }
            }
            Input::Revoked(input) => {
                let Phase::Revoked(revoked) = &mut self.phase else { return };
                if revoked.handle(&self.shared, input) {
                    self.revocation_over();
                }
            }
        }
    }

    fn become_idle(&mut self, idle: Idle) {
        self.enter(start::idle(&self.shared, idle));
    }

    fn enter(&mut self, phase: Phase) {
        if let Phase::Pairing(pairing) = &phase {
            self.progress = Some(pairing.progress().clone());
        }
        self.phase = phase;
        self.show_session();
    }

    fn state(&self) -> DeviceState {
        let asks = self.session.is_some() || self.granted.is_some();
        match &self.phase {
            Phase::Pairing(_) => DeviceState::Pairing,
            Phase::Idle(_) | Phase::Revoked(_) if asks => DeviceState::Pairing,
            Phase::Idle(idle) => idle.state(),
            Phase::Paired(_) if self.shared.gate.is_open() => DeviceState::Entitled,
            Phase::Paired(_) => DeviceState::Lapsed,
            Phase::Revoked(_) => DeviceState::Revoked,
        }
    }

    /// Tells systemd when the state or the reason for it has changed, and the control plane of the state.
    fn announce(&mut self) {
        let state = self.state();
        let problem = self.shared.gate.problem();
        let code = problem.as_ref().map(|problem| problem.error.as_str());
        let before = self.announced.as_ref();
        if before.is_some_and(|(before, why)| *before == state && why.as_deref() == code) {
            return;
        }
        let is_same_state = before.is_some_and(|(before, _)| *before == state);
        let text = match &problem {
            Some(problem) => format!("{state}: {}", problem.reason),
            None => state.to_string(),
        };
        match SecurityEvent::of_state(state, code) {
            Some(event) => event.log(self.epoch(), format_args!("{text}")),
            None => tracing::info!("{text}"),
        }
        service::status(&text);
        self.announced = Some((state, code.map(str::to_owned)));
        if is_same_state {
            return;
        }
        match &self.phase {
            Phase::Paired(paired) => paired.connection.announce(state),
            Phase::Revoked(revoked) => revoked.announce(),
            Phase::Idle(_) | Phase::Pairing(_) => {}
        }
    }

    /// The epoch of the pairing, live or over.
    fn epoch(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::Idle(idle) => idle.record().map(|record| record.epoch),
            Phase::Pairing(_) => None,
            Phase::Paired(paired) => Some(paired.record().epoch),
            Phase::Revoked(revoked) => Some(revoked.record().epoch),
        }
    }

    async fn stop(self) -> Option<JoinHandle<()>> {
        let state = self.state();
        self.shared.gate.close(problem::stopping());
        self.shared.gate.tell_holders();
        match self.phase {
            Phase::Paired(mut paired) => {
                paired.finish_writes().await;
                paired.connection.stop(state)
            }
            Phase::Idle(_) | Phase::Pairing(_) | Phase::Revoked(_) => None,
        }
    }
}

impl Phase {
    /// The next thing that this phase has to say. Dropped before it is ready, it has lost nothing.
    async fn next(&mut self, gate: &Gate) -> Input {
        match self {
            Self::Idle(idle) => idle.next().await,
            Self::Pairing(pairing) => Input::PairingOver(pairing.next().await),
            Self::Paired(paired) => Input::Paired(paired.next(gate.until()).await),
            Self::Revoked(revoked) => Input::Revoked(revoked.next().await),
        }
    }
}

fn tpm_problem(error: &pawl_tpm::Error) -> Problem {
    problem("tpm", error.to_string(), error.remedy())
}
