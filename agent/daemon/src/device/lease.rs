//! Leases: each is tried in the TPM, by opening the vault with it.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::message::Lease;
use pawl_tpm::{Clock, KeyBlob, LeaseGrant, LeaseStep, Tpm};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::paired::{Done, Paired};
use crate::gate::{Entitlement, Signer};
use crate::problem;
use crate::shared::Shared;
use crate::vault::Vault;

/// A lease that the TPM accepted.
pub(super) struct Opened {
    grant: Arc<LeaseGrant>,
    key: Zeroizing<[u8; 32]>,
    clock: Clock,
}

/// Opens the vault under a lease, and reads the clock that the lease is bound to.
pub(super) async fn open(
    tpm: Tpm,
    vault: Arc<KeyBlob>,
    grant: Arc<LeaseGrant>,
) -> Result<Opened, pawl_tpm::Error> {
    let key = tpm.unseal(&vault, &grant).await?;
    let clock = tpm.clock().await?;
    Ok(Opened { grant, key, clock })
}

impl Paired {
    /// Begins to try a lease. The gate stays as it is until the TPM has answered.
    pub(super) fn try_lease(&mut self, shared: &Shared, lease: &Lease) {
        let Some(grant) = self.record().grant(lease).map(Arc::new) else {
            tracing::warn!("a lease has terms that no TPM can check");
            return;
        };
        self.set_grant(Arc::clone(&grant));
        self.set_barred(false);
        let (tpm, vault) = (shared.tpm.clone(), self.vault_key());
        self.spawn(async move { Done::Lease(open(tpm, vault, grant).await) });
    }

    /// The TPM has answered.
    pub(super) fn lease_tried(&mut self, shared: &Arc<Shared>, outcome: Result<Opened, pawl_tpm::Error>) {
        match outcome {
            Ok(opened) => {
                // A verdict that came in the meantime may have taken the lease away.
                if self.works_under(&opened.grant) {
                    self.entitle(shared, opened);
                }
            }
            Err(error) => {
                tracing::warn!(%error, remedy = error.remedy(), "the TPM does not accept the lease");
                shared.gate.close(problem::tpm_refused(&error));
                shared.gate.tell_holders();
                // Moved on by somebody else, or not the TPM that made these keys: look at once.
                if matches!(error.lease_step(), None | Some(LeaseStep::Epoch)) {
                    self.look_at_tpm(shared);
                }
            }
        }
    }

    fn entitle(&mut self, shared: &Shared, opened: Opened) {
        let left = opened.grant.terms.clock_before.saturating_sub(opened.clock.clock_ms);
        let until = Instant::now() + Duration::from_millis(left);
        let signer = Signer { key: self.device_key(), lease: opened.grant };
        if !shared.gate.renew(until, &signer) {
            let sealed = shared.store.vault().unwrap_or_else(|error| {
                tracing::warn!(%error, "the sealed tokens cannot be read; they are asked for anew");
                None
            });
            let mut vault = Vault::open(opened.key, sealed.as_deref(), self.binding());
            vault.drop_expired(shared.clock.unix());
            shared.gate.open(Entitlement { until, signer, vault });
        }
        self.plan_tokens(shared);
    }
}
