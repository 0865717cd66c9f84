//! Verdicts: what the control plane makes of the reports.

use std::sync::Arc;

use pawl_proto::message::{Appraisal, Standing, Verdict};
use pawl_proto::{Digest, encode};

use super::lease::Leases;
use super::paired::{Done, Paired};
use crate::audit;
use crate::link::{Acknowledgement, Parcel, ParcelKind};
use crate::posture::{self, Prepared, ReportError, Subject};
use crate::problem;
use crate::shared::Shared;

impl Paired {
    /// Takes up where an earlier run left off: the last verdict says whether the device may work,
    /// and the last leases let it work before there is a network, in the boot state that was judged or
    /// in one that is approved ahead.
    pub(super) fn take_up_verdicts(&mut self, shared: &Shared) {
        let read = |message: Result<_, crate::store::StoreError>| {
            message.unwrap_or_else(|error| {
                tracing::warn!(%error, "a verdict cannot be read; the next one replaces it");
                None
            })
        };
        let last = self.kept(read(shared.store.verdict()));
        let leased = self.kept(read(shared.store.lease()));
        for verdict in last.iter().chain(&leased) {
            self.seen_verdict(verdict.sequence);
            shared.clock.heard(verdict.time);
        }
        let newest = last.iter().chain(&leased).max_by_key(|verdict| verdict.sequence);
        self.set_entitlement(newest.map(|verdict| verdict.entitlement.clone()));
        if let Some(verdict) = &last {
            shared.audit.acknowledged(verdict.records);
        }
        self.reporter.resume(last.as_ref().or(leased.as_ref()).map(|verdict| verdict.nonce));
        let leases = leased.and_then(|verdict| Leases::of(self.record(), &verdict));
        match (last.as_ref().and_then(barred), leases) {
            (Some(problem), leases) => {
                self.hold(leases);
                self.set_barred(true);
                shared.gate.close(problem);
            }
            (None, Some(leases)) => self.try_leases(shared, leases),
            (None, None) => {}
        }
        self.verdict = last;
    }

    /// A new verdict. It is acknowledged once it is kept: a suspension that was received outlives whatever
    /// comes next.
    pub(super) fn judged(
        &mut self,
        shared: &Arc<Shared>,
        verdict: Verdict,
        message: &[u8],
        acknowledgement: Option<Acknowledgement>,
    ) {
        tracing::info!(
            result = verdict.result.map(|result| result.to_string()), standing = ?verdict.entitlement.standing,
            sequence = verdict.sequence, interval_s = verdict.interval, leased = verdict.lease.is_some(),
            "verdict"
        );
        // First of all: from here on no request gets a token that the operator has taken back.
        self.take_entitlement(shared, &verdict);
        shared.clock.heard(verdict.time);
        let (shared_too, bytes) = (Arc::clone(shared), message.to_vec());
        let (sequence, leased) = (verdict.sequence, verdict.lease.is_some());
        self.write(acknowledgement, move || {
            shared_too.store.put_verdict(sequence, &bytes, leased)?;
            match shared_too.clock.to_keep(posture::boot_id()) {
                Some(time) => shared_too.store.put_time(&time),
                None => Ok(()),
            }
        });
        let quoted_at = self.reporter.quoted_at(&verdict);
        shared.audit.record_at(Some(verdict.epoch), quoted_at, audit::judged(&verdict));
        shared.audit.acknowledged(verdict.records);
        self.reporter.answered(&verdict);
        match barred(&verdict) {
            Some(problem) => {
                shared.gate.close(problem);
                shared.gate.tell_holders();
                self.set_barred(true);
            }
            None => match Leases::of(self.record(), &verdict) {
                Some(leases) => self.try_leases(shared, leases),
                // Resumed, and not judged yet.
                None if self.is_barred() => shared.gate.close(problem::waiting()),
                None => {}
            },
        }
        // What was taken back is not asked for, and what was granted is.
        self.plan_tokens(shared);
        self.verdict = Some(verdict);
    }

    /// Begins a report.
    pub(super) fn report(&mut self, shared: &Arc<Shared>) {
        let Some((nonce, base)) = self.reporter.begin() else { return };
        let record = self.record();
        let subject = Subject { device: record.device, pairing: record.pairing, epoch: record.epoch, nonce };
        let shared = Arc::clone(shared);
        self.spawn(async move {
            Done::Report(
                posture::prepare(&shared.tpm, &shared.logs, subject, base.as_ref(), &shared.audit).await,
            )
        });
    }

    /// The report is made, or not.
    pub(super) fn reported(&mut self, outcome: Result<Prepared, ReportError>) {
        let prepared = outcome.map_err(|error| error.to_string()).and_then(|prepared| {
            let payload = encode(&prepared.report).map_err(|error| error.to_string())?;
            Ok((payload, prepared.tells))
        });
        match prepared {
            Ok((payload, tells)) => {
                let digest: Digest = tells.digest();
                tracing::debug!(evidence = %digest, bytes = payload.len(), "report");
                self.reporter.sent(tells);
                self.connection.publish(Parcel { kind: ParcelKind::Posture(digest), payload });
            }
            Err(error) => {
                tracing::warn!(error, "no report was made");
                self.reporter.failed();
            }
        }
    }
}

/// Why a verdict keeps the device from working; none when it does not.
fn barred(verdict: &Verdict) -> Option<pawl_proto::local::Problem> {
    let reasons = || verdict.reasons.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("; ");
    match (verdict.entitlement.standing, verdict.result) {
        (Standing::Suspended, _) => Some(problem::suspended(&reasons())),
        (Standing::Active, Some(Appraisal::Contraindicated)) => Some(problem::drifted(&reasons())),
        (Standing::Active, _) => None,
    }
}
