//! `GET /v1/status`: how the device stands, and what the TPM itself says of its lease.

use pawl_proto::local::{LeaseStatus, LocalStatus};
use pawl_proto::{DeviceId, Digest, Epoch};
use pawl_tpm::LeaseGrant;

use super::Api;
use super::answer::Answer;
use crate::device::Request;
use crate::problem::problem;

impl Api {
    pub(super) async fn status(&self) -> Answer {
        let snapshot = match self.ask(Request::Status).await {
            Ok(snapshot) => snapshot,
            Err(problem) => return Answer::unavailable(&problem),
        };
        let tpm = async {
            let identity = self.shared.identity().await?;
            let counter = self.shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
            let lease = match &snapshot.grant {
                Some(grant) => Some(self.lease(grant, snapshot.leases_ahead).await?),
                None => None,
            };
            Ok::<_, pawl_tpm::Error>((identity, counter, lease))
        };
        let (identity, counter, lease) = match tpm.await {
            Ok(answers) => answers,
            Err(error) => return Answer::unavailable(&problem("tpm", error.to_string(), error.remedy())),
        };
        Answer::ok(&LocalStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: snapshot.state,
            problem: snapshot.problem,
            device: DeviceId::from_endorsement_key(&identity.ek_public),
            ek_sha256: Digest::of(&identity.ek_public).to_string(),
            ek_kind: identity.endorsement.to_string(),
            ek_certificates: u32::try_from(identity.ek_certificates.len()).unwrap_or(u32::MAX),
            pcr_banks: identity.pcr_banks.iter().map(|bank| bank.as_str().to_owned()).collect(),
            counter,
            pairing: snapshot.pairing,
            verdict: snapshot.verdict,
            lease,
            tokens: snapshot.tokens,
            broker: snapshot.broker,
            receipt_waiting: snapshot.receipt_waiting,
            finding: snapshot.past.finding(&identity.ak_name),
            former: snapshot.past.former(&identity.ak_name),
            session: snapshot.session,
            refused: snapshot.refused,
            time_floor: self.shared.clock.floor(),
        })
    }

    /// The lease by this host's clocks, and by the TPM's own word.
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
