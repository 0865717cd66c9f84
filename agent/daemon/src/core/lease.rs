//! Leases. To check a lease, the daemon has the TPM unseal the vault's key under it.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::limits;
use pawl_proto::message::{Entitlement, Verdict};
use pawl_tpm::LeaseGrant;

use super::common::{Ticket, VaultKey};
use super::context::Context;
use super::effect::{Effect, OpenGate, TpmCommand};
use super::input::{TpmAnswer, TpmFailure, TpmFailureKind};
use crate::backoff::Backoff;
use crate::problem;
use crate::record::PairingRecord;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The leases of a pairing.
pub(super) struct Leases {
    /// The lease for the boot state that was appraised.
    present: Option<Arc<LeaseGrant>>,
    /// Leases for future boot states that were approved in advance.
    ahead: Vec<Arc<LeaseGrant>>,
    /// Whether the last verdict bars the device, also if the TPM would accept a lease.
    is_barred: bool,
    attempt: Option<Attempt>,
    retry: Option<Duration>,
    backoff: Backoff,
}

/// A lease that the TPM is checking.
struct Attempt {
    ticket: Ticket,
    lease: Arc<LeaseGrant>,
    /// Why the TPM refused the present lease, while the daemon looks for one of those ahead.
    refusal: Option<TpmFailure>,
}

/// What the pairing has to do after the TPM's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeaseOutcome {
    Nothing,
    /// The gate was opened, and the vault is being read.
    Opened,
    /// The open gate has a newer lease.
    Renewed,
    /// The epoch may have ended, or this is another TPM: compare the TPM with the pairing.
    CheckTpm,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            present: None,
            ahead: Vec::new(),
            is_barred: false,
            attempt: None,
            retry: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
        }
    }

    /// Replaces the leases by those of a verdict. Returns false if it has no lease, or a malformed one. Leaves out malformed
    /// leases for future boot states.
    pub(super) fn replace(&mut self, record: &PairingRecord, verdict: &Verdict) -> bool {
        let Some(lease) = &verdict.lease else { return false };
        let Some(present) = record.grant(lease).map(Arc::new) else {
            tracing::warn!("ignoring a lease with malformed terms");
            return false;
        };
        let ahead = verdict.ahead.iter().take(limits::LEASES_AHEAD);
        self.present = Some(present);
        self.ahead = ahead.filter_map(|lease| record.grant(lease).map(Arc::new)).collect();
        (self.attempt, self.retry) = (None, None);
        self.backoff.reset();
        true
    }

    /// Bars the device: no lease opens the gate until a verdict has a new one.
    pub(super) fn bar(&mut self) {
        self.is_barred = true;
        (self.attempt, self.retry) = (None, None);
    }

    pub(super) fn is_barred(&self) -> bool {
        self.is_barred
    }

    /// Has the TPM check the present lease. The gate does not change before the TPM has answered.
    pub(super) fn attempt(&mut self, cx: &mut Context) {
        self.is_barred = false;
        let Some(lease) = self.present.clone() else { return };
        self.unseal(cx, lease, None);
    }

    fn unseal(&mut self, cx: &mut Context, lease: Arc<LeaseGrant>, refusal: Option<TpmFailure>) {
        self.retry = None;
        let ticket = cx.tpm(TpmCommand::Unseal(Arc::clone(&lease)));
        self.attempt = Some(Attempt { ticket, lease, refusal });
    }

    /// Returns whether this ticket is of the check in progress. The pairing ignores results for a superseded lease.
    pub(super) fn is_trying(&self, ticket: Ticket) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.ticket == ticket)
    }

    /// Handles the TPM's answer to the check in progress.
    pub(super) fn answered(
        &mut self,
        cx: &mut Context,
        record: &Arc<PairingRecord>,
        entitlement: Entitlement,
        answer: Result<TpmAnswer, TpmFailure>,
    ) -> LeaseOutcome {
        let Some(Attempt { lease, refusal, .. }) = self.attempt.take() else { return LeaseOutcome::Nothing };
        match answer {
            Ok(TpmAnswer::Unsealed { key, clock_ms }) => {
                self.accepted(cx, record, lease, entitlement, key, clock_ms)
            }
            Ok(TpmAnswer::Matched(Some(found))) => match self.ahead.get(found).cloned() {
                Some(ahead) => {
                    self.unseal(cx, ahead, refusal);
                    LeaseOutcome::Nothing
                }
                None => LeaseOutcome::Nothing,
            },
            Ok(TpmAnswer::Matched(None)) => match refusal {
                Some(refusal) => Self::refused(cx, &refusal),
                None => LeaseOutcome::Nothing,
            },
            Ok(_) => LeaseOutcome::Nothing,
            Err(failure) if failure.kind == TpmFailureKind::Transient => {
                self.retry_later(cx, &failure);
                LeaseOutcome::Nothing
            }
            Err(failure)
                if failure.kind == TpmFailureKind::Pcrs && refusal.is_none() && !self.ahead.is_empty() =>
            {
                let ticket = cx.tpm(TpmCommand::MatchPcrs(self.ahead.clone()));
                self.attempt = Some(Attempt { ticket, lease, refusal: Some(failure) });
                LeaseOutcome::Nothing
            }
            Err(failure) => Self::refused(cx, &failure),
        }
    }

    fn accepted(
        &mut self,
        cx: &mut Context,
        record: &Arc<PairingRecord>,
        lease: Arc<LeaseGrant>,
        entitlement: Entitlement,
        key: VaultKey,
        clock_ms: u64,
    ) -> LeaseOutcome {
        if self.ahead.iter().any(|ahead| Arc::ptr_eq(ahead, &lease)) {
            tracing::info!("the device runs a boot state that was approved in advance; using its lease");
            self.ahead.retain(|ahead| !Arc::ptr_eq(ahead, &lease));
        }
        self.present = Some(Arc::clone(&lease));
        self.backoff.reset();
        let until = cx.after(Duration::from_millis(lease.terms.clock_before.saturating_sub(clock_ms)));
        let is_open = cx.is_open();
        cx.set_gate_open(until);
        if is_open {
            cx.push(Effect::RenewGate { until, lease });
            return LeaseOutcome::Renewed;
        }
        let record = Arc::clone(record);
        cx.push(Effect::OpenGate(Box::new(OpenGate { until, lease, key, entitlement, record })));
        LeaseOutcome::Opened
    }

    /// Closes the gate, because the TPM refused the lease: the device drifted or its epoch has ended. An earlier lease does not
    /// keep the gate open.
    fn refused(cx: &mut Context, failure: &TpmFailure) -> LeaseOutcome {
        cx.close_gate(problem::tpm_refused(&failure.text, &failure.remedy));
        cx.push(Effect::TellHolders);
        match failure.kind {
            TpmFailureKind::Key => LeaseOutcome::CheckTpm,
            _ => LeaseOutcome::Nothing,
        }
    }

    /// Schedules another check. A busy or unreachable TPM has not refused the lease: an open gate stays open while its lease runs.
    fn retry_later(&mut self, cx: &mut Context, failure: &TpmFailure) {
        self.retry = Some(cx.retry(&mut self.backoff));
        tracing::warn!(error = failure.text, "the TPM did not check the lease; retrying");
        if !cx.is_open() {
            cx.close_gate(problem::tpm_refused(&failure.text, &failure.remedy));
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.retry
    }

    /// Has the TPM check the lease again, if that is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(self.retry) {
            self.attempt(cx);
        }
    }

    /// Returns the lease for the present boot state, valid or not.
    pub(super) fn present(&self) -> Option<&Arc<LeaseGrant>> {
        self.present.as_ref()
    }

    /// Returns the number of leases for future boot states.
    pub(super) fn ahead(&self) -> usize {
        self.ahead.len()
    }
}
