//! `GET /v1/status`: the state of the device, and whether the TPM accepts the lease.

use pawl_local_api::{LeaseStatus, LocalStatus};
use pawl_proto::message::Finding;
use pawl_proto::{DeviceId, Digest, Epoch};
use pawl_tpm::LeaseGrant;

use super::Api;
use super::answer::Answer;
use crate::device::{Request, Snapshot};
use crate::problem::{self, problem};

impl Api {
    pub(super) async fn status(&self) -> Answer {
        let snapshot = match self.ask(Request::Status).await {
            Ok(snapshot) => snapshot,
            Err(problem) => return Answer::unavailable(&problem),
        };
        let Snapshot { status, pairing, verdict, session } = snapshot;
        let tpm = async {
            let identity = self.shared.identity().await?;
            let needs_owner = self.shared.certificate_needs_owner().await?;
            let counter = self.shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
            let lease = match &status.lease {
                Some(grant) => Some(self.lease(grant, status.leases_ahead).await?),
                None => None,
            };
            Ok::<_, pawl_tpm::Error>((identity, needs_owner, counter, lease))
        };
        // If the TPM fails, answer with the rest of the status: a technician needs it to find the cause.
        let (identity, needs_owner, counter, lease, tpm) = match tpm.await {
            Ok((identity, needs_owner, counter, lease)) => {
                (Some(identity), needs_owner, counter, lease, None)
            }
            Err(error) => {
                let problem = problem("tpm", error.to_string(), error.remedy());
                (self.shared.known_identity(), false, None, None, Some(problem))
            }
        };
        let identity = identity.as_deref();
        let device = identity.map(|identity| DeviceId::from_endorsement_key(&identity.ek_public));
        let device = device.or(status.record.as_ref().map(|record| record.device));
        let Some(device) = device else {
            // Neither the TPM nor the disk identifies the device.
            return Answer::unavailable(&tpm.unwrap_or_else(problem::unpaired));
        };
        let name = identity.map(|identity| identity.ak_name.as_slice());
        Answer::ok(&LocalStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: status.state,
            problem: status.problem,
            tpm,
            device,
            ek_sha256: identity
                .map(|identity| Digest::of(&identity.ek_public).to_string())
                .unwrap_or_default(),
            ek_kind: identity.map(|identity| identity.endorsement.to_string()).unwrap_or_default(),
            ek_certificates: identity
                .map_or(0, |identity| u32::try_from(identity.ek_certificates.len()).unwrap_or(u32::MAX)),
            ek_certificate_needs_owner: needs_owner,
            pcr_banks: identity
                .map(|identity| identity.pcr_banks.iter().map(|bank| bank.as_str().to_owned()).collect())
                .unwrap_or_default(),
            counter,
            pairing,
            verdict,
            lease,
            tokens: status.tokens,
            broker: status.broker,
            receipt_waiting: status.receipt_waiting,
            finding: name.map_or(Finding::NothingChanged, |name| status.past.finding(name)),
            former: name.and_then(|name| status.past.former(name)),
            session,
            refused: status.refused,
            time_floor: self.shared.clock.floor(),
            measure_log_problem: self.shared.logs.measure_problem(),
        })
    }

    /// Returns the lease's limits by this host's clock, and whether the TPM accepts it.
    async fn lease(&self, grant: &LeaseGrant, leases_ahead: usize) -> Result<LeaseStatus, pawl_tpm::Error> {
        let clock = self.shared.tpm.clock().await?;
        let refusal = self.shared.tpm.check_lease(grant).await.err();
        let now = self.shared.clock.unix();
        let ahead = grant.terms.clock_before.saturating_sub(clock.clock_ms) / 1000;
        let behind = clock.clock_ms.saturating_sub(grant.terms.clock_before) / 1000;
        Ok(LeaseStatus {
            until: now.saturating_add(ahead).saturating_sub(behind),
            clock: grant.terms.clock_before,
            resets_left: grant.terms.reset_count_max.saturating_sub(clock.reset_count),
            accepted: refusal.is_none(),
            tpm_error: refusal.map(|error| error.to_string()),
            ahead: u32::try_from(leases_ahead).unwrap_or(u32::MAX),
        })
    }
}
