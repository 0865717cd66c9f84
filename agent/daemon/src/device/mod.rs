//! The state machine of the device.
//!
//! One task owns the state and handles one input at a time; nothing that it does inline waits
//! for the network. What does (pairing, reports, tokens, receipts) runs in tasks that belong to
//! a phase and end with it, so a result can never reach a pairing that it was not made for.

mod idle;
mod lease;
mod paired;
mod receipts;
mod reporter;
mod revoked;
mod snapshot;
mod start;
mod tokens;
mod verdict;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pawl_proto::local::{PairRequest, Problem, WipeRequest, Wiped};
use pawl_proto::message::{Cause, DeviceState};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::gate::Gate;
use crate::orders::Refused;
use crate::pairing::{self, PairingError};
use crate::problem::{self, problem};
use crate::service;
use crate::shared::Shared;
use crate::wipe;

use idle::Idle;
use paired::{Paired, Wanted};
use revoked::Revoked;
pub(crate) use snapshot::Snapshot;

/// What the local API asks of the state machine.
pub(crate) enum Request {
    Status(oneshot::Sender<Snapshot>),
    Pair(PairRequest, oneshot::Sender<Result<(), Problem>>),
    Wipe(WipeRequest, oneshot::Sender<Result<Wiped, Problem>>),
}

/// The device.
pub(crate) struct Device {
    shared: Arc<Shared>,
    phase: Phase,
    refused: Refused,
    /// Receipts on their way over HTTPS.
    receipts: JoinSet<receipts::Outcome>,
    /// Between attempts at a pairing that nobody waits for.
    pairing_backoff: Backoff,
    announced: Option<DeviceState>,
}

enum Phase {
    /// No pairing, or one that is over.
    Idle(Box<Idle>),
    /// A pairing is being made.
    Pairing(Pairing),
    Paired(Box<Paired>),
    /// The epoch is over, and the broker does not have the receipt yet.
    Revoked(Box<Revoked>),
}

/// A pairing in the making.
struct Pairing {
    attempt: JoinSet<Result<(), PairingError>>,
    /// Tried again by itself when it fails: nobody waits for the answer.
    unattended: Option<PairRequest>,
}

impl Pairing {
    /// Begins an attempt; `resumed` where an earlier one was cut short.
    fn begin(shared: &Arc<Shared>, request: PairRequest, unattended: bool, resumed: bool) -> Self {
        let (task, wanted) = (Arc::clone(shared), request.clone());
        let mut attempt = JoinSet::new();
        attempt.spawn(async move { pairing::pair(&task, &wanted, resumed).await });
        shared.gate.close(problem::pairing());
        Self { attempt, unattended: unattended.then_some(request) }
    }
}

/// What the current phase has to say.
enum Input {
    PairingOver(Result<(), PairingError>),
    Paired(paired::Input),
    Revoked(revoked::Input),
    /// An idle device is due for another attempt at a pairing.
    Retry(PairRequest),
}

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

impl Device {
    /// Finds out where the device stands: compares epochs, finishes what was cut short.
    pub(crate) async fn start(shared: Arc<Shared>) -> Result<Self, pawl_tpm::Error> {
        let phase = start::phase(&shared).await?;
        let mut device = Self {
            shared,
            phase,
            refused: Refused::default(),
            receipts: JoinSet::new(),
            pairing_backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            announced: None,
        };
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
        self.stop()
    }

    async fn handle(&mut self, input: Input) {
        match input {
            Input::PairingOver(outcome) => self.pairing_over(outcome).await,
            Input::Retry(request) => self.begin_pairing(request, true),
            Input::Paired(input) => {
                let Phase::Paired(paired) = &mut self.phase else { return };
                match paired.handle(&self.shared, &mut self.refused, input) {
                    Wanted::Nothing => {}
                    Wanted::Wipe { order, acknowledgement } => {
                        let _ = self.wipe(order, acknowledgement).await;
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

    async fn serve(&mut self, request: Request) {
        // Whoever asked may have gone; then nobody reads the answer.
        match request {
            Request::Status(reply) => drop(reply.send(self.snapshot())),
            Request::Pair(wanted, reply) => {
                let answer = match self.phase {
                    Phase::Idle(_) | Phase::Revoked(_) => {
                        self.begin_pairing(wanted, false);
                        Ok(())
                    }
                    Phase::Pairing(_) => Err(problem::pairing()),
                    Phase::Paired(_) => Err(problem(
                        "already-paired",
                        "this device is paired",
                        "to pair it anew, end the pairing first: pawlctl wipe --reason TEXT",
                    )),
                };
                drop(reply.send(answer));
            }
            Request::Wipe(request, reply) => {
                let answer = match &self.phase {
                    Phase::Paired(_) => {
                        let order = wipe::Order {
                            cause: Cause::Wipe,
                            event: None,
                            reason: request.reason,
                            arrived: std::time::Instant::now(),
                        };
                        self.wipe(order, None).await
                    }
                    Phase::Pairing(_) => self.abandon_pairing().await,
                    Phase::Idle(_) | Phase::Revoked(_) => Err(problem(
                        "nothing-to-wipe",
                        "this device has no live pairing",
                        "nothing needs to be done",
                    )),
                };
                drop(reply.send(answer));
            }
        }
    }

    fn begin_pairing(&mut self, request: PairRequest, unattended: bool) {
        // A link that still had a receipt to deliver ends here.
        let receipts_wait = matches!(self.phase, Phase::Revoked(_));
        self.phase = Phase::Pairing(Pairing::begin(&self.shared, request, unattended, false));
        if receipts_wait {
            self.deliver_receipts();
        }
    }

    async fn pairing_over(&mut self, outcome: Result<(), PairingError>) {
        let unattended = match &mut self.phase {
            Phase::Pairing(pairing) => pairing.unattended.take(),
            _ => None,
        };
        match outcome {
            Ok(()) => {
                self.pairing_backoff.reset();
                match start::phase(&self.shared).await {
                    Ok(phase) => self.phase = phase,
                    Err(error) => self.become_idle(Idle::after_failure(&self.shared, tpm_problem(&error))),
                }
            }
            Err(error) => {
                let problem = error.problem();
                tracing::warn!(error = %problem.reason, remedy = %problem.remedy, "the pairing was not made");
                let mut idle = Idle::after_failure(&self.shared, problem);
                if let Some(request) = unattended {
                    idle.retry_at(Instant::now() + self.pairing_backoff.delay(), request);
                }
                self.become_idle(idle);
            }
        }
    }

    /// Ends a pairing in the making, and the epoch that its keys were made for.
    async fn abandon_pairing(&mut self) -> Result<Wiped, Problem> {
        self.become_idle(Idle::after_failure(&self.shared, problem::unpaired()));
        let tpm = &self.shared.tpm;
        let ended = tpm.provision_counter().await.map_err(|error| tpm_problem(&error))?;
        tpm.revoke().await.map_err(|error| tpm_problem(&error))?;
        if let Err(error) = self.shared.store.discard_unfinished() {
            tracing::warn!(%error, "the unfinished pairing stays on the disk; the next one replaces it");
        }
        let now = tpm.provision_counter().await.map_err(|error| tpm_problem(&error))?;
        Ok(Wiped { ended: pawl_proto::Epoch(ended.epoch), epoch: pawl_proto::Epoch(now.epoch) })
    }

    fn become_idle(&mut self, idle: Idle) {
        self.phase = start::idle(&self.shared, idle);
    }

    fn state(&self) -> DeviceState {
        match &self.phase {
            Phase::Idle(idle) => idle.state(),
            Phase::Pairing(_) => DeviceState::Pairing,
            Phase::Paired(_) if self.shared.gate.is_open() => DeviceState::Entitled,
            Phase::Paired(_) => DeviceState::Lapsed,
            Phase::Revoked(_) => DeviceState::Revoked,
        }
    }

    /// Tells systemd and the control plane when the state has changed.
    fn announce(&mut self) {
        let state = self.state();
        if self.announced == Some(state) {
            return;
        }
        self.announced = Some(state);
        let why = self.shared.gate.problem().map(|problem| problem.reason);
        tracing::info!(%state, why, "the device changed its state");
        service::status(&why.map_or_else(|| state.to_string(), |why| format!("{state}: {why}")));
        match &self.phase {
            Phase::Paired(paired) => paired.announce(state),
            Phase::Revoked(revoked) => revoked.announce(),
            Phase::Idle(_) | Phase::Pairing(_) => {}
        }
    }

    fn stop(self) -> Option<JoinHandle<()>> {
        let state = self.state();
        self.shared.gate.close(problem::stopping());
        self.shared.gate.tell_holders();
        match self.phase {
            Phase::Paired(paired) => paired.stop(state),
            Phase::Idle(_) | Phase::Pairing(_) | Phase::Revoked(_) => None,
        }
    }
}

impl Phase {
    /// The next thing that this phase has to say. Dropped before it is ready, it has lost nothing.
    async fn next(&mut self, gate: &Gate) -> Input {
        match self {
            Self::Idle(idle) => idle.next().await,
            Self::Pairing(pairing) => match pairing.attempt.join_next().await {
                Some(Ok(outcome)) => Input::PairingOver(outcome),
                // The task was cancelled with the runtime: there is no later to speak of.
                Some(Err(_)) | None => std::future::pending().await,
            },
            Self::Paired(paired) => Input::Paired(paired.next(gate.until()).await),
            Self::Revoked(revoked) => Input::Revoked(revoked.next().await),
        }
    }
}

fn tpm_problem(error: &pawl_tpm::Error) -> Problem {
    problem("tpm", error.to_string(), error.remedy())
}
