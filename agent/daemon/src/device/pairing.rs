//! A pairing that was approved, and is being made.

use std::sync::Arc;

use pawl_proto::Epoch;
use pawl_proto::local::{PairRequest, Problem, SessionStage, Wiped};
use pawl_proto::message::Statement;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::idle::Idle;
use super::{Device, Phase, start, tpm_problem};
use crate::pairing::{self, PairingError, Past, Progress};
use crate::problem;
use crate::shared::Shared;
use crate::store::Approved;

/// A pairing in the making.
pub(super) struct Pairing {
    attempt: JoinSet<Result<(), PairingError>>,
    progress: Progress,
    /// What is asked for again by itself, should nothing come of this: nobody waits for the answer.
    unattended: Option<PairRequest>,
}

impl Pairing {
    /// Goes on from an approval whose old pairing has ended.
    pub(super) fn begin(shared: &Arc<Shared>, approved: Approved, begun: Begun) -> Self {
        let Begun { progress, unattended, resumed } = begun;
        progress.reach(SessionStage::Pairing);
        shared.gate.close(problem::pairing());
        let shared = Arc::clone(shared);
        let mut attempt = JoinSet::new();
        attempt.spawn(async move { pairing::make(&shared, &approved, resumed).await });
        Self { attempt, progress, unattended }
    }

    /// Goes on from an approval that an earlier process kept.
    pub(super) fn resume(shared: &Arc<Shared>, approved: Approved, statement: &Statement) -> Self {
        let begun = Begun {
            progress: approved.progress(statement),
            unattended: Some(Approved::again(statement)),
            resumed: true,
        };
        Self::begin(shared, approved, begun)
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) async fn next(&mut self) -> Result<(), PairingError> {
        match self.attempt.join_next().await {
            Some(Ok(outcome)) => outcome,
            // The task was cancelled with the runtime: there is no later to speak of.
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}

/// How a pairing in the making came to be.
pub(super) struct Begun {
    pub(super) progress: Progress,
    pub(super) unattended: Option<PairRequest>,
    /// An earlier process began it.
    pub(super) resumed: bool,
}

impl Device {
    /// The new pairing is there, or nothing comes of it.
    pub(super) async fn pairing_over(&mut self, outcome: Result<(), PairingError>) {
        let Phase::Pairing(pairing) = &mut self.phase else { return };
        let (progress, unattended) = (pairing.progress.clone(), pairing.unattended.take());
        match outcome {
            Ok(()) => {
                progress.reach(SessionStage::Done);
                self.pairing_backoff.reset();
                if let Ok(Some(record)) = self.shared.store.pairing() {
                    self.past = Past::of(&record);
                }
                match start::phase(&self.shared).await {
                    Ok(phase) => self.enter(phase),
                    Err(error) => self.become_idle(Idle::after_failure(&self.shared, tpm_problem(&error))),
                }
            }
            Err(error) => {
                let problem = error.problem(unattended.is_none());
                self.came_to_nothing(&progress, &problem);
                if let PairingError::NotKept { receipt: Some(receipt), .. } = error {
                    self.unkept_receipt = Some(receipt);
                    self.deliver_receipts();
                }
                let mut idle = Idle::after_failure(&self.shared, problem);
                if let Some(request) = unattended {
                    idle.retry_at(Instant::now() + self.pairing_backoff.delay(), request);
                }
                self.become_idle(idle);
            }
        }
    }

    /// Ends a pairing in the making, and the epoch that its keys were made for.
    pub(super) async fn abandon_pairing(&mut self) -> Result<Wiped, Problem> {
        if let Phase::Pairing(pairing) = &self.phase {
            let progress = pairing.progress.clone();
            self.came_to_nothing(&progress, &problem::given_up());
        }
        self.become_idle(Idle::after_failure(&self.shared, problem::unpaired()));
        self.deliver_receipts();
        if let Err(error) = self.shared.store.discard_unfinished() {
            tracing::warn!(%error, "the unfinished pairing stays on the disk; the next one replaces it");
        }
        let tpm = &self.shared.tpm;
        let ended = tpm.provision_counter().await.map_err(|error| tpm_problem(&error))?;
        tpm.revoke().await.map_err(|error| tpm_problem(&error))?;
        let now = tpm.provision_counter().await.map_err(|error| tpm_problem(&error))?;
        Ok(Wiped { ended: Epoch(ended.epoch), epoch: Epoch(now.epoch) })
    }
}
